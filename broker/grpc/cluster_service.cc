// ClusterService: where things are.
#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "broker/grpc/broker_admin.h"
#include "broker/grpc/control_call.h"
#include "broker/grpc/control_services.h"
#include "broker/grpc/convert.h"
#include "broker/grpc/metadata_watch.h"
#include "broker/grpc/page_token.h"
#include "broker/grpc/partition_admin.h"
#include "broker/grpc/quorum_messages.h"
#include "broker/grpc/service_stack.h"
#include "broker/grpc/status.h"
#include "broker/resolve.h"
#include "gregor/v1/cluster.grpc.pb.h"

namespace gregor {
namespace {

constexpr Pages::Limits kPartitionPages{.size_default = 5000, .size_max = 5000};

// The parts of a page's key: numbers and texts, by line; texts have no line ends.
std::vector<std::string> SplitLines(std::string_view text) {
  std::vector<std::string> lines(1);
  for (const char each : text) {
    if (each == '\n') {
      lines.emplace_back();
    } else {
      lines.back() += each;
    }
  }
  return lines;
}

int32_t ToNumber(const std::string& text) {
  int32_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// Everything in a list that must be the same on all pages.
template <typename List>
std::string Joined(const List& list) {
  std::string joined;
  for (const auto& each : list) {
    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(each)>>) {
      joined += std::to_string(each);
    } else {
      joined += each;
    }
    joined += '\0';
  }
  return joined;
}

// One page of the topics and partitions of GetMetadata.
class MetadataPage {
 public:
  MetadataPage(const PartitionView& view, const v1::GetMetadataRequest& request, size_t size,
               v1::GetMetadataResponse& out)
      : view_(view), request_(request), size_(size), out_(out) {}

  // Begins with partition `partition` of topic number `topic` of the request; returns the key of
  // the place where the next page begins, empty if there is none.
  std::string Fill(int topic, int32_t partition) {
    for (; topic < request_.topics_size(); ++topic, partition = 0) {
      if (IsFull()) return KeyOf(topic, 0);
      const int32_t next = AddTopic(request_.topics(topic), partition);
      if (next >= 0) return KeyOf(topic, next);
    }
    return "";
  }

 private:
  static std::string KeyOf(int topic, int32_t partition) {
    return std::to_string(topic) + "\n" + std::to_string(partition);
  }
  bool IsFull() const { return count_ >= size_ || bytes_ > kPageBytesMax; }
  void Count(const google::protobuf::Message& added) {
    ++count_;
    bytes_ += added.ByteSizeLong();
  }

  // Returns the partition with which the next page goes on; -1: the topic is told.
  int32_t AddTopic(const std::string& name, int32_t from) {
    auto& out = *out_.add_topics();
    const TopicPtr topic = view_.image.Topic(name);
    if (topic == nullptr) {
      out.set_topic(name);
      *out.mutable_error() = ToRpcStatus(NoSuchTopic(name));
      Count(out);
      return -1;
    }
    FillTopic(*topic, out);
    bytes_ += out.ByteSizeLong();
    int32_t next = -1;
    topic->partitions.VisitFrom(PartitionIndex{from}, [&](PartitionIndex index, const auto& each) {
      if (IsFull() && out.partitions_size() > 0) {
        next = index.value;
        return false;
      }
      FillPartition(topic->id, *each, view_, *out.add_partitions());
      Count(out.partitions(out.partitions_size() - 1));
      return true;
    });
    return next;
  }

