// `gregor cluster features`: at which level the cluster's metadata are written.
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>

#include "client/admin.h"
#include "client/cli/brokers.h"
#include "client/cli/features.h"
#include "client/cli/help.h"

namespace gregor {
namespace {

constexpr char kMetadata[] = "metadata";

struct FeatureArguments {
  std::optional<int32_t> level;
  bool validate_only = false;
};

Result<std::vector<FeatureSupport>> Supports(const Admin& admin) {
  ASSIGN_OR_RETURN(const auto cluster, admin.DescribeCluster());
  ASSIGN_OR_RETURN(const auto quorum, admin.DescribeQuorum());
  std::vector<FeatureSupport> supports;
  for (const v1::Feature& feature : cluster.features())
    supports.push_back(SupportOf(feature, quorum));
  return supports;
}

Result<FeatureSupport> MetadataSupport(const Admin& admin) {
  ASSIGN_OR_RETURN(const auto supports, Supports(admin));
  for (const FeatureSupport& support : supports) {
    if (support.name == kMetadata) return support;
  }
  return Error(Reason::kUnspecified, "the server does not say what it supports");
}

Result<void> RunFeatureList(GlobalOptions& global) {
  ASSIGN_OR_RETURN(const auto supports, Supports(Admin(global.server)));
  Json rows = Json::array();
  for (const FeatureSupport& support : supports) {
    Json row = {{"name", support.name}, {"finalized", support.finalized}};
    if (global.output == "json") {
      row["min_supported"] = support.min;
      row["max_supported"] = support.max;
      row["controllers_not_known"] = support.unknown;
    } else {
      row["supported_by_every_node"] = SupportText(support);
    }
    rows.push_back(std::move(row));
  }
  PrintList(global, rows, {"name", "finalized", "supported_by_every_node"});
  return {};
}

void PrintChange(const GlobalOptions& global, int32_t before, int32_t after, bool validate_only) {
  if (global.output == "json") {
    std::cout << Dump({{"name", kMetadata},
                       {"before", before},
                       {"finalized", after},
                       {"validate_only", validate_only}},
                      2)
              << std::endl;
  } else if (before == after) {
    std::cout << kMetadata << " is at feature level " << after << " already" << std::endl;
  } else if (validate_only) {
    std::cout << kMetadata << " can go from feature level " << before << " to " << after
              << "; nothing was changed" << std::endl;
  } else {
    std::cout << kMetadata << " is at feature level " << after << " now, after " << before
              << std::endl;
  }
}

Result<void> Change(GlobalOptions& global, int32_t before, int32_t after, bool validate_only) {
  if (before != after) {
    v1::UpdateFeaturesRequest request;
    request.set_validate_only(validate_only);
    request.add_features()->set_name(kMetadata);
    request.mutable_features(0)->set_finalized(after);
    const TroubleWatch watch = WatchForController(global.server);
    RETURN_IF_ERROR(Admin(global.server).UpdateFeatures(request));
  }
  PrintChange(global, before, after, validate_only);
  return {};
}

Result<void> Upgrade(GlobalOptions& global, const FeatureArguments& arguments) {
  ASSIGN_OR_RETURN(const auto now, MetadataSupport(Admin(global.server)));
  const int32_t level = arguments.level.value_or(std::max(now.max, now.finalized));
  if (level >= now.finalized) return Change(global, now.finalized, level, arguments.validate_only);
  return Error(Reason::kInvalidArgument,
               "the cluster is at feature level " + std::to_string(now.finalized) +
                   " already: to lower it use `gregor cluster features downgrade --level N`");
}

Result<void> Downgrade(GlobalOptions& global, const FeatureArguments& arguments) {
  ASSIGN_OR_RETURN(const auto now, MetadataSupport(Admin(global.server)));
  const int32_t level = *arguments.level;
  if (level <= now.finalized) return Change(global, now.finalized, level, arguments.validate_only);
  return Error(Reason::kInvalidArgument, "the cluster is at feature level " +
                                             std::to_string(now.finalized) +
                                             ": to raise it use `gregor cluster features upgrade`");
}

using FeatureRun = Result<void> (*)(GlobalOptions&, const FeatureArguments&);

CLI::App* AddFeatureCommand(CLI::App& group, GlobalOptions& global, const char* name,
                            const char* help, const char* level_help, FeatureRun run) {
  const auto arguments = std::make_shared<FeatureArguments>();
  CLI::App* const command = group.add_subcommand(name, help);
  command->add_option("--level", arguments->level, level_help)
      ->type_name("LEVEL")
      ->check(Between(1, INT32_MAX));
  command->add_flag("--validate-only", arguments->validate_only,
                    "Only say whether it could be done");
  OnCommand(*command, global, [&global, arguments, run] { return run(global, *arguments); });
  return command;
}

}  // namespace

FeatureSupport SupportOf(const v1::Feature& feature, const v1::DescribeQuorumResponse& quorum) {
  FeatureSupport support{
      feature.name(), feature.finalized(), feature.min_supported(), feature.max_supported(), {}};
  for (const auto& voter : quorum.voters()) {
    if (voter.feature_level_max() == 0) {
      support.unknown.push_back(voter.broker_id());
      continue;
    }
    support.min = std::max(support.min, voter.feature_level_min());
    support.max = std::min(support.max, voter.feature_level_max());
  }
  return support;
}

std::string SupportText(const FeatureSupport& support) {
  std::string text = support.min > support.max
                         ? "none"
                         : std::to_string(support.min) + " to " + std::to_string(support.max);
  if (support.min == support.max) text = std::to_string(support.max);
  std::string unknown;
  for (const int32_t node : support.unknown)
    unknown += (unknown.empty() ? "" : ", ") + std::to_string(node);
  if (!unknown.empty()) text += " (not known: controller " + unknown + ")";
  return text;
}

void AddFeatureCommands(CLI::App& cluster, GlobalOptions& global) {
  CLI::App* const features = cluster.add_subcommand(
      "features", "Show or change the level at which the cluster's metadata are written");
  features->require_subcommand(0, 1);
  AddExamples(*features, {"gregor cluster features", "gregor cluster features upgrade"},
              "A level is raised by hand, once all nodes run a version that supports it.");
  OnCommand(*features, global, [&global, features] {
    return features->get_subcommands().empty() ? RunFeatureList(global) : Result<void>();
  });
  AddExamples(*AddFeatureCommand(
                  *features, global, "upgrade", "Raise the level, after all nodes were upgraded",
                  "The level (default: the highest that every node supports)", Upgrade),
              {"gregor cluster features upgrade",
               "gregor cluster features upgrade --level 2 --validate-only"},
              "Nodes of older versions cannot start any more afterwards.");
  CLI::App* const downgrade =
      AddFeatureCommand(*features, global, "downgrade",
                        "Lower the level, to go back to older versions", "The level", Downgrade);
  downgrade->get_option("--level")->required();
  AddExamples(*downgrade, {"gregor cluster features downgrade --level 1"},
              "Refused while the metadata have what the lower level cannot say: the message names "
              "it.");
}

}  // namespace gregor
