#ifndef GREGOR_CLIENT_CLI_FEATURES_H_
#define GREGOR_CLIENT_CLI_FEATURES_H_

#include <string>
#include <vector>

#include "client/cli/output.h"
#include "gregor/v1/cluster.pb.h"

namespace gregor {

// A feature of the cluster as commands show it. Thread: any.
struct FeatureSupport {
  std::string name;
  int32_t finalized = 0;
  // What every broker and every controller supports that says so; min > max: they have nothing in
  // common.
  int32_t min = 0;
  int32_t max = 0;
  std::vector<int32_t> unknown;  // controllers of which it is not known
};
FeatureSupport SupportOf(const v1::Feature& feature, const v1::DescribeQuorumResponse& quorum);

// "1 to 2", "none", and who did not say.
std::string SupportText(const FeatureSupport& support);

// `gregor cluster features`.
void AddFeatureCommands(CLI::App& cluster, GlobalOptions& global);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_FEATURES_H_