  const PartitionView view_;
  const v1::GetMetadataRequest& request_;
  const size_t size_;
  v1::GetMetadataResponse& out_;
  size_t count_ = 0;
  size_t bytes_ = 0;
};

// The order of replicas in DescribeLogDirs, and their key.
using ReplicaKey = std::tuple<std::string, std::string, std::string>;  // directory, topic, id

ReplicaKey KeyOf(const LogDirUsage& dir, const ReplicaUsage& replica) {
  return {dir.id.ToString(), replica.topic, replica.id.ToString()};
}

using ClusterApi = v1::ClusterService;
using ClusterMethods =
    Stack<ClusterApi::Service, ClusterApi::WithRawMethod_GetMetadata,
          ClusterApi::WithRawMethod_WatchMetadata, ClusterApi::WithRawMethod_DescribeCluster,
          ClusterApi::WithRawMethod_DescribeLogDirs, ClusterApi::WithRawMethod_DescribeQuorum,
          ClusterApi::WithRawMethod_AddVoter, ClusterApi::WithRawMethod_RemoveVoter,
          ClusterApi::WithRawMethod_TransferQuorumLeadership,
          ClusterApi::WithRawMethod_SetBrokerFence, ClusterApi::WithRawMethod_UnregisterBroker,
          ClusterApi::WithRawMethod_DrainBroker, ClusterApi::WithRawMethod_ReassignPartitions,
          ClusterApi::WithRawMethod_ListReassignments, ClusterApi::WithRawMethod_ElectLeaders,
          ClusterApi::WithRawMethod_UpdateFeatures,
          // Not served yet.
          ClusterApi::WithGenericMethod_DecommissionBroker>;

// Thread: main; what handles calls: the control loop.
class ClusterService final : public ClusterMethods, public DoorService {
 public:
  explicit ClusterService(Door& door)
      : door_(door),
        broker_(door.broker),
        methods_(door.metrics, "gregor.v1.ClusterService"),
        watches_(door.metrics,
                 [this](auto* context, auto* request, auto* rpc, auto* queue, void* tag) {
                   RequestWatchMetadata(context, request, rpc, queue, queue, tag);
                 }) {
    constexpr auto kRead = ControlMethods::Kind::kRead;
    using Self = ClusterService;
    methods_.Add(kRead, "GetMetadata", this, &Self::RequestGetMetadata, &Self::Metadata);
    methods_.Add(kRead, "DescribeCluster", this, &Self::RequestDescribeCluster, &Self::Cluster);
    methods_.Add(kRead, "DescribeLogDirs", this, &Self::RequestDescribeLogDirs, &Self::LogDirs);
    methods_.Add(kRead, "DescribeQuorum", this, &Self::RequestDescribeQuorum, &Self::Quorum);
    constexpr auto kWrite = ControlMethods::Kind::kWrite;
    methods_.Add(kWrite, "AddVoter", this, &Self::RequestAddVoter, &Self::Add);
    methods_.Add(kWrite, "RemoveVoter", this, &Self::RequestRemoveVoter, &Self::Remove);
    methods_.Add(kWrite, "TransferQuorumLeadership", this, &Self::RequestTransferQuorumLeadership,
                 &Self::Transfer);
    methods_.Add(kWrite, "SetBrokerFence", this, &Self::RequestSetBrokerFence, &Self::Fence);
    methods_.Add(kWrite, "UnregisterBroker", this, &Self::RequestUnregisterBroker,
                 &Self::Unregister);
    methods_.Add(kWrite, "DrainBroker", this, &Self::RequestDrainBroker, &Self::Drain);
    methods_.Add(kWrite, "ElectLeaders", this, &Self::RequestElectLeaders, &Self::Elect);
    methods_.Add(kWrite, "ReassignPartitions", this, &Self::RequestReassignPartitions,
                 &Self::Reassign);
    methods_.Add(kWrite, "UpdateFeatures", this, &Self::RequestUpdateFeatures, &Self::Features);
    methods_.Add(kRead, "ListReassignments", this, &Self::RequestListReassignments,
                 &Self::Reassignments);
  }
  grpc::Service* service() override { return this; }
  void Serve(const std::shared_ptr<Door>& door) override {
    methods_.Serve(door);
    watches_.Serve(door);
  }

