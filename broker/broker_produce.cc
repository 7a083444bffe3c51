// Broker: plain records, which it encodes, one batch per partition.
#include <algorithm>
#include <charconv>
#include <numeric>
#include <utility>

#include "base/murmur2.h"
#include "broker/broker.h"
#include "broker/request_id.h"
#include "broker/routing.h"

namespace gregor {

// One request on its way to its partitions. Parts are in the order in which the request first names
// their partitions.
struct Broker::Scatter {
  struct Part {
    PartitionIndex partition;
    std::vector<int32_t> indexes;  // of the request's records, rising
    Budget::Share memory;          // for its batch, until that is written
    std::optional<RecordBatch> checked = {};
  };
  ProduceRecords request;
  TopicPtr topic;
  ProducerId request_producer = kNoProducerId;  // what request_id became
  Sequence content = kNoSequence;               // ... and its content
  RequestClaims::Claim claim;
  std::vector<Part> parts;
  std::vector<uint32_t> part_of;  // by record

  bool is_request() const { return request_producer != kNoProducerId; }
  // The batch of a part. Thread: of its partition's loop.
  Bytes BatchOf(const Part& part, const Partition& partition, Timestamp now) const;
};

namespace {

// Of the batch that these records of the request become.
size_t SizeBound(const std::vector<NewRecord>& records, const std::vector<int32_t>& indexes) {
  size_t bytes = kBatchHeaderBytes;
  for (const int32_t index : indexes)
    bytes += BatchBuilder::SizeBound(records[static_cast<size_t>(index)]);
  return bytes;
}

Result<void> CheckRequest(const ProduceRecords& request) {
  const auto invalid = [](const char* message) {
    return Error(Reason::kInvalidArgument, message).With("outcome", "NOT_APPLIED");
  };
  if (request.records.empty()) return invalid("the request has no records");
  const bool idempotent = request.producer_id != kNoProducerId;
  if (idempotent && !request.request_id.empty())
    return invalid("request_id and producer exclude each other: give one");
  if (idempotent && !request.partition.has_value())
    return invalid("a producer's sequences are per partition: name the partition");
  if (idempotent && (request.producer_epoch.value < 0 || request.base_sequence.value < 0)) {
    return invalid("a producer needs an epoch and a base sequence of 0 or more");
  }
  if (request.request_id.size() > 256) return invalid("request_id is longer than 256 bytes");
  return {};
}

// Records of consecutive indexes that went to one part are consecutive in its batch.
void AddRanges(const std::vector<uint32_t>& part_of,
               const std::vector<std::optional<Produced>>& produced, ProducedRecords& result) {
  std::vector<int32_t> batch_of(produced.size(), -1);
  for (size_t part = 0; part < produced.size(); ++part) {
    if (!produced[part].has_value()) continue;
    batch_of[part] = static_cast<int32_t>(result.batches.size());
    result.batches.push_back(*produced[part]);
  }
  std::vector<int64_t> used(produced.size(), 0);
  for (size_t index = 0; index < part_of.size();) {
    const uint32_t part = part_of[index];
    size_t end = index + 1;
    while (end < part_of.size() && part_of[end] == part) ++end;
    const auto count = static_cast<int32_t>(end - index);
    if (batch_of[part] >= 0) {
      result.ranges.push_back({.first_index = static_cast<int32_t>(index),
                               .count = count,
                               .base_offset = produced[part]->base_offset + used[part],
                               .batch = static_cast<size_t>(batch_of[part])});
    }
    used[part] += count;
    index = end;
  }
}

// A partition knows a record by its place in the batch, the client by the one in its request.
Error InRequest(Error error, const std::vector<int32_t>& indexes) {
  for (auto& [name, value] : error.details) {
    size_t index = 0;
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), index);
    if (name != "record_index" || parsed.ec != std::errc() || index >= indexes.size()) continue;
    const std::string of_batch = "record " + value + " ";
    value = std::to_string(indexes[index]);
    if (error.message.starts_with(of_batch))
      error.message.replace(0, of_batch.size(), "record " + value + " ");
  }
  return error;
}

