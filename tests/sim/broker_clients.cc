// BrokerScenario: what clients and the administrator do.
#include <algorithm>
#include <utility>

#include "tests/sim/broker_expect.h"
#include "tests/sim/broker_scenario.h"
#include "tests/sim/swarm.h"

namespace gregor {
namespace {

constexpr int kInFlightMax = 5;
constexpr size_t kRequestsMax = 20;

bool IsUnknown(const Error& error) {
  return std::any_of(error.details.begin(), error.details.end(), [](const auto& detail) {
    return detail.first == "outcome" && detail.second == "UNKNOWN";
  });
}

}  // namespace

void BrokerScenario::ScheduleStep() {
  scheduler_.After(About(random_, swarm_.step_interval), "client", [this] {
    if (!chaos_) return;
    ++steps_done_;
    if (node_.is_serving() && !stopping_ && !crash_due_) Step();
    ScheduleStep();
  });
}

void BrokerScenario::Step() {
  auto op = static_cast<BrokerSwarm::Op>(PickWeighted(random_, swarm_.op_weights));
  if (checkers_.empty()) op = BrokerSwarm::kCreate;
  Note("client", op, 0);
  switch (op) {
    case BrokerSwarm::kProducePlain:
      return ProducePlain();
    case BrokerSwarm::kProduceIdempotent:
      return ProduceIdempotent();
    case BrokerSwarm::kProduceRequest:
      return ProduceRequest();
    case BrokerSwarm::kFetch:
      return DoFetch();
    case BrokerSwarm::kFindOffsets:
      return FindOffsets();
    case BrokerSwarm::kDeleteRecords:
      return DeleteSome();
    case BrokerSwarm::kCreate:
      return Create();
    case BrokerSwarm::kDelete:
      return DeleteTopic();
    case BrokerSwarm::kAddPartitions:
      return AddPartitions();
    case BrokerSwarm::kAlter:
      return Alter();
    case BrokerSwarm::kInit:
      return InitOne();
    case BrokerSwarm::kAskDeleted:
      return AskDeleted();
    case BrokerSwarm::kOpCount:
      break;
  }
}

// A topic name of which nothing is in doubt.
std::optional<std::string> BrokerScenario::PickName(bool exists) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < swarm_.topic_count; ++i) {
    const std::string name = "topic" + std::to_string(i);
    const auto& topic = topics_.At(name);
    if (!topic.in_doubt && topic.id.has_value() == exists) names.push_back(name);
  }
  if (names.empty()) return std::nullopt;
  return Pick(random_, names);
}

std::optional<TopicIdPartition> BrokerScenario::PickPartition() {
  std::vector<TopicIdPartition> partitions;
  for (const auto& [name, topic] : topics_.topics()) {
    for (int32_t i = 0; topic.id.has_value() && i < topic.partitions; ++i)
      partitions.push_back({*topic.id, PartitionIndex{i}});
  }
  if (partitions.empty()) return std::nullopt;
  return Pick(random_, partitions);
}

std::string BrokerScenario::NewValue(std::vector<uint64_t>* values) {
  values->push_back(++last_value_);
  std::string text = std::to_string(last_value_) + "/";
  text.resize(10 + random_.Below(300), 'x');
  return text;
}

void BrokerScenario::ProducePlain() {
  const auto id = PickPartition();
  if (!id.has_value()) return;
  std::vector<uint64_t> values;
  BatchBuilder builder;
  for (int64_t i = random_.Between(1, 3); i > 0; --i) {
    const std::string text = NewValue(&values);
    NewRecord record;
    record.value = text;
    record.timestamp = scheduler_.clock().WallNow();
    builder.Add(record);
    CheckerOf(*id).OnSent(values.back());
  }
  ProduceBatch request;
  request.topic.id = id->topic_id;
  request.partition = id->partition;
  request.batch = builder.Build().bytes;
  const bool unacknowledged = random_.Chance(0.2);
  request.ack.acks = unacknowledged        ? Acks::kNone
                     : random_.Chance(0.5) ? Acks::kAll
                                           : Acks::kLeader;
  node_.broker().Produce(
      std::move(request),
      Expect<Result<Produced>>("produce",
                               [this, id = *id, values, unacknowledged](Result<Produced> produced) {
                                 if (produced.ok()) {
                                   Count(unacknowledged ? "accepted" : "acknowledged");
                                   if (!unacknowledged)
                                     CheckerOf(id).OnAcknowledged(*produced, values);
                                   return;
                                 }
                                 Count("refused produces");
                                 if (!IsGone(id.topic_id, produced.error()))
                                   Unexpected("a produce", produced.error());
                                 if (IsUnknown(produced.error())) return;
                                 for (const uint64_t value : values)
                                   CheckerOf(id).OnNeverAppended(value);
                               }));
}