 private:
  Result<v1::GetMetadataResponse> Metadata(const v1::GetMetadataRequest& request) const;
  Result<v1::DescribeClusterResponse> Cluster(const v1::DescribeClusterRequest& request) const {
    return DescribedCluster(broker_, counter_, ControllerIdOf(door_), request);
  }
  void LogDirs(const v1::DescribeLogDirsRequest& request, Reply<v1::DescribeLogDirsResponse> reply);
  void Quorum(const v1::DescribeQuorumRequest& request, Reply<v1::DescribeQuorumResponse> reply);
  void Add(const v1::AddVoterRequest& request, Reply<v1::AddVoterResponse> reply);
  void Remove(const v1::RemoveVoterRequest& request, Reply<v1::RemoveVoterResponse> reply);
  void Transfer(const v1::TransferQuorumLeadershipRequest& request,
                Reply<v1::TransferQuorumLeadershipResponse> reply);
  Result<QuorumApi*> QuorumOfNode() const;
  void Fence(const v1::SetBrokerFenceRequest& request, Reply<v1::SetBrokerFenceResponse> reply) {
    FenceBroker(broker_, request, std::move(reply));
  }
  void Unregister(const v1::UnregisterBrokerRequest& request,
                  Reply<v1::UnregisterBrokerResponse> reply) {
    ForgetBroker(broker_, request, std::move(reply));
  }
  void Drain(const v1::DrainBrokerRequest& request, Reply<v1::DrainBrokerResponse> reply) {
    MoveLeadersAway(broker_, request, std::move(reply));
  }
  void Elect(const v1::ElectLeadersRequest& request, Reply<v1::ElectLeadersResponse> reply) {
    ElectLeadersByHand(broker_, request, std::move(reply));
  }
  void Reassign(const v1::ReassignPartitionsRequest& request,
                Reply<v1::ReassignPartitionsResponse> reply) {
    BeginReassignments(broker_, request, std::move(reply));
  }
  void Features(const v1::UpdateFeaturesRequest& request, Reply<v1::UpdateFeaturesResponse> reply) {
    ChangeFeatures(broker_, request, std::move(reply));
  }
  Result<v1::ListReassignmentsResponse> Reassignments(
      const v1::ListReassignmentsRequest& request) const {
    return RunningReassignments(broker_, request);
  }

