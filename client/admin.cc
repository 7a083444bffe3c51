#include "client/admin.h"

#include <algorithm>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <numeric>
#include <set>
#include <utility>

namespace gregor {
namespace {

constexpr char kTopics[] = "/gregor.v1.TopicService/";
constexpr char kConfigs[] = "/gregor.v1.ConfigService/";
constexpr char kCluster[] = "/gregor.v1.ClusterService/";
constexpr int32_t kPageSize = 5000;
constexpr size_t kDeletionsMax = 1000;  // as the API has it
constexpr int kPartitionsPerCall = 1000;
constexpr size_t kQueriesMax = 5000;  // so that an answer stays far below the message limit
constexpr int64_t kToEnd = -1;        // of DeleteRecords()

constexpr Duration kPauseMin = std::chrono::milliseconds(20);
constexpr Duration kPauseMax = std::chrono::milliseconds(500);

// The error of an item that came to a broker which does not lead its partition (yet, or any more),
// or has not heard of the topic yet: others have.
std::optional<Error> IfMisdirected(const google::rpc::Status& status) {
  if (status.code() == 0) return std::nullopt;
  Error error = ErrorOfStatus(status);
  if (error.reason == Reason::kNotLeader || error.reason == Reason::kLeaderNotAvailable ||
      error.reason == Reason::kTopicNotFound)
    return error;
  return std::nullopt;
}

void Pause(Duration duration) {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, duration);
}

}  // namespace

Result<void> Admin::Ping() const {
  RETURN_IF_ERROR(Read<v1::GetMetadataResponse>(std::string(kCluster) + "GetMetadata",
                                                v1::GetMetadataRequest()));
  return {};
}

Result<v1::TopicMetadata> Admin::CreateTopic(const v1::CreateTopicRequest& request) const {
  ASSIGN_OR_RETURN(auto response,
                   Write<v1::CreateTopicResponse>(std::string(kTopics) + "CreateTopic", request));
  return std::move(*response.mutable_topic());
}

Result<v1::TopicMetadata> Admin::GetTopic(const std::string& topic) const {
  v1::GetTopicRequest request;
  request.set_topic(topic);
  request.mutable_page()->set_page_size(kPageSize);
  v1::TopicMetadata metadata;
  do {
    ASSIGN_OR_RETURN(const auto response,
                     Read<v1::GetTopicResponse>(std::string(kTopics) + "GetTopic", request));
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
                   Read<v1::GetTopicResponse>(std::string(kTopics) + "GetTopic", request));
  return response.topic().partition_count();
}

