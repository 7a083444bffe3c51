#include "node/build_info_json.h"

#include <nlohmann/json.hpp>

#include "node/build_info.h"

namespace gregor {

std::string BuildInfoJson() {
  const BuildInfo& info = GetBuildInfo();
  const nlohmann::ordered_json json = {{"version", info.version},
                                       {"commit", info.commit},
                                       {"build_type", info.build_type},
                                       {"compiler", info.compiler}};
  return json.dump();
}

}  // namespace gregor
