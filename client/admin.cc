#include "client/admin.h"

#include <algorithm>
#include <utility>

namespace gregor {
namespace {

constexpr char kTopics[] = "/gregor.v1.TopicService/";
constexpr char kConfigs[] = "/gregor.v1.ConfigService/";
constexpr char kCluster[] = "/gregor.v1.ClusterService/";
constexpr int32_t kPageSize = 5000;
constexpr size_t kDeletionsMax = 1000;  // as the API has it
constexpr size_t kQueriesMax = 5000;    // so that an answer stays far below the message limit

}  // namespace

Result<void> Admin::Ping() const {
  RETURN_IF_ERROR(Call<v1::GetMetadataResponse>(std::string(kCluster) + "GetMetadata",
                                                v1::GetMetadataRequest()));
  return {};
}

Result<v1::TopicMetadata> Admin::CreateTopic(const v1::CreateTopicRequest& request) const {
  ASSIGN_OR_RETURN(auto response,
                   Call<v1::CreateTopicResponse>(std::string(kTopics) + "CreateTopic", request));
  return std::move(*response.mutable_topic());
}

Result<v1::TopicMetadata> Admin::GetTopic(const std::string& topic) const {
  v1::GetTopicRequest request;
  request.set_topic(topic);
  request.mutable_page()->set_page_size(kPageSize);
  v1::TopicMetadata metadata;
  do {
    ASSIGN_OR_RETURN(const auto response,
                     Call<v1::GetTopicResponse>(std::string(kTopics) + "GetTopic", request));
    metadata.MergeFrom(response.topic());  // appends the partitions of this page
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  return metadata;
}

Result<int32_t> Admin::PartitionCount(const std::string& topic) const {
  v1::GetTopicRequest request;
  request.set_topic(topic);
  request.mutable_page()->set_page_size(1);
  ASSIGN_OR_RETURN(const auto response,
                   Call<v1::GetTopicResponse>(std::string(kTopics) + "GetTopic", request));
  return response.topic().partition_count();
}

Result<std::vector<v1::TopicMetadata>> Admin::ListTopics(const std::string& prefix) const {
  v1::ListTopicsRequest request;
  request.set_prefix(prefix);
  std::vector<v1::TopicMetadata> topics;
  do {
    ASSIGN_OR_RETURN(auto response,
                     Call<v1::ListTopicsResponse>(std::string(kTopics) + "ListTopics", request));
    for (auto& topic : *response.mutable_topics()) topics.push_back(std::move(topic));
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  return topics;
}

Result<void> Admin::DeleteTopic(const std::string& topic, bool allow_missing) const {
  v1::DeleteTopicRequest request;
  request.set_topic(topic);
  request.set_allow_missing(allow_missing);
  RETURN_IF_ERROR(Call<v1::DeleteTopicResponse>(std::string(kTopics) + "DeleteTopic", request));
  return {};
}

Result<v1::TopicMetadata> Admin::AddPartitions(const std::string& topic, int32_t total,
                                               bool validate_only) const {
  v1::AddPartitionsRequest request;
  request.set_topic(topic);
  request.set_total_partitions(total);
  request.set_validate_only(validate_only);
  ASSIGN_OR_RETURN(auto response, Call<v1::AddPartitionsResponse>(
                                      std::string(kTopics) + "AddPartitions", request));
  return std::move(*response.mutable_topic());
}

Result<v1::DeleteRecordsResponse> Admin::DeleteRecords(
    const std::string& topic, const std::vector<std::pair<int32_t, int64_t>>& before) const {
  v1::DeleteRecordsResponse all;
  for (size_t done = 0; done < before.size(); done += kDeletionsMax) {
    v1::DeleteRecordsRequest request;
    for (size_t i = done; i < std::min(before.size(), done + kDeletionsMax); ++i) {
      auto& item = *request.add_items();
      item.mutable_partition()->set_topic(topic);
      item.mutable_partition()->set_partition(before[i].first);
      item.set_before_offset(before[i].second);
    }
    auto response =
        Call<v1::DeleteRecordsResponse>(std::string(kTopics) + "DeleteRecords", request);
    if (!response.ok()) {
      Error error = std::move(response).error();
      if (done > 0) {
        error.message += " (" + std::to_string(done) + " of " + std::to_string(before.size()) +
                         " partitions are done)";
      }
      return error;
    }
    if (response->results_size() != request.items_size())
      return Error(Reason::kUnspecified, "the server answered another number of items");
    all.MergeFrom(*response);
  }
  return all;
}

Result<std::vector<v1::ConfigEntry>> Admin::DescribeConfigs(const v1::ConfigResource& resource,
                                                            const std::vector<std::string>& keys,
                                                            bool documentation) const {
  v1::DescribeConfigsRequest request;
  *request.add_resources() = resource;
  for (const std::string& key : keys) request.add_keys(key);
  request.set_include_documentation(documentation);
  ASSIGN_OR_RETURN(auto response, Call<v1::DescribeConfigsResponse>(
                                      std::string(kConfigs) + "DescribeConfigs", request));
  std::vector<v1::ConfigEntry> entries;
  for (auto& result : *response.mutable_results()) {
    if (result.error().code() != 0) return ErrorOfStatus(result.error());
    for (auto& entry : *result.mutable_entries()) entries.push_back(std::move(entry));
  }
  return entries;
}

Result<std::string> Admin::TopicConfig(const std::string& topic, const std::string& key) const {
  ASSIGN_OR_RETURN(const auto entries, DescribeConfigs(TopicResource(topic), {key}, false));
  for (const v1::ConfigEntry& entry : entries) {
    if (entry.name() == key) return entry.value();
  }
  return Error(Reason::kInvalidConfig, "there is no topic config \"" + key + "\"");
}

Result<void> Admin::AlterConfigs(const v1::ConfigResource& resource,
                                 const std::vector<std::pair<std::string, std::string>>& set,
                                 const std::vector<std::string>& unset, bool validate_only) const {
  v1::AlterConfigsRequest request;
  request.set_validate_only(validate_only);
  auto& alteration = *request.add_alterations();
  *alteration.mutable_resource() = resource;
  for (const auto& [name, value] : set) {
    auto& op = *alteration.add_ops();
    op.set_kind(v1::AlterConfigsRequest::KIND_SET);
    op.set_name(name);
    op.set_value(value);
  }
  for (const std::string& name : unset) {
    auto& op = *alteration.add_ops();
    op.set_kind(v1::AlterConfigsRequest::KIND_DELETE);
    op.set_name(name);
  }
  ASSIGN_OR_RETURN(const auto response,
                   Call<v1::AlterConfigsResponse>(std::string(kConfigs) + "AlterConfigs", request));
  for (const auto& status : response.results()) {
    if (status.code() != 0) return ErrorOfStatus(status);
  }
  return {};
}

Result<std::vector<int64_t>> Admin::FindOffsets(const std::string& topic,
                                                const std::vector<int32_t>& partitions,
                                                const v1::Position& position) const {
  std::vector<int64_t> offsets;
  offsets.reserve(partitions.size());
  while (offsets.size() < partitions.size()) {
    v1::ListOffsetsRequest request;
    const size_t end = std::min(partitions.size(), offsets.size() + kQueriesMax);
    for (size_t i = offsets.size(); i < end; ++i) {
      auto& query = *request.add_queries();
      query.mutable_partition()->set_topic(topic);
      query.mutable_partition()->set_partition(partitions[i]);
      *query.mutable_position() = position;
    }
    ASSIGN_OR_RETURN(const auto response,
                     Call<v1::ListOffsetsResponse>("/gregor.v1.FetchService/ListOffsets", request));
    if (response.results_size() != request.queries_size())
      return Error(Reason::kUnspecified, "the server answered another number of queries");
    for (const auto& result : response.results()) {
      if (result.error().code() != 0) return ErrorOfStatus(result.error());
      offsets.push_back(result.offset());
    }
  }
  return offsets;
}

Result<v1::DescribeClusterResponse> Admin::DescribeCluster(
    const std::vector<int32_t>& brokers) const {
  v1::DescribeClusterRequest request;
  request.set_include_fenced(true);
  for (const int32_t broker : brokers) request.add_broker_ids(broker);
  v1::DescribeClusterResponse all;
  do {
    ASSIGN_OR_RETURN(const auto response, Call<v1::DescribeClusterResponse>(
                                              std::string(kCluster) + "DescribeCluster", request));
    all.clear_features();  // every page has them
    all.MergeFrom(response);
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  return all;
}

Result<void> Admin::SetBrokerFence(int32_t broker, bool fenced) const {
  v1::SetBrokerFenceRequest request;
  request.set_broker_id(broker);
  request.set_fenced(fenced);
  RETURN_IF_ERROR(
      Call<v1::SetBrokerFenceResponse>(std::string(kCluster) + "SetBrokerFence", request));
  return {};
}

Result<void> Admin::UnregisterBroker(int32_t broker) const {
  v1::UnregisterBrokerRequest request;
  request.set_broker_id(broker);
  RETURN_IF_ERROR(
      Call<v1::UnregisterBrokerResponse>(std::string(kCluster) + "UnregisterBroker", request));
  return {};
}

Result<v1::DescribeLogDirsResponse> Admin::DescribeLogDirs(const std::string& topic) const {
  v1::DescribeLogDirsRequest request;
  request.set_omit_replicas(true);
  if (!topic.empty()) request.add_topics(topic);
  return Call<v1::DescribeLogDirsResponse>(std::string(kCluster) + "DescribeLogDirs", request);
}

Result<v1::DescribeQuorumResponse> Admin::DescribeQuorum() const {
  return Call<v1::DescribeQuorumResponse>(std::string(kCluster) + "DescribeQuorum",
                                          v1::DescribeQuorumRequest());
}

Result<void> Admin::AddVoter(const v1::AddVoterRequest& request) const {
  RETURN_IF_ERROR(Call<v1::AddVoterResponse>(std::string(kCluster) + "AddVoter", request));
  return {};
}

Result<void> Admin::RemoveVoter(const v1::RemoveVoterRequest& request) const {
  RETURN_IF_ERROR(Call<v1::RemoveVoterResponse>(std::string(kCluster) + "RemoveVoter", request));
  return {};
}

Result<int32_t> Admin::TransferQuorumLeadership(std::optional<int32_t> node) const {
  v1::TransferQuorumLeadershipRequest request;
  if (node.has_value()) request.set_node_id(*node);
  ASSIGN_OR_RETURN(const auto response,
                   Call<v1::TransferQuorumLeadershipResponse>(
                       std::string(kCluster) + "TransferQuorumLeadership", request));
  return response.leader_id();
}

v1::ConfigResource TopicResource(const std::string& topic) {
  v1::ConfigResource resource;
  resource.set_type(v1::ConfigResource::TYPE_TOPIC);
  resource.set_name(topic);
  return resource;
}

v1::Position AtAnchor(v1::Position::Anchor anchor) {
  v1::Position position;
  position.set_anchor(anchor);
  return position;
}

}  // namespace gregor
