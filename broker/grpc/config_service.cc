// ConfigService: configs of topics and brokers in the words of the API.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "broker/grpc/control_call.h"
#include "broker/grpc/control_services.h"
#include "broker/grpc/convert.h"
#include "broker/grpc/quota_admin.h"
#include "broker/grpc/service_stack.h"
#include "broker/grpc/status.h"
#include "gregor/v1/config.grpc.pb.h"

namespace gregor {
namespace {

// Every language's default for what a client receives is 4 MiB.
constexpr size_t kAnswerBytesMax = 3u << 20;

const char* TypeName(ConfigType type) {
  switch (type) {
    case ConfigType::kBoolean:
      return "boolean";
    case ConfigType::kInt:
      return "int";
    case ConfigType::kLong:
      return "long";
    case ConfigType::kDouble:
      return "double";
    case ConfigType::kString:
      return "string";
    case ConfigType::kList:
      return "list";
  }
  return "string";
}

v1::ConfigEntry::Source ToSource(ConfigSource source) {
  switch (source) {
    case ConfigSource::kTopic:
      return v1::ConfigEntry::SOURCE_TOPIC;
    case ConfigSource::kBrokerDynamic:
      return v1::ConfigEntry::SOURCE_BROKER_DYNAMIC;
    case ConfigSource::kClusterDynamic:
      return v1::ConfigEntry::SOURCE_CLUSTER_DYNAMIC;
    case ConfigSource::kBrokerStatic:
      return v1::ConfigEntry::SOURCE_BROKER_STATIC;
    case ConfigSource::kDefault:
      return v1::ConfigEntry::SOURCE_DEFAULT;
  }
  return v1::ConfigEntry::SOURCE_UNSPECIFIED;
}

void FillEntry(const EffectiveConfig& config, bool with_documentation, v1::ConfigEntry& out) {
  const ConfigSpec& spec = *config.spec;
  out.set_name(std::string(spec.name));
  if (!spec.sensitive) out.set_value(config.value);
  out.set_sensitive(spec.sensitive);
  out.set_source(ToSource(config.source));
  out.set_read_only(!spec.has_effect());
  out.set_type(TypeName(spec.type));
  out.set_default_value(std::string(spec.default_value));
  if (!with_documentation) return;
  out.set_documentation(std::string(spec.documentation));
  out.set_valid_values(std::string(spec.valid));
}

// What has configs here. Fails with kInvalidArgument, kUnsupportedVersion.
Result<ConfigResourceType> ToType(const v1::ConfigResource& resource) {
  switch (resource.type()) {
    case v1::ConfigResource::TYPE_UNSPECIFIED:
    case v1::ConfigResource::TYPE_TOPIC:
      if (resource.name().empty())
        return Error(Reason::kInvalidArgument, "resource.name is empty: name the topic");
      return ConfigResourceType::kTopic;
    case v1::ConfigResource::TYPE_BROKER:
      RETURN_IF_ERROR(ParseBrokerId(resource.name()));
      return ConfigResourceType::kBroker;
    case v1::ConfigResource::TYPE_GROUP:
    case v1::ConfigResource::TYPE_BROKER_LOGGER:
      return Error(Reason::kUnsupportedVersion,
                   "this version has no configs of groups and of loggers");
    default:
      return Error(Reason::kInvalidArgument,
                   "resource.type " + std::to_string(resource.type()) + " is not known");
  }
}

Result<ConfigOpKind> ToKind(v1::AlterConfigsRequest::Kind kind) {
  switch (kind) {
    case v1::AlterConfigsRequest::KIND_UNSPECIFIED:
    case v1::AlterConfigsRequest::KIND_SET:
      return ConfigOpKind::kSet;
    case v1::AlterConfigsRequest::KIND_DELETE:
      return ConfigOpKind::kDelete;
    case v1::AlterConfigsRequest::KIND_APPEND:
      return ConfigOpKind::kAppend;
    case v1::AlterConfigsRequest::KIND_SUBTRACT:
      return ConfigOpKind::kSubtract;
    default:
      return Error(Reason::kInvalidArgument, "kind " + std::to_string(kind) + " is not known");
  }
}

Result<AlterConfig> ToAlteration(const v1::AlterConfigsRequest::Alteration& alteration) {
  AlterConfig result;
  ASSIGN_OR_RETURN(result.type, ToType(alteration.resource()));
  result.name = alteration.resource().name();
  for (const auto& op : alteration.ops()) {
    ASSIGN_OR_RETURN(const ConfigOpKind kind, ToKind(op.kind()));
    result.ops.push_back({.name = op.name(), .kind = kind, .value = op.value()});
  }
  return result;
}

using ConfigApi = v1::ConfigService;
using ConfigMethods =
    Stack<ConfigApi::Service, ConfigApi::WithRawMethod_DescribeConfigs,
          ConfigApi::WithRawMethod_AlterConfigs, ConfigApi::WithRawMethod_DescribeQuotas,
          ConfigApi::WithRawMethod_AlterQuotas>;

// Thread: main; what handles calls: the control loop.
class ConfigService final : public ConfigMethods, public DoorService {
 public:
  explicit ConfigService(Door& door)
      : broker_(door.broker), methods_(door.metrics, "gregor.v1.ConfigService") {
    using Kind = ControlMethods::Kind;
    using Self = ConfigService;
    methods_.Add(Kind::kRead, "DescribeConfigs", this, &Self::RequestDescribeConfigs,
                 &Self::Describe);
    methods_.Add(Kind::kWrite, "AlterConfigs", this, &Self::RequestAlterConfigs, &Self::Alter);
    methods_.Add(Kind::kRead, "DescribeQuotas", this, &Self::RequestDescribeQuotas, &Self::Quotas);
    methods_.Add(Kind::kWrite, "AlterQuotas", this, &Self::RequestAlterQuotas, &Self::SetQuotas);
  }
  grpc::Service* service() override { return this; }
  void Serve(const std::shared_ptr<Door>& door) override { methods_.Serve(door); }