void BrokerScenario::Begin(Producer& producer) {
  if (std::exchange(producer.asking, true)) return;
  const size_t index = static_cast<size_t>(&producer - producers_.data());
  node_.broker().Init({}, Expect<Result<InitializedProducer>>(
                              "init producer", [this, index](Result<InitializedProducer> given) {
                                producers_[index].asking = false;
                                if (!given.ok()) return Unexpected("an init", given.error());
                                Count("producers");
                                topics_.OnProducerId(given->producer_id);
                                producers_[index].id = given->producer_id;
                                producers_[index].epoch = given->producer_epoch;
                              }));
}

// What it sent may be there or not; it goes on as another one.
void BrokerScenario::GiveUp(Producer& producer) {
  producer.streams.clear();
  producer.id = kNoProducerId;
  ++producer.generation;
}

void BrokerScenario::ProduceIdempotent() {
  const size_t index = random_.Below(producers_.size());
  Producer& producer = producers_[index];
  if (producer.id == kNoProducerId) return Begin(producer);
  const auto id = PickPartition();
  if (!id.has_value()) return;
  Stream& stream = producer.streams[*id];
  const bool resends = std::any_of(stream.pending.begin(), stream.pending.end(),
                                   [](const Pending& pending) { return !pending.in_flight; });
  if (!resends && stream.in_flight < kInFlightMax) {
    BatchBuilder builder({.producer_id = producer.id,
                          .producer_epoch = producer.epoch,
                          .base_sequence = stream.next});
    Pending pending;
    for (int64_t i = random_.Between(1, 3); i > 0; --i) {
      const std::string text = NewValue(&pending.values);
      NewRecord record;
      record.value = text;
      record.timestamp = scheduler_.clock().WallNow();
      builder.Add(record);
      CheckerOf(*id).OnSent(pending.values.back());
    }
    stream.next = Advance(stream.next, builder.record_count());
    pending.batch = builder.Build().bytes;
    stream.pending.push_back(std::move(pending));
  }
  SendPending(index, *id);
}

// All that is not on its way, in order; again only when nothing is on its way.
void BrokerScenario::SendPending(size_t index, const TopicIdPartition& id) {
  Producer& producer = producers_[index];
  Stream& stream = producer.streams[id];
  const auto first = std::find_if(stream.pending.begin(), stream.pending.end(),
                                  [](const Pending& pending) { return !pending.in_flight; });
  if (first == stream.pending.end()) return;
  if (first == stream.pending.begin() && stream.in_flight > 0) return;
  for (auto pending = first; pending != stream.pending.end(); ++pending) {
    pending->in_flight = true;
    ++stream.in_flight;
    ProduceBatch request;
    request.topic.id = id.topic_id;
    request.partition = id.partition;
    request.batch = pending->batch;
    request.ack.acks = random_.Chance(0.5) ? Acks::kAll : Acks::kLeader;
    node_.broker().Produce(
        std::move(request),
        Expect<Result<Produced>>("idempotent produce",
                                 [this, index, id, generation = producer.generation,
                                  value = pending->values[0]](Result<Produced> produced) {
                                   OnProduced(index, id, generation, value, std::move(produced));
                                 }));
  }
}

