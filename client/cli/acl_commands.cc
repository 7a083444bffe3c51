// `gregor acl`: rules of who may do what.
#include <algorithm>
#include <iostream>
#include <memory>

#include "client/cli/brokers.h"
#include "client/cli/help.h"
#include "client/cli/output.h"
#include "client/security_admin.h"

namespace gregor {
namespace {

constexpr char kAclNote[] =
    "note: rules are stored and listed, but not enforced in this version: everybody may do "
    "everything";
const char* const kClusterName = "kafka-cluster";

// What stands on the command lines of all commands; each uses some.
struct AclArguments {
  std::vector<std::string> topics, groups, transactional_ids, users;
  bool cluster = false;
  std::vector<std::string> allow, deny;  // principals
  std::vector<std::string> operations;
  std::vector<std::string> hosts;
  bool prefixed = false;
  // Of filters.
  std::string principal, permission, pattern;
  bool all = false;
  bool validate_only = false;
};

struct Name {
  v1::AclResource resource;
  std::string name;
};

// "DESCRIBE_CONFIGS" of "ACL_OPERATION_DESCRIBE_CONFIGS", in the words of command lines.
std::string WordOf(const std::string& name, size_t prefix_size) {
  std::string word = name.substr(prefix_size);
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) {
    return c == '_' ? '-' : static_cast<char>(std::tolower(c));
  });
  return word;
}
std::string WordOf(v1::AclOperation operation) {
  return WordOf(v1::AclOperation_Name(operation), sizeof "ACL_OPERATION_" - 1);
}
std::string WordOf(v1::AclResource resource) {
  return WordOf(v1::AclResource_Name(resource), sizeof "ACL_RESOURCE_" - 1);
}
std::string WordOf(v1::AclPattern pattern) {
  return WordOf(v1::AclPattern_Name(pattern), sizeof "ACL_PATTERN_" - 1);
}
std::string WordOf(v1::AclPermission permission) {
  return WordOf(v1::AclPermission_Name(permission), sizeof "ACL_PERMISSION_" - 1);
}

std::vector<std::string> OperationWords() {
  std::vector<std::string> words;
  for (int i = v1::ACL_OPERATION_UNSPECIFIED + 1; i < v1::AclOperation_ARRAYSIZE; ++i)
    words.push_back(WordOf(static_cast<v1::AclOperation>(i)));
  return words;
}

