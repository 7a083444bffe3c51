#ifndef GREGOR_NODE_BUILD_INFO_H_
#define GREGOR_NODE_BUILD_INFO_H_

#include <string>
#include <string_view>

namespace gregor {

// What this program was built from. The build writes build_info.cc (cmake/BuildInfo.cmake). Thread:
// any.
struct BuildInfo {
  std::string_view version;     // "0.1.0"
  std::string_view commit;      // as `git describe` says it; "unknown" where no git was there
  std::string_view build_type;  // "Release", "Debug"
  std::string_view compiler;    // "GNU 12.2.0"
};
const BuildInfo& GetBuildInfo();
// "gregor 0.1.0 (commit 0123456789ab, Release, GNU 12.2.0)".
std::string ShowBuildInfo();

}  // namespace gregor

#endif  // GREGOR_NODE_BUILD_INFO_H_