// Details that the partition put in its error: whether what was asked may have happened.
bool IsUnknown(const Error& error) {
  return std::any_of(error.details.begin(), error.details.end(), [](const auto& detail) {
    return detail.first == "outcome" && detail.second == "UNKNOWN";
  });
}

// Whether repeating the request would fail again: such an error is told before one that passes.
bool IsRequestBad(const Error& error) {
  return SpecOf(error.reason).grpc_code == SpecOf(Reason::kInvalidArgument).grpc_code;
}

Result<ProducedRecords> Combine(const std::vector<uint32_t>& part_of,
                                std::vector<Result<Produced>> results) {
  std::vector<std::optional<Produced>> produced(results.size());
  ProducedRecords combined;
  for (size_t part = 0; part < results.size(); ++part) {
    if (results[part].ok()) {
      produced[part] = std::move(*results[part]);
    } else {
      const Error& error = results[part].error();
      combined.outcome_unknown |= IsUnknown(error);
      if (!combined.error.has_value() || (IsRequestBad(error) && !IsRequestBad(*combined.error)))
        combined.error = error;
    }
  }
  const bool none = std::none_of(produced.begin(), produced.end(),
                                 [](const auto& each) { return each.has_value(); });
  if (none) return *combined.error;
  AddRanges(part_of, produced, combined);
  return combined;
}

}  // namespace

// One after the other, but those that nobody can write to, unless those are all.
PartitionIndex Broker::KeylessPartition(const TopicImage& topic) {
  const auto count = static_cast<uint64_t>(topic.partition_count());
  const uint64_t number = keyless_requests_.fetch_add(1, std::memory_order_relaxed);
  const auto at = [](uint64_t index) { return PartitionIndex{static_cast<int32_t>(index)}; };
  const PartitionImage* const next = topic.Partition(at(number % count));
  const bool is_led = next != nullptr && next->leader.value >= 0;
  if (is_led && !refused_.Has({topic.id, next->index}) && log_dirs_.AllWork()) return next->index;
  const OfflineReplicas offline = offline_replicas();
  std::vector<PartitionIndex> served;
  topic.partitions.VisitAll([&](PartitionIndex index, const auto& partition) {
    const NodeId leader = partition->leader;
    if (leader.value >= 0 && !offline.Has({topic.id, index}, *partition, leader))
      served.push_back(index);
  });
  return served.empty() ? at(number % count) : served[number % served.size()];
}

Result<std::shared_ptr<Broker::Scatter>> Broker::MakeScatter(ProduceRecords request) {
  RETURN_IF_ERROR(CheckRequest(request));
  auto scatter = std::make_shared<Scatter>();
  ASSIGN_OR_RETURN(scatter->topic, Resolve(request.topic));
  const TopicImage& topic = *scatter->topic;
  const int32_t count = topic.partition_count();
  PartitionIndex keyless;
  if (request.request_id.empty()) {
    const bool is_wanted = !request.partition.has_value() &&
                           std::any_of(request.records.begin(), request.records.end(),
                                       [](const auto& each) { return !each.key.has_value(); });
    if (is_wanted) keyless = KeylessPartition(topic);
  } else {
    const std::array<uint8_t, 16> key = image()->request_id_key;
    scatter->request_producer =
        ProducerIdOfRequest(key, request.principal, topic.name, request.request_id);
    scatter->content = ContentSequence(key, request.partition, request.records);
    ASSIGN_OR_RETURN(scatter->claim,
                     request_claims_.Take(scatter->request_producer, scatter->content));
    // It is the same one whenever the request comes again.
    const uint64_t hash = PartitionHashOfRequest(request.request_id);
    keyless.value = static_cast<int32_t>(hash % static_cast<uint64_t>(count));
  }
  std::map<int32_t, uint32_t> part_by_partition;
  scatter->part_of.reserve(request.records.size());
  for (size_t i = 0; i < request.records.size(); ++i) {
    const NewRecord& record = request.records[i];
    PartitionIndex partition = keyless;
    if (request.partition.has_value()) {
      partition = *request.partition;
    } else if (record.key.has_value()) {
      partition = PartitionOfKey(*record.key, count);
    }
    const auto next = static_cast<uint32_t>(scatter->parts.size());
    const auto [found, is_new] = part_by_partition.try_emplace(partition.value, next);
    if (is_new) scatter->parts.push_back({partition, {}, {}, {}});
    scatter->parts[found->second].indexes.push_back(static_cast<int32_t>(i));
    scatter->part_of.push_back(found->second);
  }
  // All of it or nothing: the parts go to several loops.
  std::vector<size_t> bounds;
  for (const Scatter::Part& part : scatter->parts)
    bounds.push_back(SizeBound(request.records, part.indexes));
  const size_t sum = std::accumulate(bounds.begin(), bounds.end(), size_t{0});
  ASSIGN_OR_RETURN(Budget::Share memory, TakeProduceMemory(sum));
  for (size_t i = 0; i < bounds.size(); ++i) scatter->parts[i].memory = memory.Split(bounds[i]);
  scatter->request = std::move(request);
  return scatter;
}

