// TopicService: the broker's operations on topics in the words of the API.
#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "broker/grpc/control_call.h"
#include "broker/grpc/control_services.h"
#include "broker/grpc/convert.h"
#include "broker/grpc/page_token.h"
#include "broker/grpc/service_stack.h"
#include "broker/grpc/status.h"
#include "gregor/v1/topic.grpc.pb.h"

namespace gregor {
namespace {

using Assignments = google::protobuf::RepeatedPtrField<v1::CreateTopicRequest::ReplicaAssignment>;

// Replicas of the partitions first, first + 1, ..., of which each must be named once.
Result<std::vector<std::vector<NodeId>>> ToAssignment(const Assignments& assignments,
                                                      int32_t first) {
  std::vector<std::vector<NodeId>> replicas(static_cast<size_t>(assignments.size()));
  std::vector<bool> seen(replicas.size());
  for (const auto& each : assignments) {
    const int64_t index = int64_t{each.partition()} - first;
    if (index < 0 || index >= assignments.size() || seen[static_cast<size_t>(index)]) {
      return Error(Reason::kInvalidReplicaAssignment,
                   "assignment must name each partition from " + std::to_string(first) + " to " +
                       std::to_string(first + assignments.size() - 1) + " once; partition " +
                       std::to_string(each.partition()) + " is out of place");
    }
    seen[static_cast<size_t>(index)] = true;
    for (const int32_t broker : each.broker_ids())
      replicas[static_cast<size_t>(index)].push_back(NodeId{broker});
  }
  return replicas;
}

Result<CreateTopic> ToCreateTopic(const v1::CreateTopicRequest& request) {
  CreateTopic operation;
  operation.name = request.topic();
  operation.partitions = request.partitions();
  operation.replication_factor = request.replication_factor();
  operation.validate_only = request.validate_only();
  operation.request_id = request.request_id();
  for (const auto& [name, value] : request.configs()) operation.configs[name] = value;
  if (request.assignment().empty()) return operation;
  if (request.partitions() != 0 || request.replication_factor() != 0) {
    return Error(Reason::kInvalidArgument,
                 "assignment stands instead of partitions and replication_factor: leave those 0");
  }
  ASSIGN_OR_RETURN(operation.assignment, ToAssignment(request.assignment(), 0));
  return operation;
}

using TopicApi = v1::TopicService;
using TopicMethods =
    Stack<TopicApi::Service, TopicApi::WithRawMethod_CreateTopic, TopicApi::WithRawMethod_GetTopic,
          TopicApi::WithRawMethod_ListTopics, TopicApi::WithRawMethod_DeleteTopic,
          TopicApi::WithRawMethod_AddPartitions, TopicApi::WithRawMethod_DeleteRecords>;

// Thread: main; what handles calls: the control loop.
class TopicService final : public TopicMethods, public DoorService {
 public:
  explicit TopicService(Door& door)
      : door_(door), broker_(door.broker), methods_(door.metrics, "gregor.v1.TopicService") {
    using Kind = ControlMethods::Kind;
    using Self = TopicService;
    methods_.Add(Kind::kWrite, "CreateTopic", this, &Self::RequestCreateTopic, &Self::Create);
    methods_.Add(Kind::kRead, "GetTopic", this, &Self::RequestGetTopic, &Self::Get);
    methods_.Add(Kind::kRead, "ListTopics", this, &Self::RequestListTopics, &Self::List);
    methods_.Add(Kind::kWrite, "DeleteTopic", this, &Self::RequestDeleteTopic, &Self::Delete);
    methods_.Add(Kind::kWrite, "AddPartitions", this, &Self::RequestAddPartitions, &Self::Add);
    methods_.Add(Kind::kWrite, "DeleteRecords", this, &Self::RequestDeleteRecords, &Self::Trim);
  }
  grpc::Service* service() override { return this; }
  void Serve(const std::shared_ptr<Door>& door) override { methods_.Serve(door); }