void BrokerScenario::OnProduced(size_t index, const TopicIdPartition& id, uint64_t generation,
                                uint64_t first_value, Result<Produced> produced) {
  Producer& producer = producers_[index];
  if (producer.generation != generation) return;
  Stream& stream = producer.streams[id];
  --stream.in_flight;
  const auto pending =
      std::find_if(stream.pending.begin(), stream.pending.end(),
                   [&](const Pending& each) { return each.values[0] == first_value; });
  if (pending == stream.pending.end()) return verdict_.Fail("an answer to no batch");
  pending->in_flight = false;
  if (produced.ok()) {
    Count(produced->duplicate ? "duplicates" : "acknowledged");
    CheckerOf(id).OnAcknowledged(*produced, pending->values);
    if (pending != stream.pending.begin())
      verdict_.Fail("a later batch of a producer was acknowledged first");
    stream.pending.erase(pending);
    return;
  }
  Count("refused produces");
  const Error& error = produced.error();
  if (IsGone(id.topic_id, error)) {
    producer.streams.erase(id);
    ++producer.generation;  // answers of this stream that are still to come
    for (auto& [other, rest] : producer.streams) {
      for (Pending& each : rest.pending) each.in_flight = false;
      rest.in_flight = 0;
    }
    return;
  }
  if (error.reason != Reason::kOutOfOrderSequence && error.reason != Reason::kUnknownProducerId)
    return Unexpected("a produce", error);
  // One that follows a refused one is out of order, and is sent again behind it.
  if (pending != stream.pending.begin()) return;
  CheckerOf(id).OnOutOfOrder(error);
  Count("out of order");
  GiveUp(producer);
}

// 0 where that is in doubt.
int32_t BrokerScenario::PartitionsOf(const TopicId& topic) const {
  for (const auto& [name, known] : topics_.topics()) {
    if (known.id == topic) return known.in_doubt ? 0 : known.partitions;
  }
  return 0;
}

void BrokerScenario::ProduceRequest() {
  // A topic with more partitions would spread a repetition otherwise (docs/formats.md).
  std::erase_if(requests_, [this](const auto& request) {
    return request->done ||
           (!request->in_flight && PartitionsOf(request->topic) != request->partitions);
  });
  if (!requests_.empty() && (random_.Chance(0.5) || requests_.size() >= kRequestsMax)) {
    const auto request = Pick(random_, requests_);
    if (!request->in_flight) SendRequest(request);
    return;
  }
  const auto id = PickPartition();
  if (!id.has_value()) return;
  auto request = std::make_shared<Request>();
  request->topic = id->topic_id;
  request->partitions = PartitionsOf(request->topic);
  if (request->partitions == 0) request->partitions = -1;  // will not be repeated
  for (int64_t i = random_.Between(1, 3); i > 0; --i)
    request->texts.push_back(NewValue(&request->values));
  request->id = "request-" + std::to_string(request->values[0]);
  for (const auto& [partition, checker] : checkers_) {
    if (partition.topic_id != request->topic) continue;
    for (const uint64_t value : request->values) checker->OnSent(value);
  }
  requests_.push_back(request);
  SendRequest(request);
}

void BrokerScenario::SendRequest(const std::shared_ptr<Request>& request) {
  request->in_flight = true;
  ProduceRecords produce;
  produce.topic.id = request->topic;
  produce.request_id = request->id;
  produce.owner = request;
  for (const std::string& text : request->texts) {
    NewRecord record;
    record.value = text;
    produce.records.push_back(record);
  }
  produce.ack.acks = random_.Chance(0.5) ? Acks::kAll : Acks::kLeader;
  node_.broker().Produce(std::move(produce),
                         Expect<Result<ProducedRecords>>(
                             "produce request", [this, request](Result<ProducedRecords> produced) {
                               OnRequest(request, std::move(produced));
                             }));
}

void BrokerScenario::OnRequest(const std::shared_ptr<Request>& request,
                               Result<ProducedRecords> produced) {
  request->in_flight = false;
  if (!produced.ok()) {
    Count("refused produces");
    request->done = IsGone(request->topic, produced.error());
    if (!request->done) Unexpected("a request", produced.error());
    return;
  }
  if (produced->error.has_value() || produced->batches.size() != 1)
    return verdict_.Fail("a request without keys is in ", produced->batches.size(), " parts");
  const Produced& batch = produced->batches[0];
  Count(batch.duplicate ? "duplicates" : "acknowledged");
  CheckerOf({request->topic, batch.partition}).OnAcknowledged(batch, request->values);
  // Its client may not have heard of it.
  request->done = random_.Chance(0.7);
}

