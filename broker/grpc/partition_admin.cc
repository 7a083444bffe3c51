#include "broker/grpc/partition_admin.h"

#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "broker/grpc/convert.h"
#include "broker/grpc/page_token.h"
#include "broker/grpc/status.h"

namespace gregor {
namespace {

// Elections of an answer that names all in which one was needed, or all that a broker led.
constexpr size_t kElectionsMax = 5000;

Result<ElectionKind> ToKind(v1::ElectionType type) {
  switch (type) {
    case v1::ELECTION_TYPE_UNSPECIFIED:
    case v1::ELECTION_TYPE_PREFERRED:
      return ElectionKind::kPreferred;
    case v1::ELECTION_TYPE_UNCLEAN:
      return ElectionKind::kUnclean;
    case v1::ELECTION_TYPE_TRANSFER:
      return ElectionKind::kTransfer;
    default:
      return Error(Reason::kInvalidArgument, "there is no election type " + std::to_string(type));
  }
}

PartitionKey ToKey(const v1::TopicPartition& partition) {
  return {partition.topic(), PartitionIndex{partition.partition()}};
}

Result<void> CheckCount(int count, const char* what) {
  if (count <= kItemsMax) return {};
  return TooManyItems(what);
}

Result<ElectLeaders> ToElection(const v1::ElectLeadersRequest& request) {
  RETURN_IF_ERROR(CheckCount(request.partitions_size(), "partitions"));
  ElectLeaders operation;
  ASSIGN_OR_RETURN(operation.kind, ToKind(request.type()));
  for (const auto& partition : request.partitions())
    operation.partitions.push_back(ToKey(partition));
  if (operation.kind == ElectionKind::kTransfer)
    operation.target = NodeId{request.target_broker_id()};
  return operation;
}

v1::DrainBrokerResponse ToResponse(const std::vector<ElectedLeader>& led) {
  v1::DrainBrokerResponse response;
  // What an operator has to look after comes first.
  for (const bool has_moved : {false, true}) {
    for (const ElectedLeader& each : led) {
      if (each.result.ok() != has_moved) continue;
      if (has_moved) response.set_moved(response.moved() + 1);
      if (!has_moved) response.set_kept(response.kept() + 1);
      if (static_cast<size_t>(response.partitions_size()) == kElectionsMax) continue;
      auto& out = *response.add_partitions();
      out.mutable_partition()->set_topic(each.partition.topic);
      out.mutable_partition()->set_partition(each.partition.partition.value);
      out.set_leader_id(each.leader.value);
      if (!has_moved) *out.mutable_status() = ToRpcStatus(each.result.error());
    }
  }
  return response;
}

bool IsMoving(const PartitionImage& partition) {
  return !partition.adding.empty() || !partition.removing.empty();
}

void AddOngoing(const TopicImage& topic, const PartitionImage& partition,
                v1::ListReassignmentsResponse& response) {
  auto& out = *response.add_reassignments();
  out.mutable_partition()->set_topic(topic.name);
  out.mutable_partition()->set_partition(partition.index.value);
  for (const NodeId node : partition.replicas) out.add_replicas(node.value);
  for (const NodeId node : partition.adding) out.add_adding(node.value);
  for (const NodeId node : partition.removing) out.add_removing(node.value);
  out.set_remaining_bytes(-1);
}

// Where a list goes on: "topic\npartition".
PartitionKey ParseKey(const std::string& text) {
  const size_t end = text.find('\n');
  PartitionKey key{text.substr(0, end), PartitionIndex{-1}};
  if (end != std::string::npos)
    std::from_chars(text.data() + end + 1, text.data() + text.size(), key.partition.value);
  return key;
}

// The reassignments behind `after`, as many as the page takes. Returns the last one's key where
// there are more.
std::string FillPage(const MetadataImage& image, const PartitionKey& after, size_t size,
                     v1::ListReassignmentsResponse& response) {
  std::string last;
  bool has_more = false;
  image.topics.VisitFrom(after.topic, [&](const std::string& name, const TopicPtr& topic) {
    const PartitionIndex from{name == after.topic ? after.partition.value + 1 : 0};
    topic->partitions.VisitFrom(from, [&](PartitionIndex index, const PartitionPtr& partition) {
      if (!IsMoving(*partition)) return true;
      has_more = static_cast<size_t>(response.reassignments_size()) == size;
      if (has_more) return false;
      AddOngoing(*topic, *partition, response);
      last = name + "\n" + std::to_string(index.value);
      return true;
    });
    return !has_more;
  });
  return has_more ? last : "";
}

}  // namespace

void ElectLeadersByHand(BrokerApi& broker, const v1::ElectLeadersRequest& request,
                        Reply<v1::ElectLeadersResponse> reply) {
  auto operation = ToElection(request);
  if (!operation.ok()) return reply(std::move(operation).error());
  const OperationContext context = reply.operation_context();
  broker.controller().Run(
      *std::move(operation),
      [reply = std::move(reply)](Result<std::vector<ElectedLeader>> elected) mutable {
        if (!elected.ok()) return reply(std::move(elected).error());
        if (elected->size() > kElectionsMax)
          elected->erase(elected->begin() + kElectionsMax, elected->end());
        v1::ElectLeadersResponse response;
        for (const ElectedLeader& each : *elected) {
          auto& out = *response.add_results();
          out.mutable_partition()->set_topic(each.partition.topic);
          out.mutable_partition()->set_partition(each.partition.partition.value);
          if (!each.result.ok()) *out.mutable_status() = ToRpcStatus(each.result.error());
        }
        reply(std::move(response));
      },
      context);
}

void MoveLeadersAway(BrokerApi& broker, const v1::DrainBrokerRequest& request,
                     Reply<v1::DrainBrokerResponse> reply) {
  const OperationContext context = reply.operation_context();
  broker.controller().Run(
      DrainBroker{NodeId{request.broker_id()}, request.cancel()},
      [reply = std::move(reply)](Result<std::vector<ElectedLeader>> led) mutable {
        if (!led.ok()) return reply(std::move(led).error());
        reply(ToResponse(*led));
      },
      context);
}

void BeginReassignments(BrokerApi& broker, const v1::ReassignPartitionsRequest& request,
                        Reply<v1::ReassignPartitionsResponse> reply) {
  if (auto checked = CheckCount(request.reassignments_size(), "reassignments"); !checked.ok())
    return reply(std::move(checked).error());
  gregor::ReassignPartitions operation;
  operation.validate_only = request.validate_only();
  for (const auto& each : request.reassignments()) {
    auto& item = operation.items.emplace_back();
    item.partition = ToKey(each.partition());
    for (const int32_t id : each.replicas()) item.replicas.push_back(NodeId{id});
  }
  const OperationContext context = reply.operation_context();
  broker.controller().Run(
      std::move(operation),
      [reply = std::move(reply)](Result<std::vector<Result<void>>> results) mutable {
        if (!results.ok()) return reply(std::move(results).error());
        v1::ReassignPartitionsResponse response;
        for (const Result<void>& result : *results) {
          auto& out = *response.add_results();
          if (!result.ok()) out = ToRpcStatus(result.error());
        }
        reply(std::move(response));
      },
      context);
}

Result<v1::ListReassignmentsResponse> RunningReassignments(
    const BrokerApi& broker, const v1::ListReassignmentsRequest& request) {
  ASSIGN_OR_RETURN(const ImagePtr image, ImageOf(broker));
  RETURN_IF_ERROR(CheckCount(request.partitions_size(), "partitions"));
  v1::ListReassignmentsResponse response;
  if (request.partitions_size() > 0) {
    for (const auto& each : request.partitions()) {
      const TopicPtr topic = image->Topic(each.topic());
      const PartitionImage* const partition =
          topic == nullptr ? nullptr : topic->Partition(PartitionIndex{each.partition()});
      if (partition != nullptr && IsMoving(*partition)) AddOngoing(*topic, *partition, response);
    }
    return response;
  }
  const Pages pages(image->request_id_key, {"ListReassignments"});
  ASSIGN_OR_RETURN(const Pages::Page page, pages.Parse(request.page(), {}));
  const std::string last = FillPage(*image, ParseKey(page.after), page.size, response);
  if (!last.empty()) response.set_next_page_token(pages.TokenAfter(last));
  return response;
}

}  // namespace gregor