 private:
  void Create(const v1::CreateTopicRequest& request, Reply<v1::CreateTopicResponse> reply);
  Result<v1::GetTopicResponse> Get(const v1::GetTopicRequest& request) const;
  Result<v1::ListTopicsResponse> List(const v1::ListTopicsRequest& request) const;
  void Delete(const v1::DeleteTopicRequest& request, Reply<v1::DeleteTopicResponse> reply);
  void Add(const v1::AddPartitionsRequest& request, Reply<v1::AddPartitionsResponse> reply);
  void Trim(const v1::DeleteRecordsRequest& request, Reply<v1::DeleteRecordsResponse> reply);

  // Turns the topic that an operation made into the answer.
  template <typename Response>
  ControllerApi::Done<TopicPtr> WithTopic(Reply<Response> reply) {
    return [this, reply = std::move(reply)](Result<TopicPtr> topic) mutable {
      if (!topic.ok()) return reply(std::move(topic).error());
      // Topics may be large, and the controller has other things to do.
      door_.OnControl([this, reply = std::move(reply), topic = *std::move(topic)]() mutable {
        const ImagePtr image = broker_.image();
        CHECK(image != nullptr);
        Response response;
        const OfflineReplicas offline = broker_.offline_replicas();
        *response.mutable_topic() = ToTopicMetadata(*topic, {*image, offline});
        reply(std::move(response));
      });
    };
  }
  Result<gregor::AddPartitions> ToAddPartitions(const v1::AddPartitionsRequest& request) const;

