#include "broker/grpc/fetch_service.h"

#include <algorithm>
#include <string>
#include <utility>

#include "broker/grpc/conversions.h"
#include "broker/grpc/convert.h"
#include "broker/grpc/fetch_call.h"
#include "broker/grpc/status.h"

namespace gregor {
namespace {

constexpr int32_t kOffsetQueriesMax = 10'000;
// A search by time waits so long for memory, and less where the call ends before.
constexpr Duration kMemoryWaitMax = std::chrono::seconds(10);
// Before the caller's deadline, so that the answer arrives.
constexpr Duration kAnswerEarlier = std::chrono::milliseconds(50);

Result<OffsetQuery> QueryOf(const v1::ListOffsetsRequest::Query& query, Isolation isolation) {
  OffsetQuery result;
  ASSIGN_OR_RETURN(result.topic, TopicOf(query.partition().topic(), query.topic_id()));
  result.partition = PartitionIndex{query.partition().partition()};
  ASSIGN_OR_RETURN(result.position, PositionOf(query.position()));
  result.isolation = isolation;
  if (query.has_current_leader_epoch())
    result.current_leader_epoch = LeaderEpoch{query.current_leader_epoch()};
  return result;
}

// The queries that can be understood, and the answer so far: what is wrong with the others.
struct Queries {
  std::vector<OffsetQuery> queries;
  std::vector<int> places;  // their results in `response`
  v1::ListOffsetsResponse response;
};

Result<Queries> QueriesOf(const v1::ListOffsetsRequest& request) {
  ASSIGN_OR_RETURN(const Isolation isolation, IsolationOf(request.isolation()));
  RETURN_IF_ERROR(CheckRouting(request.routing()));
  if (request.queries_size() > kOffsetQueriesMax) {
    return Error(Reason::kInvalidArgument, std::to_string(request.queries_size()) +
                                               " queries in one call: at most " +
                                               std::to_string(kOffsetQueriesMax))
        .With("limit_items", std::to_string(kOffsetQueriesMax));
  }
  Queries asked;
  for (int i = 0; i < request.queries_size(); ++i) {
    auto& result = *asked.response.add_results();
    auto query = QueryOf(request.queries(i), isolation);
    if (!query.ok()) {
      *result.mutable_error() = ToRpcStatus(query.error());
      continue;
    }
    asked.queries.push_back(std::move(*query));
    asked.places.push_back(i);
  }
  return asked;
}

void SetResult(const Result<FoundOffset>& found, v1::ListOffsetsResponse::Result& result) {
  if (!found.ok()) {
    *result.mutable_error() = ToRpcStatus(found.error());
    return;
  }
  result.set_offset(found->offset.value);
  result.set_timestamp_ms(found->timestamp.value);
  result.set_leader_epoch(found->leader_epoch.value);
  result.set_topic_id(ToBytes(found->topic_id.bytes));
}

}  // namespace

FetchService::FetchService(Door& door)
    : broker_(door.broker),
      fetch_metrics_(door.metrics, "gregor.v1.FetchService/Fetch"),
      read_metrics_(door.metrics, "gregor.v1.FetchService/Read"),
      stream_metrics_(door.metrics, "gregor.v1.FetchService/FetchStream"),
      methods_(door.metrics, "gregor.v1.FetchService") {
  constexpr auto kRead = ControlMethods::Kind::kRead;
  using Self = FetchService;
  methods_.Add(kRead, "ListOffsets", this, &Self::RequestListOffsets, &Self::FindOffsets);
  methods_.Add(kRead, "GetEpochEndOffset", this, &Self::RequestGetEpochEndOffset,
               &Self::FindEpochEnd);
}

void FetchService::Serve(const std::shared_ptr<Door>& door) {
  for (int i = 0; i < kUnaryCallsListening; ++i)
    MakeFetchCall(door, *this, fetch_metrics_)->Listen();
  for (int i = 0; i < kStreamsListening; ++i) {
    MakeReadStream(door, *this, read_metrics_)->Listen();
    MakeFetchStream(door, *this, stream_metrics_)->Listen();
  }
  methods_.Serve(door);
}

void FetchService::FindOffsets(const v1::ListOffsetsRequest& request,
                               Reply<v1::ListOffsetsResponse> reply) {
  auto asked = QueriesOf(request);
  if (!asked.ok()) return reply(std::move(asked).error());
  auto queries = std::move(asked->queries);
  const Duration wait =
      std::clamp<Duration>(reply.time_left() - kAnswerEarlier, Duration(0), kMemoryWaitMax);
  for (OffsetQuery& query : queries) query.wait_max = wait;
  broker_.FindOffsets(std::move(queries),
                      [asked = std::move(*asked), reply = std::move(reply)](auto found) mutable {
                        CHECK_EQ(found.size(), asked.places.size());
                        for (size_t i = 0; i < found.size(); ++i)
                          SetResult(found[i], *asked.response.mutable_results(asked.places[i]));
                        reply(std::move(asked.response));
                      });
}

void FetchService::FindEpochEnd(const v1::GetEpochEndOffsetRequest& request,
                                Reply<v1::GetEpochEndOffsetResponse> reply) {
  auto topic = TopicOf(request.partition().topic(), "");
  if (!topic.ok()) return reply(std::move(topic).error());
  if (auto routing = CheckRouting(request.routing()); !routing.ok())
    return reply(std::move(routing).error());
  std::optional<LeaderEpoch> current;
  if (request.has_current_leader_epoch()) current = {request.current_leader_epoch()};
  broker_.FindEpochEnd(std::move(*topic), {request.partition().partition()},
                       {request.leader_epoch()}, current,
                       [reply = std::move(reply)](Result<EpochEnd> end) mutable {
                         if (!end.ok()) return reply(std::move(end).error());
                         v1::GetEpochEndOffsetResponse answer;
                         answer.mutable_end()->set_leader_epoch(end->epoch.value);
                         answer.mutable_end()->set_end_offset(end->end.value);
                         reply(std::move(answer));
                       });
}

}  // namespace gregor
