// `gregor quota`: what clients may use.
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "client/cli/brokers.h"
#include "client/cli/help.h"
#include "client/cli/output.h"
#include "client/security_admin.h"

namespace gregor {
namespace {

constexpr char kQuotaNote[] =
    "note: quotas are stored and listed, but not enforced in this version";

struct QuotaArguments {
  std::optional<std::string> user, client_id, ip;
  bool default_user = false, default_client_id = false, default_ip = false;
  std::vector<std::string> values;  // "NAME=VALUE"
  std::vector<std::string> names;
  bool strict = false;
  bool validate_only = false;
};

// Fails where a component is given in two ways.
Result<v1::QuotaEntity> EntityOf(const QuotaArguments& arguments) {
  v1::QuotaEntity entity;
  const auto take = [](const auto& name, bool is_default, auto set) {
    if (name.has_value() && is_default) return false;
    if (name.has_value() || is_default) set(name.value_or(""));
    return true;
  };
  const bool is_clear = take(arguments.user, arguments.default_user,
                             [&](const std::string& name) { entity.set_user(name); }) &&
                        take(arguments.client_id, arguments.default_client_id,
                             [&](const std::string& name) { entity.set_client_id(name); }) &&
                        take(arguments.ip, arguments.default_ip,
                             [&](const std::string& name) { entity.set_ip(name); });
  if (is_clear) return entity;
  return Error(Reason::kInvalidArgument, "give a name, or say that it is for all others: not both");
}

// The same, where there has to be one.
Result<v1::QuotaEntity> NamedEntity(const QuotaArguments& arguments) {
  ASSIGN_OR_RETURN(auto entity, EntityOf(arguments));
  if (entity.has_user() || entity.has_client_id() || entity.has_ip()) return entity;
  return Error(
      Reason::kInvalidArgument,
      "say for whom: --user, --client-id (or both), --ip, or --default-... for all others");
}

Json NameOf(bool is_there, const std::string& name) {
  if (!is_there) return nullptr;
  return name.empty() ? "<default>" : name;
}

// A whole one without a point.
Json ValueOf(double value) {
  constexpr double kExactMax = 9007199254740992.0;
  if (value == std::floor(value) && std::abs(value) <= kExactMax)
    return static_cast<int64_t>(value);
  return value;
}

Result<void> ChangeQuota(const GlobalOptions& global, v1::AlterQuotasRequest request,
                         const QuotaArguments& arguments, const char* done) {
  request.set_validate_only(arguments.validate_only);
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(SecurityAdmin(global.server).AlterQuotas(request));
  const char* const word = arguments.validate_only ? "valid" : done;
  std::cout << (global.output == "json" ? Dump({{"result", word}}) : word) << std::endl;
  return {};
}

Result<void> RunQuotaSet(GlobalOptions& global, const QuotaArguments& arguments) {
  v1::AlterQuotasRequest request;
  auto& alteration = *request.add_alterations();
  ASSIGN_OR_RETURN(*alteration.mutable_entity(), NamedEntity(arguments));
  ASSIGN_OR_RETURN(const auto values, SplitConfigs(arguments.values));
  for (const auto& [name, text] : values) {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != 0 || !std::isfinite(value))
      return Error(Reason::kInvalidArgument, "\"" + text + "\" is no number: " + name);
    (*alteration.mutable_set())[name] = value;
  }
  RETURN_IF_ERROR(ChangeQuota(global, std::move(request), arguments, "set"));
  std::cerr << kQuotaNote << std::endl;
  return {};
}

Result<void> RunQuotaList(GlobalOptions& global, const QuotaArguments& arguments) {
  v1::DescribeQuotasRequest request;
  ASSIGN_OR_RETURN(*request.mutable_filter(), EntityOf(arguments));
  request.set_strict(arguments.strict);
  ASSIGN_OR_RETURN(const auto quotas, SecurityAdmin(global.server).DescribeQuotas(request));
  Json list = Json::array();
  for (const v1::Quota& quota : quotas) {
    const v1::QuotaEntity& entity = quota.entity();
    const std::map<std::string, double> values(quota.values().begin(), quota.values().end());
    for (const auto& [name, value] : values) {
      list.push_back({{"user", NameOf(entity.has_user(), entity.user())},
                      {"client_id", NameOf(entity.has_client_id(), entity.client_id())},
                      {"ip", NameOf(entity.has_ip(), entity.ip())},
                      {"quota", name},
                      {"value", ValueOf(value)}});
    }
  }
  PrintList(global, list, {"user", "client_id", "ip", "quota", "value"});
  return {};
}

// The names of what the entity has.
Result<std::vector<std::string>> AllNames(const GlobalOptions& global,
                                          const v1::QuotaEntity& entity) {
  v1::DescribeQuotasRequest request;
  *request.mutable_filter() = entity;
  request.set_strict(true);
  ASSIGN_OR_RETURN(const auto quotas, SecurityAdmin(global.server).DescribeQuotas(request));
  std::vector<std::string> names;
  for (const v1::Quota& quota : quotas) {
    for (const auto& [name, value] : quota.values()) names.push_back(name);
  }
  if (!names.empty()) return names;
  return Error(Reason::kUnspecified, "there are no quotas of that: `gregor quota list` lists them");
}

Result<void> RunQuotaDelete(GlobalOptions& global, const QuotaArguments& arguments) {
  v1::AlterQuotasRequest request;
  auto& alteration = *request.add_alterations();
  ASSIGN_OR_RETURN(*alteration.mutable_entity(), NamedEntity(arguments));
  std::vector<std::string> names = arguments.names;
  if (names.empty()) {
    ASSIGN_OR_RETURN(names, AllNames(global, alteration.entity()));
  }
  for (const std::string& name : names) alteration.add_remove(name);
  return ChangeQuota(global, std::move(request), arguments, "deleted");
}

using QuotaRun = Result<void> (*)(GlobalOptions&, const QuotaArguments&);

CLI::App* AddQuotaCommand(CLI::App& group, GlobalOptions& global, const char* name,
                          const char* help, QuotaRun run,
                          const std::shared_ptr<QuotaArguments>& arguments) {
  CLI::App* const command = group.add_subcommand(name, help);
  OnCommand(*command, global, [&global, arguments, run] { return run(global, *arguments); });
  command->add_option("--user", arguments->user, "Of this user")
      ->type_name("NAME")
      ->check(NotEmpty());
  command->add_flag("--default-user", arguments->default_user,
                    "Of every user without a quota of its own");
  command->add_option("--client-id", arguments->client_id, "Of this client id")
      ->type_name("ID")
      ->check(NotEmpty());
  command->add_flag("--default-client-id", arguments->default_client_id,
                    "Of every client id without a quota of its own");
  command->add_option("--ip", arguments->ip, "Of this IP address")
      ->type_name("ADDRESS")
      ->check(NotEmpty());
  command->add_flag("--default-ip", arguments->default_ip,
                    "Of every IP address without a quota of its own");
  if (run != RunQuotaList)
    command->add_flag("--validate-only", arguments->validate_only, "Check, but change nothing");
  return command;
}

}  // namespace

void AddQuotaCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const quota =
      app.add_subcommand("quota", "Set, list and delete quotas: what clients may use");
  quota->require_subcommand(1);
  auto arguments = std::make_shared<QuotaArguments>();
  CLI::App* command =
      AddQuotaCommand(*quota, global, "set", "Set quotas of somebody: all that are given, or none",
                      RunQuotaSet, arguments);
  command->add_option("QUOTA=VALUE", arguments->values, "Quotas to set")->required();
  AddExamples(
      *command,
      {"gregor quota set --user alice producer_byte_rate=1048576",
       "gregor quota set --default-user --client-id etl request_percentage=50",
       "gregor quota set --default-ip connection_creation_rate=10"},
      "Of users and client ids: producer_byte_rate and consumer_byte_rate (bytes a second), "
      "request_percentage, controller_mutation_rate (a second); of IP addresses: "
      "connection_creation_rate (a second). Quotas are stored, and not enforced yet in "
      "this version.");
  arguments = std::make_shared<QuotaArguments>();
  command = AddQuotaCommand(*quota, global, "list", "List quotas", RunQuotaList, arguments);
  command->add_flag("--strict", arguments->strict, "Only of what is given, and nothing beside it");
  AddExamples(*command, {"gregor quota list", "gregor quota list --user alice --strict"},
              "Quotas are not enforced yet in this version.");
  arguments = std::make_shared<QuotaArguments>();
  command = AddQuotaCommand(*quota, global, "delete", "Delete quotas of somebody", RunQuotaDelete,
                            arguments);
  command->add_option("QUOTA", arguments->names, "Names of quotas; none: all that there are");
  AddExamples(*command, {"gregor quota delete --user alice producer_byte_rate",
                         "gregor quota delete --default-ip"});
}

}  // namespace gregor