  Door& door_;
  BrokerApi& broker_;
  ControlMethods methods_;
  MetadataWatches watches_;
  mutable PartitionCounter counter_{broker_};
};

Result<v1::GetMetadataResponse> ClusterService::Metadata(
    const v1::GetMetadataRequest& request) const {
  ASSIGN_OR_RETURN(const ImagePtr image, ImageOf(broker_));
  const Pages pages(image->request_id_key, {"GetMetadata", Joined(request.topics())});
  ASSIGN_OR_RETURN(const Pages::Page page, pages.Parse(request.page(), kPartitionPages));
  v1::GetMetadataResponse response;
  response.set_cluster_id(image->cluster_id.ToString());
  response.set_metadata_version(image->version.value);
  FillBrokers(*image, *response.mutable_brokers());
  FillCluster(door_, /*with_capabilities=*/true, response);
  int topic = 0;
  int32_t partition = 0;
  if (!page.after.empty()) {
    const auto key = SplitLines(page.after);
    topic = ToNumber(key.at(0));
    partition = ToNumber(key.at(1));
  }
  const OfflineReplicas offline = broker_.offline_replicas();
  MetadataPage filled({*image, offline}, request, page.size, response);
  const std::string next = filled.Fill(topic, partition);
  if (!next.empty()) response.set_next_page_token(pages.TokenAfter(next));
  return response;
}

// One page of replicas from what the broker says of its directories.
v1::DescribeLogDirsResponse LogDirsPage(const std::vector<LogDirUsage>& dirs, const Pages& pages,
                                        const Pages::Page& page, bool omit_replicas) {
  v1::DescribeLogDirsResponse response;
  ReplicaKey after;
  if (!page.after.empty()) {
    const auto key = SplitLines(page.after);
    after = {key.at(0), key.at(1), key.at(2)};
  }
  std::vector<std::pair<ReplicaKey, const ReplicaUsage*>> replicas;
  std::map<std::string, v1::DescribeLogDirsResponse::LogDir*> by_id;
  for (const LogDirUsage& dir : dirs) {
    auto& out = *response.add_log_dirs();
    out.set_broker_id(dir.broker_id.value);
    out.set_path(dir.path);
    out.set_directory_id(ToBytes(dir.id.bytes));
    out.set_total_bytes(static_cast<int64_t>(dir.total_bytes));
    out.set_usable_bytes(static_cast<int64_t>(dir.usable_bytes));
    if (dir.error.has_value()) *out.mutable_error() = ToRpcStatus(*dir.error);
    uint64_t bytes = 0;
    int64_t offline = 0;
    for (const ReplicaUsage& replica : dir.replicas) {
      bytes += replica.size_bytes;
      if (dir.error.has_value() || replica.error.has_value()) ++offline;
      replicas.emplace_back(KeyOf(dir, replica), &replica);
    }
    out.set_replica_count(static_cast<int64_t>(dir.replicas.size()));
    out.set_log_bytes(static_cast<int64_t>(bytes));
    out.set_offline_count(offline);
  }
  // Pointers into the list stay where they are once it is complete.
  for (size_t i = 0; i < dirs.size(); ++i)
    by_id[dirs[i].id.ToString()] = response.mutable_log_dirs(static_cast<int>(i));
  if (omit_replicas) return response;
  std::sort(replicas.begin(), replicas.end());
  auto at = std::upper_bound(replicas.begin(), replicas.end(), after,
                             [](const auto& key, const auto& each) { return key < each.first; });
  for (size_t count = 0; at != replicas.end() && count < page.size; ++at, ++count) {
    auto& out = *by_id[std::get<0>(at->first)]->add_replicas();
    const ReplicaUsage& replica = *at->second;
    out.mutable_partition()->set_topic(replica.topic);
    out.mutable_partition()->set_partition(replica.id.partition.value);
    out.set_topic_id(ToBytes(replica.id.topic_id.bytes));
    out.set_size_bytes(static_cast<int64_t>(replica.size_bytes));
    if (replica.error.has_value()) *out.mutable_error() = ToRpcStatus(*replica.error);
  }
  if (at != replicas.end()) {
    const auto& [dir, topic, id] = std::prev(at)->first;
    response.set_next_page_token(pages.TokenAfter(dir + "\n" + topic + "\n" + id));
  }
  return response;
}

void ClusterService::LogDirs(const v1::DescribeLogDirsRequest& request,
                             Reply<v1::DescribeLogDirsResponse> reply) {
  auto image = ImageOf(broker_);
  if (!image.ok()) return reply(std::move(image).error());
  if (request.topics_size() > kItemsMax || request.broker_ids_size() > kItemsMax) {
    return reply(TooManyItems("topics and as many brokers"));
  }
  auto pages = std::make_shared<const Pages>(
      (*image)->request_id_key,
      std::vector<std::string_view>{"DescribeLogDirs", Joined(request.broker_ids()),
                                    Joined(request.topics())});
  auto page = pages->Parse(request.page(), {});
  if (!page.ok()) return reply(std::move(page).error());
  // Other brokers' directories are known to them only.
  std::vector<int32_t> unreachable;
  bool here = request.broker_ids().empty();
  for (const int32_t id : request.broker_ids()) {
    if ((*image)->Broker(NodeId{id}) == nullptr) {
      return reply(
          Error(Reason::kBrokerIdNotRegistered, "no broker has the id " + std::to_string(id))
              .With("broker_id", std::to_string(id)));
    }
    if (id == broker_.node_id().value) {
      here = true;
    } else {
      unreachable.push_back(id);
    }
  }
  if (request.broker_ids().empty()) {
    (*image)->brokers.VisitAll([&](NodeId id, const auto&) {
      if (id != broker_.node_id()) unreachable.push_back(id.value);
    });
  }
  auto finish = [reply = std::move(reply), pages, page = *std::move(page),
                 unreachable = std::move(unreachable),
                 omit = request.omit_replicas()](std::vector<LogDirUsage> dirs) mutable {
    auto response = LogDirsPage(dirs, *pages, page, omit);
    response.mutable_unreachable()->Add(unreachable.begin(), unreachable.end());
    reply(std::move(response));
  };
  if (!here) return finish(std::vector<LogDirUsage>());
  // The answer comes on the thread of some partitions, which a list of many replicas would hold up.
  broker_.DescribeLogDirs(
      {request.topics().begin(), request.topics().end()},
      [this, finish = std::move(finish)](std::vector<LogDirUsage> dirs) mutable {
        door_.OnControl([finish = std::move(finish), dirs = std::move(dirs)]() mutable {
          finish(std::move(dirs));
        });
      });
}

Result<QuorumApi*> ClusterService::QuorumOfNode() const {
  if (door_.options.quorum != nullptr) return door_.options.quorum;
  return Error(Reason::kUnsupportedVersion, "this server has no metadata quorum");
}

void ClusterService::Quorum(const v1::DescribeQuorumRequest& request,
                            Reply<v1::DescribeQuorumResponse> reply) {
  const auto quorum = QuorumOfNode();
  if (!quorum.ok()) return reply(quorum.error());
  if (request.has_partition()) {
    return reply(Error(Reason::kInvalidArgument,
                       "partitions have no quorum: leave `partition` unset for the metadata's"));
  }
  const OperationContext context = reply.operation_context();
  (*quorum)->Describe(
      [reply = std::move(reply)](Result<DescribedQuorum> described) mutable {
        if (!described.ok()) return reply(std::move(described).error());
        reply(ToMessage(*described));
      },
      context);
}

void ClusterService::Add(const v1::AddVoterRequest& request, Reply<v1::AddVoterResponse> reply) {
  const auto quorum = QuorumOfNode();
  if (!quorum.ok()) return reply(quorum.error());
  auto change = ToChange(request);
  if (!change.ok()) return reply(std::move(change).error());
  const OperationContext context = reply.operation_context();
  (*quorum)->AddVoter(
      *std::move(change),
      [reply = std::move(reply)](Result<void> added) mutable {
        if (!added.ok()) return reply(std::move(added).error());
        reply(v1::AddVoterResponse());
      },
      context);
}

void ClusterService::Remove(const v1::RemoveVoterRequest& request,
                            Reply<v1::RemoveVoterResponse> reply) {
  const auto quorum = QuorumOfNode();
  if (!quorum.ok()) return reply(quorum.error());
  auto change = ToChange(request);
  if (!change.ok()) return reply(std::move(change).error());
  const OperationContext context = reply.operation_context();
  (*quorum)->RemoveVoter(
      *std::move(change),
      [reply = std::move(reply)](Result<void> removed) mutable {
        if (!removed.ok()) return reply(std::move(removed).error());
        reply(v1::RemoveVoterResponse());
      },
      context);
}

void ClusterService::Transfer(const v1::TransferQuorumLeadershipRequest& request,
                              Reply<v1::TransferQuorumLeadershipResponse> reply) {
  const auto quorum = QuorumOfNode();
  if (!quorum.ok()) return reply(quorum.error());
  std::optional<NodeId> to;
  if (request.has_node_id()) to = NodeId{request.node_id()};
  const OperationContext context = reply.operation_context();
  (*quorum)->Transfer(
      to,
      [reply = std::move(reply)](Result<NodeId> leader) mutable {
        if (!leader.ok()) return reply(std::move(leader).error());
        v1::TransferQuorumLeadershipResponse response;
        response.set_leader_id(leader->value);
        reply(std::move(response));
      },
      context);
}

}  // namespace

std::unique_ptr<DoorService> NewClusterService(Door& door) {
  return std::make_unique<ClusterService>(door);
}

}  // namespace gregor