void BrokerScenario::DoFetch() {
  const auto id = PickPartition();
  if (!id.has_value()) return;
  const PartitionChecker& checker = CheckerOf(*id);
  Position position;
  switch (random_.Below(4)) {
    case 0:
      position.kind = Position::Kind::kEarliest;
      break;
    case 1:
      position = {Position::Kind::kTail, static_cast<int64_t>(random_.Below(10))};
      break;
    default:
      position.value = random_.Between(
          checker.log_start().value, std::max(checker.log_start(), checker.high_watermark()).value);
      break;
  }
  const Duration wait = std::chrono::milliseconds(random_.Chance(0.3) ? random_.Below(500) : 0);
  FetchFrom(*id, position, wait, [](std::optional<Offset>) {});
}

// `then` gets where to go on; nothing where the end was reached, or the fetch failed.
void BrokerScenario::FetchFrom(const TopicIdPartition& id, Position position, Duration wait,
                               std::function<void(std::optional<Offset>)> then) {
  Fetch fetch;
  fetch.topic.id = id.topic_id;
  fetch.partition = id.partition;
  fetch.position = position;
  fetch.bytes_min = wait > Duration(0) ? static_cast<int32_t>(random_.Between(1, 3000)) : 1;
  fetch.bytes_max = static_cast<size_t>(random_.Between(1, 5000));
  fetch.first_batch_may_exceed = true;
  fetch.wait_max = wait;
  const Offset acknowledged = CheckerOf(id).acknowledged_end();
  node_.broker().Read(
      std::move(fetch),
      Expect<Result<Fetched>>("fetch", [this, id, position, acknowledged,
                                        then = std::move(then)](Result<Fetched> fetched) {
        if (fetched.ok()) {
          Count("fetches");
          CheckerOf(id).OnFetched(fetched->from, acknowledged, *fetched);
          const bool more = fetched->next_offset > fetched->from;
          return then(more ? std::optional(fetched->next_offset) : std::nullopt);
        }
        Count("failed fetches");
        const bool by_offset = position.kind == Position::Kind::kOffset;
        const Offset asked = by_offset ? Offset{position.value} : Offset{-1};
        const bool deleted =
            fetched.error().reason == Reason::kOffsetOutOfRange && CheckerOf(id).MayBeGone(asked);
        if (!deleted && !IsGone(id.topic_id, fetched.error()))
          Unexpected("a fetch", fetched.error());
        then(std::nullopt);
      }));
}

void BrokerScenario::ReadAll(const TopicIdPartition& id, Position position,
                             std::function<void()> then) {
  FetchFrom(id, position, Duration(0), [this, id, then](std::optional<Offset> next) {
    if (!next.has_value()) return then();
    ReadAll(id, {Position::Kind::kOffset, next->value}, then);
  });
}

void BrokerScenario::FindOffsets() {
  const auto id = PickPartition();
  if (!id.has_value()) return;
  OffsetQuery earliest, latest;
  earliest.topic.id = latest.topic.id = id->topic_id;
  earliest.partition = latest.partition = id->partition;
  earliest.position.kind = Position::Kind::kEarliest;
  latest.position.kind = Position::Kind::kLatest;
  const Offset acknowledged = CheckerOf(*id).acknowledged_end();
  node_.broker().FindOffsets(
      {earliest, latest},
      Expect<std::vector<Result<FoundOffset>>>(
          "find offsets", [this, id = *id, acknowledged](std::vector<Result<FoundOffset>> found) {
            for (const auto& each : found) {
              if (each.ok() || IsGone(id.topic_id, each.error())) continue;
              Unexpected("a search", each.error());
            }
            if (!found[0].ok() || !found[1].ok()) return;
            Count("searches");
            CheckerOf(id).OnFound(found[0]->offset, found[1]->offset, acknowledged);
          }));
}