Bytes Broker::Scatter::BatchOf(const Part& part, const Partition& partition, Timestamp now) const {
  BatchBuilder::Options options{.producer_id = request.producer_id,
                                .producer_epoch = request.producer_epoch,
                                .base_sequence = request.base_sequence};
  if (is_request()) {
    options.producer_id = request_producer;
    options.producer_epoch = ProducerEpoch{0};
    options.base_sequence = content;
  }
  options.codec = partition.metadata().settings->compression.value_or(request.codec);
  BatchBuilder builder(options);
  for (const int32_t index : part.indexes) {
    const NewRecord& record = request.records[static_cast<size_t>(index)];
    if (record.timestamp != kNoTimestamp) {
      builder.Add(record);
    } else {
      NewRecord stamped = record;
      stamped.timestamp = now;
      builder.Add(stamped);
    }
  }
  return builder.Build().bytes;
}

Result<void> Broker::CheckKnown(const std::vector<KnownRequest>& known, Scatter& scatter) {
  const auto is_part = [&](PartitionIndex partition) {
    return std::any_of(scatter.parts.begin(), scatter.parts.end(),
                       [&](const auto& part) { return part.partition == partition; });
  };
  for (const KnownRequest& each : known) {
    if (each.content != scatter.content) return RequestIdReused();
    if (is_part(each.partition)) continue;
    // Partitions were added since. What was one batch then is one now: it is found where it went.
    if (scatter.parts.size() == 1) {
      scatter.parts[0].partition = each.partition;
      continue;
    }
    return Error(Reason::kInvalidArgument,
                 "the topic was given partitions after this request was first sent; what it wrote "
                 "then is in partition " +
                     std::to_string(each.partition.value) +
                     " and others, and would be stored twice");
  }
  return {};
}

void Broker::CheckRequestId(std::shared_ptr<Scatter> scatter, Done<void> done) {
  auto gather = Gather<std::vector<KnownRequest>>::Make(
      shards_.size(), [scatter, done = std::move(done)](auto results) mutable {
        for (const auto& known : results) {
          if (auto usable = CheckKnown(*known, *scatter); !usable.ok())
            return done(std::move(usable));
        }
        done({});
      });
  for (size_t i = 0; i < shards_.size(); ++i) {
    Shard& shard = *shards_[i];
    shard.loop().Post("shard.find_request", [&shard, i, gather, scatter] {
      shard.FindRequest(
          *scatter->topic, scatter->request_producer,
          [gather, i](std::vector<KnownRequest> known) { gather->Set(i, std::move(known)); });
    });
  }
}