// For help.
std::string AllOperations() {
  std::string text;
  for (const std::string& word : OperationWords()) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// REQUIRES: it is one of OperationWords().
v1::AclOperation OperationOf(const std::string& word) {
  for (int i = 0; i < v1::AclOperation_ARRAYSIZE; ++i) {
    if (WordOf(static_cast<v1::AclOperation>(i)) == word) return static_cast<v1::AclOperation>(i);
  }
  return v1::ACL_OPERATION_UNSPECIFIED;
}

std::vector<Name> NamesOf(const AclArguments& arguments) {
  std::vector<Name> names;
  for (const auto& name : arguments.topics) names.push_back({v1::ACL_RESOURCE_TOPIC, name});
  for (const auto& name : arguments.groups) names.push_back({v1::ACL_RESOURCE_GROUP, name});
  for (const auto& name : arguments.transactional_ids)
    names.push_back({v1::ACL_RESOURCE_TRANSACTIONAL_ID, name});
  for (const auto& name : arguments.users) names.push_back({v1::ACL_RESOURCE_USER, name});
  if (arguments.cluster) names.push_back({v1::ACL_RESOURCE_CLUSTER, kClusterName});
  return names;
}

Json RowOf(const v1::Acl& acl) {
  return {{"principal", acl.principal()},
          {"permission", WordOf(acl.permission())},
          {"operation", WordOf(acl.operation())},
          {"resource", WordOf(acl.resource())},
          {"name", acl.name()},
          {"pattern", WordOf(acl.pattern())},
          {"host", acl.host()}};
}

template <typename Acls>
void PrintAcls(const GlobalOptions& global, const Acls& acls) {
  Json list = Json::array();
  for (const v1::Acl& acl : acls) list.push_back(RowOf(acl));
  PrintList(global, list,
            {"principal", "permission", "operation", "resource", "name", "pattern", "host"});
}

// Every combination of what is given.
Result<v1::CreateAclsRequest> NewAcls(const AclArguments& arguments) {
  std::vector<v1::Acl> acls(1);
  const auto multiply = [&acls](const auto& values, const auto& set) {
    std::vector<v1::Acl> more;
    for (const v1::Acl& acl : acls) {
      for (const auto& value : values) set(value, more.emplace_back(acl));
    }
    acls = std::move(more);
  };
  std::vector<std::pair<v1::AclPermission, std::string>> principals;
  for (const auto& each : arguments.allow) principals.emplace_back(v1::ACL_PERMISSION_ALLOW, each);
  for (const auto& each : arguments.deny) principals.emplace_back(v1::ACL_PERMISSION_DENY, each);
  const auto names = NamesOf(arguments);
  if (principals.empty())
    return Error(Reason::kInvalidArgument, "say for whom: --allow or --deny, such as User:alice");
  if (names.empty()) {
    return Error(Reason::kInvalidArgument,
                 "say for what: --topic, --group, --transactional-id, --user or --cluster");
  }
  multiply(names, [&](const Name& name, v1::Acl& acl) {
    acl.set_resource(name.resource);
    acl.set_name(name.name);
    const bool prefixed = arguments.prefixed && name.resource != v1::ACL_RESOURCE_CLUSTER;
    acl.set_pattern(prefixed ? v1::ACL_PATTERN_PREFIXED : v1::ACL_PATTERN_LITERAL);
  });
  multiply(principals, [](const auto& principal, v1::Acl& acl) {
    acl.set_permission(principal.first);
    acl.set_principal(principal.second);
  });
  multiply(arguments.operations, [](const std::string& operation, v1::Acl& acl) {
    acl.set_operation(OperationOf(operation));
  });
  const std::vector<std::string> anywhere = {"*"};
  multiply(arguments.hosts.empty() ? anywhere : arguments.hosts,
           [](const std::string& host, v1::Acl& acl) { acl.set_host(host); });
  v1::CreateAclsRequest request;
  for (v1::Acl& acl : acls) *request.add_acls() = std::move(acl);
  return request;
}

Result<void> RunAclCreate(GlobalOptions& global, const AclArguments& arguments) {
  ASSIGN_OR_RETURN(const auto request, NewAcls(arguments));
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(SecurityAdmin(global.server).CreateAcls(request));
  PrintAcls(global, request.acls());
  std::cout.flush();
  std::cerr << kAclNote << std::endl;
  return {};
}

// Fails where there are several names: a filter has one.
Result<v1::AclFilter> FilterOf(const AclArguments& arguments) {
  v1::AclFilter filter;
  const auto names = NamesOf(arguments);
  if (names.size() > 1) {
    return Error(Reason::kInvalidArgument,
                 "give one of --topic, --group, --transactional-id, --user and --cluster");
  }
  if (!names.empty()) {
    filter.set_resource(names[0].resource);
    filter.set_name(names[0].name);
  }
  if (arguments.pattern == "literal") filter.set_pattern(v1::ACL_PATTERN_LITERAL);
  if (arguments.pattern == "prefixed") filter.set_pattern(v1::ACL_PATTERN_PREFIXED);
  if (arguments.pattern == "match") filter.set_pattern(v1::ACL_PATTERN_MATCH);
  if (!arguments.principal.empty()) filter.set_principal(arguments.principal);
  if (!arguments.hosts.empty()) filter.set_host(arguments.hosts[0]);
  if (!arguments.operations.empty()) filter.set_operation(OperationOf(arguments.operations[0]));
  if (arguments.permission == "allow") filter.set_permission(v1::ACL_PERMISSION_ALLOW);
  if (arguments.permission == "deny") filter.set_permission(v1::ACL_PERMISSION_DENY);
  return filter;
}

Result<void> RunAclList(GlobalOptions& global, const AclArguments& arguments) {
  ASSIGN_OR_RETURN(const auto filter, FilterOf(arguments));
  ASSIGN_OR_RETURN(const auto acls, SecurityAdmin(global.server).ListAcls(filter));
  PrintAcls(global, acls);
  return {};
}

Result<void> RunAclDelete(GlobalOptions& global, const AclArguments& arguments) {
  v1::DeleteAclsRequest request;
  ASSIGN_OR_RETURN(*request.add_filters(), FilterOf(arguments));
  request.set_validate_only(arguments.validate_only);
  const bool is_empty = request.filters(0).ByteSizeLong() == 0;
  if (is_empty != arguments.all) {
    return Error(Reason::kInvalidArgument,
                 is_empty ? "say which rules go; --all: all of them"
                          : "--all is all rules: leave it out, or say nothing else");
  }
  const TroubleWatch watch = WatchForController(global.server);
  ASSIGN_OR_RETURN(const auto response, SecurityAdmin(global.server).DeleteAcls(request));
  PrintAcls(global, response.deleted());
  if (global.output == "json") return {};
  std::cout << response.deleted_size() << (arguments.validate_only ? " would go" : " deleted")
            << "\n";
  return {};
}

void AddList(CLI::App& command, const char* name, std::vector<std::string>& values,
             const char* help, const char* type) {
  command.add_option(name, values, help)
      ->type_name(type)
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false)
      ->check(NotEmpty());
}