void BrokerScenario::DeleteSome() {
  const auto id = PickPartition();
  if (!id.has_value()) return;
  PartitionChecker& checker = CheckerOf(*id);
  const Offset before{random_.Between(
      checker.log_start().value, std::max(checker.log_start(), checker.high_watermark()).value)};
  checker.OnDelete(before);
  DeleteRecords item;
  item.topic.id = id->topic_id;
  item.partition = id->partition;
  item.before = before;
  node_.broker().Delete(
      {item}, Expect<std::vector<Result<Offset>>>(
                  "delete records", [this, id = *id, before](std::vector<Result<Offset>> deleted) {
                    if (deleted[0].ok()) {
                      Count("deletions");
                      if (*deleted[0] < before)
                        return verdict_.Fail("deleted up to ", before, ", begins at ", *deleted[0]);
                      // It may begin later because of another deletion, which is not done yet.
                      return CheckerOf(id).OnDeleted(before);
                    }
                    const Error& error = deleted[0].error();
                    const bool lost = error.reason == Reason::kOffsetOutOfRange &&
                                      CheckerOf(id).MayBeGone(before);
                    if (!lost && !IsGone(id.topic_id, error)) Unexpected("a deletion", error);
                  }));
}

ConfigMap BrokerScenario::DrawConfigs(bool with_durability) {
  ConfigMap configs;
  const auto maybe = [&](const char* name, std::string value) {
    if (random_.Chance(0.3)) configs[name] = std::move(value);
  };
  if (with_durability) maybe("durability", random_.Chance(0.7) ? "replicated" : "synced");
  maybe("segment.ms", std::to_string(LogUniform(random_, 1, 5000)));
  maybe("retention.ms", std::to_string(LogUniform(random_, 50, 10'000)));
  maybe("retention.bytes", std::to_string(LogUniform(random_, 500, 100'000)));
  maybe("flush.ms", std::to_string(random_.Between(1, 100)));
  maybe("flush.messages", std::to_string(random_.Between(1, 20)));
  maybe("message.timestamp.type", random_.Chance(0.5) ? "LogAppendTime" : "CreateTime");
  maybe("compression.type", random_.Chance(0.5) ? "zstd" : "lz4");
  return configs;
}

// After a refusal that leaves it open whether the operation was done, the next start tells.
void BrokerScenario::EndOperation(const std::string& name, const char* what,
                                  const std::optional<Error>& error) {
  if (error.has_value()) return Unexpected(what, *error);
  Count("operations");
  if (stopping_) return;  // the broker follows no more
  const TopicPtr topic = node_.broker().image()->Topic(name);
  const auto& known = topics_.At(name);
  if (known.id.has_value() != (topic != nullptr) ||
      (topic != nullptr &&
       (topic->id != *known.id || topic->partition_count() != known.partitions ||
        *topic->configs != known.configs)))
    return verdict_.Fail(what, " of ", name, " was answered, and the node serves something else");
  if (topic != nullptr) AddCheckers(*topic, topic->partition_count());
}

void BrokerScenario::Create() {
  const auto name = PickName(false);
  if (!name.has_value()) return;
  CreateTopic operation;
  operation.name = *name;
  operation.partitions = static_cast<int32_t>(random_.Between(1, 3));
  operation.configs = DrawConfigs(true);
  auto& topic = topics_.At(*name);
  topic.in_doubt = true;
  topic.other_id = TopicId{};
  topic.other_partitions = operation.partitions;
  topic.other_configs = operation.configs;
  node_.broker().controller().Run(
      std::move(operation),
      Expect<Result<TopicPtr>>("create", [this, name = *name](Result<TopicPtr> created) {
        if (created.ok()) topics_.OnCreated(name, **created);
        EndOperation(name, "a creation",
                     created.ok() ? std::nullopt : std::optional(created.error()));
      }));
}

void BrokerScenario::DeleteTopic() {
  const auto name = PickName(true);
  if (!name.has_value()) return;
  auto& topic = topics_.At(*name);
  topic.in_doubt = topic.may_be_absent = true;
  TopicKey key;
  if (random_.Chance(0.5)) {
    key.name = *name;
  } else {
    key.id = topic.id;
  }
  node_.broker().controller().Run(
      gregor::DeleteTopic{std::move(key)},
      Expect<Result<void>>("delete", [this, name = *name](Result<void> deleted) {
        if (deleted.ok()) topics_.OnDeleted(name);
        EndOperation(name, "a deletion",
                     deleted.ok() ? std::nullopt : std::optional(deleted.error()));
      }));
}

void BrokerScenario::AddPartitions() {
  const auto name = PickName(true);
  if (!name.has_value()) return;
  auto& topic = topics_.At(*name);
  if (topic.partitions >= 6) return;
  topic.in_doubt = true;
  topic.other_partitions = topic.partitions + static_cast<int32_t>(random_.Between(1, 2));
  AddCheckers(*node_.broker().image()->Topic(*name), topic.other_partitions);
  gregor::AddPartitions operation;
  operation.topic = *name;
  operation.total_partitions = topic.other_partitions;
  node_.broker().controller().Run(
      std::move(operation),
      Expect<Result<TopicPtr>>("add partitions", [this, name = *name](Result<TopicPtr> added) {
        if (added.ok()) topics_.OnDone(name);
        EndOperation(name, "an addition", added.ok() ? std::nullopt : std::optional(added.error()));
      }));
}

void BrokerScenario::Alter() {
  const auto name = PickName(true);
  if (!name.has_value()) return;
  auto& topic = topics_.At(*name);
  AlterConfig alteration;
  alteration.name = *name;
  ConfigMap configs = topic.configs;
  for (const auto& [config, value] : DrawConfigs(false)) {
    const bool deletes = configs.contains(config) && random_.Chance(0.5);
    alteration.ops.push_back(
        {config, deletes ? ConfigOpKind::kDelete : ConfigOpKind::kSet, deletes ? "" : value});
    if (deletes) {
      configs.erase(config);
    } else {
      configs[config] = value;
    }
  }
  if (alteration.ops.empty()) return;
  topic.in_doubt = true;
  topic.other_configs = configs;
  for (int32_t i = 0; i < topic.partitions; ++i)
    CheckerOf({*topic.id, PartitionIndex{i}}).OnRetention();
  node_.broker().controller().Run(
      AlterConfigs{{alteration}, false},
      Expect<Result<std::vector<Result<void>>>>(
          "alter", [this, name = *name](Result<std::vector<Result<void>>> altered) {
            std::optional<Error> error;
            if (!altered.ok()) {
              error = altered.error();
            } else if (!altered->at(0).ok()) {
              error = altered->at(0).error();
            }
            if (!error.has_value()) topics_.OnDone(name);
            EndOperation(name, "an alteration", error);
          }));
}

void BrokerScenario::InitOne() {
  node_.broker().Init({}, Expect<Result<InitializedProducer>>(
                              "init producer", [this](Result<InitializedProducer> given) {
                                if (!given.ok()) return Unexpected("an init", given.error());
                                topics_.OnProducerId(given->producer_id);
                              }));
}

// A late request for a deleted topic never reaches its successor.
void BrokerScenario::AskDeleted() {
  if (topics_.deleted().empty()) return;
  const TopicId id = Pick(random_, topics_.deleted());
  const auto refused = [this](const char* what, bool ok, const Error* error) {
    Count("late requests");
    if (ok) return verdict_.Fail(what, " of a deleted topic succeeds");
    if (error->reason != Reason::kUnknownTopicId) Unexpected(what, *error);
  };
  if (random_.Chance(0.5)) {
    Fetch fetch;
    fetch.topic.id = id;
    node_.broker().Read(
        std::move(fetch), Expect<Result<Fetched>>("late fetch", [refused](Result<Fetched> fetched) {
          refused("a fetch", fetched.ok(), fetched.ok() ? nullptr : &fetched.error());
        }));
    return;
  }
  BatchBuilder builder;
  NewRecord record;
  record.value = "0/late";
  record.timestamp = scheduler_.clock().WallNow();
  builder.Add(record);
  ProduceBatch request;
  request.topic.id = id;
  request.batch = builder.Build().bytes;
  node_.broker().Produce(std::move(request),
                         Expect<Result<Produced>>("late produce", [refused](Result<Produced> p) {
                           refused("a produce", p.ok(), p.ok() ? nullptr : &p.error());
                         }));
}

}  // namespace gregor