  Door& door_;
  BrokerApi& broker_;
  ControlMethods methods_;
};

void TopicService::Create(const v1::CreateTopicRequest& request,
                          Reply<v1::CreateTopicResponse> reply) {
  auto operation = ToCreateTopic(request);
  if (!operation.ok()) return reply(std::move(operation).error());
  const OperationContext context = reply.operation_context();
  broker_.controller().Run(*std::move(operation), WithTopic(std::move(reply)), context);
}

void TopicService::Delete(const v1::DeleteTopicRequest& request,
                          Reply<v1::DeleteTopicResponse> reply) {
  auto key = ToTopicKey(request);
  if (!key.ok()) return reply(std::move(key).error());
  const OperationContext context = reply.operation_context();
  auto done = [reply = std::move(reply),
               allow_missing = request.allow_missing()](Result<void> result) mutable {
    const bool missing = !result.ok() && (result.error().reason == Reason::kTopicNotFound ||
                                          result.error().reason == Reason::kUnknownTopicId);
    if (!result.ok() && !(missing && allow_missing)) return reply(std::move(result).error());
    reply(v1::DeleteTopicResponse());
  };
  broker_.controller().Run(gregor::DeleteTopic{*std::move(key)}, std::move(done), context);
}

Result<gregor::AddPartitions> TopicService::ToAddPartitions(
    const v1::AddPartitionsRequest& request) const {
  gregor::AddPartitions operation;
  operation.topic = request.topic();
  operation.total_partitions = request.total_partitions();
  operation.validate_only = request.validate_only();
  if (request.assignment().empty()) return operation;
  ASSIGN_OR_RETURN(const ImagePtr image, ImageOf(broker_));
  ASSIGN_OR_RETURN(const TopicPtr topic, FindTopic(*image, {.name = request.topic(), .id = {}}));
  ASSIGN_OR_RETURN(operation.assignment,
                   ToAssignment(request.assignment(), topic->partition_count()));
  return operation;
}

void TopicService::Add(const v1::AddPartitionsRequest& request,
                       Reply<v1::AddPartitionsResponse> reply) {
  auto operation = ToAddPartitions(request);
  if (!operation.ok()) return reply(std::move(operation).error());
  const OperationContext context = reply.operation_context();
  broker_.controller().Run(*std::move(operation), WithTopic(std::move(reply)), context);
}

void TopicService::Trim(const v1::DeleteRecordsRequest& request,
                        Reply<v1::DeleteRecordsResponse> reply) {
  if (request.items_size() > kItemsMax) {
    return reply(TooManyItems("items"));
  }
  // Those that can be understood go on; their results come back in the same order.
  std::vector<gregor::DeleteRecords> items;
  std::vector<int> places;
  v1::DeleteRecordsResponse response;
  for (const auto& item : request.items()) {
    auto& out = *response.add_results();
    if (item.before_offset() < -1) {
      *out.mutable_error() = ToRpcStatus(Error(
          Reason::kInvalidArgument, "before_offset is " + std::to_string(item.before_offset()) +
                                        ": an offset from 0 on, or -1 for all records"));
      continue;
    }
    items.push_back({.topic = {.name = item.partition().topic(), .id = {}},
                     .partition = PartitionIndex{item.partition().partition()},
                     .before = Offset{item.before_offset()}});
    places.push_back(response.results_size() - 1);
  }
  if (items.empty()) return reply(std::move(response));
  broker_.Delete(std::move(items),
                 [reply = std::move(reply), places = std::move(places),
                  response = std::move(response)](std::vector<Result<Offset>> results) mutable {
                   CHECK(results.size() == places.size());
                   for (size_t i = 0; i < results.size(); ++i) {
                     auto& out = *response.mutable_results(places[i]);
                     if (results[i].ok()) out.set_log_start_offset(results[i]->value);
                     if (!results[i].ok()) *out.mutable_error() = ToRpcStatus(results[i].error());
                   }
                   reply(std::move(response));
                 });
}

Result<v1::GetTopicResponse> TopicService::Get(const v1::GetTopicRequest& request) const {
  ASSIGN_OR_RETURN(const ImagePtr image, ImageOf(broker_));
  ASSIGN_OR_RETURN(const TopicKey key, ToTopicKey(request));
  ASSIGN_OR_RETURN(const TopicPtr topic, FindTopic(*image, key));
  // The id, not the name: pages of a topic and of its successor are not mixed.
  const Pages pages(image->request_id_key, {"GetTopic", ToBytes(topic->id.bytes)});
  ASSIGN_OR_RETURN(const Pages::Page page, pages.Parse(request.page(), {}));
  PartitionIndex next{0};
  if (!page.after.empty()) {
    std::from_chars(page.after.data(), page.after.data() + page.after.size(), next.value);
    ++next.value;
  }
  v1::GetTopicResponse response;
  auto& out = *response.mutable_topic();
  FillTopic(*topic, out);
  const OfflineReplicas offline = broker_.offline_replicas();
  topic->partitions.VisitFrom(next, [&](PartitionIndex, const auto& partition) {
    if (static_cast<size_t>(out.partitions_size()) == page.size) {
      const int32_t last = out.partitions(out.partitions_size() - 1).partition();
      response.set_next_page_token(pages.TokenAfter(std::to_string(last)));
      return false;
    }
    FillPartition(topic->id, *partition, {*image, offline}, *out.add_partitions());
    return true;
  });
  return response;
}

Result<v1::ListTopicsResponse> TopicService::List(const v1::ListTopicsRequest& request) const {
  ASSIGN_OR_RETURN(const ImagePtr image, ImageOf(broker_));
  const Pages pages(image->request_id_key,
                    {"ListTopics", request.prefix(), request.include_internal() ? "1" : "0"});
  ASSIGN_OR_RETURN(const Pages::Page page, pages.Parse(request.page(), {}));
  v1::ListTopicsResponse response;
  const OfflineReplicas offline = broker_.offline_replicas();
  size_t bytes = 0;
  image->topics.VisitFrom(
      std::max(request.prefix(), page.after), [&](const std::string& name, const TopicPtr& topic) {
        if (name.compare(0, request.prefix().size(), request.prefix()) != 0) return false;
        if (name == page.after || (IsInternalTopic(name) && !request.include_internal()))
          return true;
        v1::TopicMetadata out;
        if (request.include_partitions()) {
          out = ToTopicMetadata(*topic, {*image, offline});
        } else {
          FillTopic(*topic, out);
        }
        bytes += out.ByteSizeLong();
        const auto count = static_cast<size_t>(response.topics_size());
        if (count == page.size || (count > 0 && bytes > kPageBytesMax)) {
          const std::string& last = response.topics(response.topics_size() - 1).topic();
          response.set_next_page_token(pages.TokenAfter(last));
          return false;
        }
        *response.add_topics() = std::move(out);
        return true;
      });
  return response;
}

}  // namespace

std::unique_ptr<DoorService> NewTopicService(Door& door) {
  return std::make_unique<TopicService>(door);
}

}  // namespace gregor