void Broker::Produce(ProduceRecords request, Done<ProducedRecords> done) {
  auto made = MakeScatter(std::move(request));
  if (!made.ok()) return done(Refused(std::move(made).error()));
  std::shared_ptr<Scatter> scatter = std::move(*made);
  // The only partition of a topic sees by itself what the id was used for.
  if (!scatter->is_request() || scatter->topic->partition_count() == 1)
    return CheckParts(std::move(scatter), std::move(done));
  CheckRequestId(scatter, [this, scatter, done = std::move(done)](Result<void> usable) mutable {
    if (usable.ok()) return CheckParts(std::move(scatter), std::move(done));
    scatter->claim.Release();
    done(Refused(std::move(usable).error()));
  });
}

// Where there are several parts: none is appended if one of them may not be, whatever is repeated.
void Broker::CheckParts(std::shared_ptr<Scatter> scatter, Done<ProducedRecords> done) {
  if (scatter->parts.size() == 1) return AppendParts(std::move(scatter), std::move(done));
  auto gather = Gather<void>::Make(
      scatter->parts.size(),
      [this, scatter, done = std::move(done)](std::vector<Result<void>> results) mutable {
        for (Result<void>& each : results) {
          if (each.ok() || !IsRequestBad(each.error())) continue;
          scatter->claim.Release();
          return done(Refused(std::move(each).error()));
        }
        AppendParts(std::move(scatter), std::move(done));
      });
  for (size_t i = 0; i < scatter->parts.size(); ++i) {
    Done<void> part_done = [gather, i](Result<void> fine) { gather->Set(i, std::move(fine)); };
    const auto route = RouteOf(*scatter, i);
    if (!route.ok()) {
      part_done({});  // AppendParts() tells
      continue;
    }
    EventLoop& loop = route->shard->loop();
    OnPartition<void>(
        *route->shard, route->id, "partition.check_records",
        [scatter, i, &loop](Partition& partition, Done<void> done) {
          Scatter::Part& part = scatter->parts[i];
          auto checked = partition.Check(scatter->BatchOf(part, partition, loop.clock().WallNow()));
          if (!checked.ok()) return done(InRequest(std::move(checked).error(), part.indexes));
          part.checked = *std::move(checked);
          done({});
        },
        std::move(part_done));
  }
}

Result<Broker::Route> Broker::RouteOf(const Scatter& scatter, size_t part) const {
  return Find({.name = scatter.topic->name, .id = scatter.topic->id},
              scatter.parts[part].partition);
}

void Broker::AppendParts(std::shared_ptr<Scatter> scatter, Done<ProducedRecords> done) {
  auto gather = Gather<Produced>::Make(
      scatter->parts.size(),
      [scatter, done = std::move(done)](std::vector<Result<Produced>> results) mutable {
        scatter->claim.Release();
        done(Combine(scatter->part_of, std::move(results)));
      });
  for (size_t i = 0; i < scatter->parts.size(); ++i) {
    Done<Produced> part_done = [gather, i, scatter](Result<Produced> produced) {
      if (!produced.ok())
        produced = InRequest(std::move(produced).error(), scatter->parts[i].indexes);
      gather->Set(i, std::move(produced));
    };
    const auto route = RouteOf(*scatter, i);
    if (!route.ok()) {
      part_done(Refused(route.error()));
      continue;
    }
    EventLoop& loop = route->shard->loop();
    OnPartition<Produced>(
        *route->shard, route->id, "partition.produce_records",
        [scatter, i, &loop](Partition& partition, Done<Produced> done) {
          Scatter::Part& part = scatter->parts[i];
          Partition::Append append;
          append.checked = std::move(part.checked);
          if (!append.checked.has_value())
            append.batch = scatter->BatchOf(part, partition, loop.clock().WallNow());
          append.ack = scatter->request.ack;
          append.memory = std::move(part.memory);
          append.is_request = scatter->is_request();
          append.abandoned = scatter->request.abandoned;
          partition.Produce(std::move(append), std::move(done));
        },
        std::move(part_done), &produce_errors_);
  }
}

}  // namespace gregor