 private:
  Result<v1::DescribeConfigsResponse> Describe(const v1::DescribeConfigsRequest& request) const;
  Result<DescribedConfigs> DescribeOne(const v1::ConfigResource& resource) const;
  void Alter(const v1::AlterConfigsRequest& request, Reply<v1::AlterConfigsResponse> reply);
  Result<v1::DescribeQuotasResponse> Quotas(const v1::DescribeQuotasRequest& request) const {
    return DescribedQuotas(broker_, request);
  }
  void SetQuotas(const v1::AlterQuotasRequest& request, Reply<v1::AlterQuotasResponse> reply) {
    ChangeQuotas(broker_, request, std::move(reply));
  }

  BrokerApi& broker_;
  ControlMethods methods_;
};

Result<DescribedConfigs> ConfigService::DescribeOne(const v1::ConfigResource& resource) const {
  // What a new topic has.
  if (resource.type() == v1::ConfigResource::TYPE_TOPIC && resource.name().empty())
    return broker_.DescribeTopicConfigs("");
  ASSIGN_OR_RETURN(const ConfigResourceType type, ToType(resource));
  if (type == ConfigResourceType::kTopic) return broker_.DescribeTopicConfigs(resource.name());
  ASSIGN_OR_RETURN(const auto id, ParseBrokerId(resource.name()));
  return broker_.DescribeBrokerConfigs(id.value_or(NodeId{-1}));
}

// The entries that were asked for, by name. Fails with kInvalidConfig where one does not exist.
Result<void> FillEntries(DescribedConfigs configs, const v1::DescribeConfigsRequest& request,
                         v1::DescribeConfigsResponse::Result& out) {
  auto& entries = configs.entries;
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.spec->name < b.spec->name; });
  for (const std::string& key : request.keys()) {
    const bool known = std::any_of(entries.begin(), entries.end(),
                                   [&](const auto& entry) { return entry.spec->name == key; });
    if (!known) {
      return Error(Reason::kInvalidConfig,
                   "there is no config \"" + key + "\" of this kind of resource")
          .With("config", key);
    }
  }
  for (const EffectiveConfig& entry : entries) {
    const auto& keys = request.keys();
    if (!keys.empty() && std::find(keys.begin(), keys.end(), entry.spec->name) == keys.end())
      continue;
    FillEntry(entry, request.include_documentation(), *out.add_entries());
  }
  return {};
}

Result<v1::DescribeConfigsResponse> ConfigService::Describe(
    const v1::DescribeConfigsRequest& request) const {
  if (request.resources_size() > kItemsMax || request.keys_size() > kItemsMax) {
    return TooManyItems("resources and as many keys");
  }
  v1::DescribeConfigsResponse response;
  size_t bytes = 0;
  for (const v1::ConfigResource& resource : request.resources()) {
    auto& out = *response.add_results();
    *out.mutable_resource() = resource;
    auto configs = DescribeOne(resource);
    const Result<void> filled = configs.ok() ? FillEntries(*std::move(configs), request, out)
                                             : Result<void>(configs.error());
    if (!filled.ok()) *out.mutable_error() = ToRpcStatus(filled.error());
    bytes += out.ByteSizeLong();
    if (bytes > kAnswerBytesMax) {
      return Error(Reason::kInvalidArgument,
                   "the answer would exceed 3 MiB: ask for at most " +
                       std::to_string(std::max(1, response.results_size() - 1)) +
                       " such resources a call, or for fewer keys");
    }
  }
  return response;
}

void ConfigService::Alter(const v1::AlterConfigsRequest& request,
                          Reply<v1::AlterConfigsResponse> reply) {
  if (request.alterations_size() > kItemsMax) {
    return reply(TooManyItems("alterations"));
  }
  // Those that can be understood go on; their results come back in the same order.
  std::vector<AlterConfig> alterations;
  std::vector<int> places;
  v1::AlterConfigsResponse response;
  for (const auto& each : request.alterations()) {
    auto& out = *response.add_results();
    auto alteration = ToAlteration(each);
    if (!alteration.ok()) {
      out = ToRpcStatus(alteration.error());
      continue;
    }
    alterations.push_back(*std::move(alteration));
    places.push_back(response.results_size() - 1);
  }
  if (alterations.empty()) return reply(std::move(response));
  const OperationContext context = reply.operation_context();
  broker_.controller().Run(
      gregor::AlterConfigs{std::move(alterations), request.validate_only()},
      [reply = std::move(reply), places = std::move(places),
       response = std::move(response)](Result<std::vector<Result<void>>> results) mutable {
        if (!results.ok()) return reply(std::move(results).error());
        CHECK(results->size() == places.size());
        for (size_t i = 0; i < places.size(); ++i) {
          const Result<void>& result = (*results)[i];
          if (!result.ok()) *response.mutable_results(places[i]) = ToRpcStatus(result.error());
        }
        reply(std::move(response));
      },
      context);
}

}  // namespace

std::unique_ptr<DoorService> NewConfigService(Door& door) {
  return std::make_unique<ConfigService>(door);
}

}  // namespace gregor