Result<std::vector<v1::TopicMetadata>> Admin::ListTopics(const std::string& prefix) const {
  v1::ListTopicsRequest request;
  request.set_prefix(prefix);
  std::vector<v1::TopicMetadata> topics;
  do {
    ASSIGN_OR_RETURN(auto response,
                     Read<v1::ListTopicsResponse>(std::string(kTopics) + "ListTopics", request));
    for (auto& topic : *response.mutable_topics()) topics.push_back(std::move(topic));
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  return topics;
}

Result<void> Admin::DeleteTopic(const std::string& topic, bool allow_missing) const {
  v1::DeleteTopicRequest request;
  request.set_topic(topic);
  request.set_allow_missing(allow_missing);
  RETURN_IF_ERROR(Write<v1::DeleteTopicResponse>(std::string(kTopics) + "DeleteTopic", request));
  return {};
}

Result<v1::TopicMetadata> Admin::AddPartitions(const std::string& topic, int32_t total,
                                               bool validate_only) const {
  v1::AddPartitionsRequest request;
  request.set_topic(topic);
  request.set_total_partitions(total);
  request.set_validate_only(validate_only);
  ASSIGN_OR_RETURN(auto response, Write<v1::AddPartitionsResponse>(
                                      std::string(kTopics) + "AddPartitions", request));
  return std::move(*response.mutable_topic());
}

std::map<std::shared_ptr<Channel>, std::vector<size_t>> Admin::ByLeader(
    const std::string& topic, const std::vector<int32_t>& partitions,
    const std::vector<size_t>& items) const {
  std::map<std::shared_ptr<Channel>, std::vector<size_t>> by_leader;
  for (const size_t item : items) {
    const auto leader = router_->LeaderOf(topic, PartitionIndex{partitions[item]});
    auto channel = leader.has_value() ? router_->ChannelTo(*leader) : nullptr;
    if (channel == nullptr) channel = router_->AnyNode();
    by_leader[channel].push_back(item);
  }
  return by_leader;
}

Result<void> Admin::SendToLeaders(const std::string& topic, const std::vector<int32_t>& partitions,
                                  size_t items_max, const Send& send) const {
  const MonotonicTime deadline = SystemClock().Now() + timeout_;
  const auto left = [&] { return std::max(Duration(0), deadline - SystemClock().Now()); };
  std::vector<size_t> items(partitions.size());
  std::iota(items.begin(), items.end(), size_t{0});
  Duration pause = kPauseMin;
  while (!items.empty()) {
    RETURN_IF_ERROR(router_->AskForTopic(topic, left()));
    std::vector<size_t> again;
    std::optional<Error> why;
    for (const auto& [channel, all] : ByLeader(topic, partitions, items)) {
      for (size_t begin = 0; begin < all.size(); begin += items_max) {
        const std::vector<size_t> some(
            all.begin() + static_cast<ptrdiff_t>(begin),
            all.begin() + static_cast<ptrdiff_t>(std::min(all.size(), begin + items_max)));
        const auto sent = send(some, *channel, left());
        const bool is_gone = !sent.ok() && (IsUnreachable(sent.error()) ||
                                            sent.error().reason == Reason::kServerDraining);
        if (!sent.ok() && !is_gone) return sent.error();
        for (size_t i = 0; i < some.size(); ++i) {
          const auto& error = sent.ok() ? (*sent)[i] : std::optional<Error>(sent.error());
          if (!error.has_value()) continue;
          again.push_back(some[i]);
          why = error;
          router_->LearnFrom(*error, topic, PartitionIndex{partitions[some[i]]}, *channel);
        }
      }
    }
    if (why.has_value() && left() <= pause) return *why;
    if (why.has_value()) Pause(std::exchange(pause, std::min(kPauseMax, 2 * pause)));
    items = std::move(again);
  }
  return {};
}

Result<v1::DeleteRecordsResponse> Admin::DeleteRecords(
    const std::string& topic, std::vector<std::pair<int32_t, int64_t>> before) const {
  v1::DeleteRecordsResponse all;
  std::vector<int32_t> partitions;
  for (const auto& [partition, offset] : before) {
    partitions.push_back(partition);
    all.add_results();
  }
  // What is repeated must not delete what has come since.
  const bool to_end = std::any_of(before.begin(), before.end(),
                                  [](const auto& each) { return each.second == kToEnd; });
  if (to_end) {
    ASSIGN_OR_RETURN(const auto ends,
                     FindOffsets(topic, partitions, AtAnchor(v1::Position::ANCHOR_LATEST)));
    for (size_t i = 0; i < before.size(); ++i) {
      if (before[i].second == kToEnd) before[i].second = ends[i];
    }
  }
  size_t done = 0;
  const auto send = [&](const std::vector<size_t>& items, Channel& channel,
                        Duration timeout) -> Result<Misdirected> {
    v1::DeleteRecordsRequest request;
    for (const size_t i : items) {
      auto& item = *request.add_items();
      item.mutable_partition()->set_topic(topic);
      item.mutable_partition()->set_partition(before[i].first);
      item.set_before_offset(before[i].second);
    }
    ASSIGN_OR_RETURN(const auto response,
                     channel.Call<v1::DeleteRecordsResponse>(std::string(kTopics) + "DeleteRecords",
                                                             request, timeout));
    if (response.results_size() != request.items_size())
      return Error(Reason::kUnspecified, "the server answered another number of items");
    Misdirected misdirected(items.size());
    for (size_t i = 0; i < items.size(); ++i) {
      const auto& result = response.results(static_cast<int>(i));
      misdirected[i] = IfMisdirected(result.error());
      if (misdirected[i].has_value()) continue;
      *all.mutable_results(static_cast<int>(items[i])) = result;
      ++done;
    }
    return misdirected;
  };
  auto sent = SendToLeaders(topic, partitions, kDeletionsMax, send);
  if (sent.ok()) return all;
  Error error = std::move(sent).error();
  if (done > 0) {
    error.message += " (" + std::to_string(done) + " of " + std::to_string(before.size()) +
                     " partitions are done)";
  }
  return error;
}

Result<std::vector<v1::ConfigEntry>> Admin::DescribeConfigs(const v1::ConfigResource& resource,
                                                            const std::vector<std::string>& keys,
                                                            bool documentation) const {
  v1::DescribeConfigsRequest request;
  *request.add_resources() = resource;
  for (const std::string& key : keys) request.add_keys(key);
  request.set_include_documentation(documentation);
  ASSIGN_OR_RETURN(auto response, Read<v1::DescribeConfigsResponse>(
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
  ASSIGN_OR_RETURN(const auto response, Write<v1::AlterConfigsResponse>(
                                            std::string(kConfigs) + "AlterConfigs", request));
  for (const auto& status : response.results()) {
    if (status.code() != 0) return ErrorOfStatus(status);
  }
  return {};
}

Result<std::vector<int32_t>> Admin::WithLeader(const std::string& topic,
                                               const std::vector<int32_t>& partitions,
                                               Duration patience) const {
  const MonotonicTime end = SystemClock().Now() + patience;
  while (true) {
    ASSIGN_OR_RETURN(const auto metadata, GetTopic(topic));
    std::set<int32_t> led;
    for (const auto& partition : metadata.partitions()) {
      if (partition.has_leader_id()) led.insert(partition.partition());
    }
    std::vector<int32_t> found;
    std::ranges::copy_if(partitions, std::back_inserter(found),
                         [&](int32_t partition) { return led.contains(partition); });
    if (found.size() == partitions.size() || SystemClock().Now() >= end) return found;
    Pause(kPauseMax / 2);
  }
}

Result<std::vector<int64_t>> Admin::FindOffsets(const std::string& topic,
                                                const std::vector<int32_t>& partitions,
                                                const v1::Position& position) const {
  std::vector<int64_t> offsets(partitions.size(), -1);
  const auto send = [&](const std::vector<size_t>& items, Channel& channel,
                        Duration timeout) -> Result<Misdirected> {
    v1::ListOffsetsRequest request;
    request.set_routing(v1::ROUTING_DIRECT);
    for (const size_t i : items) {
      auto& query = *request.add_queries();
      query.mutable_partition()->set_topic(topic);
      query.mutable_partition()->set_partition(partitions[i]);
      *query.mutable_position() = position;
    }
    ASSIGN_OR_RETURN(const auto response,
                     channel.Call<v1::ListOffsetsResponse>("/gregor.v1.FetchService/ListOffsets",
                                                           request, timeout));
    if (response.results_size() != request.queries_size())
      return Error(Reason::kUnspecified, "the server answered another number of queries");
    Misdirected misdirected(items.size());
    for (size_t i = 0; i < items.size(); ++i) {
      const auto& result = response.results(static_cast<int>(i));
      misdirected[i] = IfMisdirected(result.error());
      if (misdirected[i].has_value()) continue;
      if (result.error().code() != 0) return ErrorOfStatus(result.error());
      offsets[items[i]] = result.offset();
    }
    return misdirected;
  };
  RETURN_IF_ERROR(SendToLeaders(topic, partitions, kQueriesMax, send));
  return offsets;
}

Result<v1::DescribeClusterResponse> Admin::DescribeCluster(
    const std::vector<int32_t>& brokers) const {
  v1::DescribeClusterRequest request;
  request.set_include_fenced(true);
  for (const int32_t broker : brokers) request.add_broker_ids(broker);
  v1::DescribeClusterResponse all;
  do {
    ASSIGN_OR_RETURN(const auto response, Read<v1::DescribeClusterResponse>(
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
      Write<v1::SetBrokerFenceResponse>(std::string(kCluster) + "SetBrokerFence", request));
  return {};
}

Result<v1::DrainBrokerResponse> Admin::DrainBroker(int32_t broker, bool cancel) const {
  v1::DrainBrokerRequest request;
  request.set_broker_id(broker);
  request.set_cancel(cancel);
  return Write<v1::DrainBrokerResponse>(std::string(kCluster) + "DrainBroker", request);
}

Result<v1::UpdateFeaturesResponse> Admin::UpdateFeatures(
    const v1::UpdateFeaturesRequest& request) const {
  return Write<v1::UpdateFeaturesResponse>(std::string(kCluster) + "UpdateFeatures", request);
}

Result<void> Admin::UnregisterBroker(int32_t broker) const {
  v1::UnregisterBrokerRequest request;
  request.set_broker_id(broker);
  RETURN_IF_ERROR(
      Write<v1::UnregisterBrokerResponse>(std::string(kCluster) + "UnregisterBroker", request));
  return {};
}

Result<v1::ElectLeadersResponse> Admin::ElectLeaders(const v1::ElectLeadersRequest& request) const {
  v1::ElectLeadersRequest part = request;
  v1::ElectLeadersResponse all;
  for (int at = 0; at == 0 || at < request.partitions_size(); at += kPartitionsPerCall) {
    part.clear_partitions();
    for (int i = at; i < std::min(at + kPartitionsPerCall, request.partitions_size()); ++i)
      *part.add_partitions() = request.partitions(i);
    ASSIGN_OR_RETURN(const auto response,
                     Write<v1::ElectLeadersResponse>(std::string(kCluster) + "ElectLeaders", part));
    all.MergeFrom(response);
  }
  return all;
}

Result<v1::ReassignPartitionsResponse> Admin::ReassignPartitions(
    const v1::ReassignPartitionsRequest& request) const {
  v1::ReassignPartitionsRequest part = request;
  v1::ReassignPartitionsResponse all;
  for (int at = 0; at < request.reassignments_size(); at += kPartitionsPerCall) {
    part.clear_reassignments();
    for (int i = at; i < std::min(at + kPartitionsPerCall, request.reassignments_size()); ++i)
      *part.add_reassignments() = request.reassignments(i);
    ASSIGN_OR_RETURN(const auto response, Write<v1::ReassignPartitionsResponse>(
                                              std::string(kCluster) + "ReassignPartitions", part));
    if (response.results_size() != part.reassignments_size())
      return Error(Reason::kUnspecified, "the server answered another number of items");
    all.MergeFrom(response);
  }
  return all;
}

Result<std::vector<v1::ListReassignmentsResponse::Ongoing>> Admin::ListReassignments() const {
  v1::ListReassignmentsRequest request;
  std::vector<v1::ListReassignmentsResponse::Ongoing> all;
  do {
    ASSIGN_OR_RETURN(auto response, Read<v1::ListReassignmentsResponse>(
                                        std::string(kCluster) + "ListReassignments", request));
    for (auto& each : *response.mutable_reassignments()) all.push_back(std::move(each));
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  return all;
}

Result<v1::DescribeLogDirsResponse> Admin::DescribeLogDirs(const std::string& topic) const {
  v1::DescribeLogDirsRequest request;
  request.set_omit_replicas(true);
  if (!topic.empty()) request.add_topics(topic);
  return Read<v1::DescribeLogDirsResponse>(std::string(kCluster) + "DescribeLogDirs", request);
}

Result<v1::DescribeQuorumResponse> Admin::DescribeQuorum() const {
  return Read<v1::DescribeQuorumResponse>(std::string(kCluster) + "DescribeQuorum",
                                          v1::DescribeQuorumRequest());
}

Result<void> Admin::AddVoter(const v1::AddVoterRequest& request) const {
  RETURN_IF_ERROR(Write<v1::AddVoterResponse>(std::string(kCluster) + "AddVoter", request));
  return {};
}

Result<void> Admin::RemoveVoter(const v1::RemoveVoterRequest& request) const {
  RETURN_IF_ERROR(Write<v1::RemoveVoterResponse>(std::string(kCluster) + "RemoveVoter", request));
  return {};
}

Result<int32_t> Admin::TransferQuorumLeadership(std::optional<int32_t> node) const {
  v1::TransferQuorumLeadershipRequest request;
  if (node.has_value()) request.set_node_id(*node);
  ASSIGN_OR_RETURN(const auto response,
                   Write<v1::TransferQuorumLeadershipResponse>(
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
