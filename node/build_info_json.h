#ifndef GREGOR_NODE_BUILD_INFO_JSON_H_
#define GREGOR_NODE_BUILD_INFO_JSON_H_

#include <string>

namespace gregor {

// What the program was built from (node/build_info.h), as /version and `gregor version --output
// json` say it: one line. Thread: any.
std::string BuildInfoJson();

}  // namespace gregor

#endif  // GREGOR_NODE_BUILD_INFO_JSON_H_