void AddNames(CLI::App& command, AclArguments& arguments) {
  AddList(command, "--topic", arguments.topics, "Of this topic; *: of all", "NAME");
  AddList(command, "--group", arguments.groups, "Of this consumer group", "NAME");
  AddList(command, "--transactional-id", arguments.transactional_ids, "Of this transactional id",
          "NAME");
  AddList(command, "--user", arguments.users, "Of this user, as something to be changed", "NAME");
  command.add_flag("--cluster", arguments.cluster, "Of the cluster as a whole");
}

void AddFilter(CLI::App& command, AclArguments& arguments) {
  AddNames(command, arguments);
  command
      .add_option("--pattern", arguments.pattern,
                  "How the rule's name is compared: literal, prefixed, or match: every rule that "
                  "covers the name")
      ->check(CLI::IsMember({"literal", "prefixed", "match"}))
      ->type_name("PATTERN");
  command.add_option("--principal", arguments.principal, "Only for this one, such as User:alice")
      ->type_name("TYPE:NAME");
  command
      .add_option("--operation", arguments.operations,
                  "Only of this operation, as `gregor acl create` has them")
      ->check(CLI::IsMember(OperationWords()))
      ->expected(1)
      ->type_name("OPERATION");
  command
      .add_option("--permission", arguments.permission,
                  "Only what allows, or what denies: allow, deny")
      ->check(CLI::IsMember({"allow", "deny"}))
      ->type_name("PERMISSION");
  command.add_option("--host", arguments.hosts, "Only for this address; *: that are for all")
      ->expected(1)
      ->type_name("ADDRESS");
}

using AclRun = Result<void> (*)(GlobalOptions&, const AclArguments&);

CLI::App* AddAclCommand(CLI::App& group, GlobalOptions& global, const char* name, const char* help,
                        AclRun run, std::shared_ptr<AclArguments> arguments) {
  CLI::App* const command = group.add_subcommand(name, help);
  OnCommand(*command, global,
            [&global, arguments = std::move(arguments), run] { return run(global, *arguments); });
  return command;
}

void AddAclCreate(CLI::App& group, GlobalOptions& global) {
  const auto arguments = std::make_shared<AclArguments>();
  CLI::App* const command = AddAclCommand(
      group, global, "create", "Add rules that allow or deny something", RunAclCreate, arguments);
  AddList(*command, "--allow", arguments->allow, "Who may, such as User:alice; User:*: everybody",
          "TYPE:NAME");
  AddList(*command, "--deny", arguments->deny, "Who may not, whatever else allows it", "TYPE:NAME");
  command
      ->add_option("--operation", arguments->operations,
                   "What, several with commas between: " + AllOperations())
      ->required()
      ->delimiter(',')
      ->check(CLI::IsMember(OperationWords()))
      ->type_name("OPERATION");
  AddNames(*command, *arguments);
  command->add_flag("--prefixed", arguments->prefixed, "Names are what names begin with");
  AddList(*command, "--host", arguments->hosts, "Only from this IP address", "ADDRESS");
  AddExamples(*command,
              {"gregor acl create --allow User:alice --operation read,describe --topic orders",
               "gregor acl create --allow User:etl --operation all --topic etl- --prefixed",
               "gregor acl create --deny User:* --operation write --topic audit --host 10.0.0.7"},
              "All combinations of what is given, all or none; rules that are there already stay. "
              "Rules are stored, and not enforced yet: in this version everybody may do "
              "everything.");
}

}  // namespace

void AddAclCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const acl =
      app.add_subcommand("acl", "Create, list and delete rules of who may do what");
  acl->require_subcommand(1);
  AddAclCreate(*acl, global);
  auto arguments = std::make_shared<AclArguments>();
  CLI::App* command = AddAclCommand(*acl, global, "list", "List rules", RunAclList, arguments);
  AddFilter(*command, *arguments);
  AddExamples(*command,
              {"gregor acl list", "gregor acl list --topic orders --pattern match",
               "gregor --output json acl list --principal User:alice"},
              "Rules are not enforced yet: in this version everybody may do everything.");
  arguments = std::make_shared<AclArguments>();
  command =
      AddAclCommand(*acl, global, "delete", "Delete the rules that match", RunAclDelete, arguments);
  AddFilter(*command, *arguments);
  command->add_flag("--all", arguments->all, "All rules there are");
  command->add_flag("--validate-only", arguments->validate_only, "Show what would go");
  AddExamples(*command, {"gregor acl delete --principal User:alice --topic orders",
                         "gregor acl delete --all --validate-only"});
}

}  // namespace gregor
