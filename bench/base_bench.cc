// What the record codec costs per record and per byte: ./dev bench base
//
// Figures of a 2.6 GHz server core (g++ 12, -O2), records of 100 bytes without keys:
//   CRC-32C                30 GB/s by instruction, 3 GB/s by table
//   encode                 65 M records/s, 7 GB/s; a batch of one record 80 ns
//   walk                   50 M records/s uncompressed; 33 lz4, 30 zstd, 20 snappy, 17 gzip
//   (repetitive text) check and stamp        40 M records/s, 4.3 GB/s; a batch of one record 170
//   ns; compressed 26 GB/s, which is the CRC's compress               gzip 0.1 GB/s to 16 %,
//   snappy 1.3 to 32 %, lz4 1.3 to 27 %, zstd 0.6 to 15 % decompress             gzip 0.8 GB/s,
//   snappy 2.5, lz4 6.4, zstd 3.4 counter, histogram     4.5 ns, 10 ns
// So checking uncompressed batches takes one core 10 % for each 430 MB/s, and the walk, not the
// CRC, is most of it.
#include <benchmark/benchmark.h>

#include <atomic>
#include <string>

#include "base/crc32c.h"
#include "base/event_loop.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/record_batch.h"

namespace gregor {
namespace {

constexpr size_t kValueBytes = 100;

// Text that compresses about as well as what services log.
std::string Text(size_t size) {
  Random random(size);
  std::string text;
  while (text.size() < size) text += "user " + std::to_string(random.Below(100000)) + " clicked; ";
  text.resize(size);
  return text;
}

RecordBatch Sample(int64_t records, Codec codec) {
  const std::string text = Text(kValueBytes * 64);
  BatchBuilder builder({.codec = codec});
  NewRecord record;
  for (int64_t i = 0; i < records; ++i) {
    const auto at = static_cast<size_t>(i) % 63 * kValueBytes;
    record.value = std::string_view(text).substr(at + static_cast<size_t>(i) % 7, kValueBytes);
    record.timestamp = Timestamp{1700000000000 + i};
    builder.Add(record);
  }
  return builder.Build();
}

// The batch in slices as they come off a connection.
Bytes Sliced(const RecordBatch& batch, size_t slice_bytes) {
  const Slice flat = batch.bytes.Flatten();
  Bytes bytes;
  for (size_t at = 0; at < flat.size(); at += slice_bytes)
    bytes.Append(flat.Sub(at, std::min(slice_bytes, flat.size() - at)));
  return bytes;
}

void Count(benchmark::State& state, int64_t records, size_t bytes) {
  state.SetItemsProcessed(state.iterations() * records);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}

void BM_Crc32c(benchmark::State& state) {
  const std::string data = Text(static_cast<size_t>(state.range(0)));
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(data.data()), data.size());
  for (auto _ : state) benchmark::DoNotOptimize(Crc32c(0, bytes));
  Count(state, 1, data.size());
}
BENCHMARK(BM_Crc32c)->Arg(61)->Arg(1 << 10)->Arg(16 << 10)->Arg(1 << 20);

void BM_Crc32cPortable(benchmark::State& state) {
  const std::string data = Text(static_cast<size_t>(state.range(0)));
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(data.data()), data.size());
  for (auto _ : state) benchmark::DoNotOptimize(Crc32cPortable(0, bytes));
  Count(state, 1, data.size());
}
BENCHMARK(BM_Crc32cPortable)->Arg(16 << 10);

// Plain records into a batch, as for Produce with plain records.
void BM_Encode(benchmark::State& state) {
  const std::string value = Text(kValueBytes);
  NewRecord record;
  record.value = value;
  record.timestamp = Timestamp{1700000000000};
  size_t bytes = 0;
  for (auto _ : state) {
    BatchBuilder builder;
    for (int64_t i = 0; i < state.range(0); ++i) builder.Add(record);
    const RecordBatch batch = builder.Build();
    bytes = batch.bytes.size();
    benchmark::DoNotOptimize(batch.header.crc);
  }
  Count(state, state.range(0), bytes);
}
BENCHMARK(BM_Encode)->Arg(1)->Arg(10)->Arg(100)->Arg(8000);

// Every record of a batch, as for a reader without a codec of its own.
void BM_Decode(benchmark::State& state) {
  const RecordBatch batch = Sample(state.range(0), static_cast<Codec>(state.range(1)));
  size_t payload = 0;
  for (auto _ : state) {
    auto reader = RecordReader::Open(batch, 64 << 20);
    payload = 0;
    while (true) {
      const auto next = reader->Next();
      if (!next.ok() || !next->has_value()) break;
      payload += (*next)->value->size();
    }
    benchmark::DoNotOptimize(payload);
  }
  Count(state, state.range(0), payload);
  state.SetLabel(std::string(CodecName(static_cast<Codec>(state.range(1)))));
}
BENCHMARK(BM_Decode)->Args({1, 0})->Args({100, 0})->ArgsProduct({{8000}, {0, 1, 2, 3, 4}});

// What the leader does to a batch from a client: all checks, then the stamp. The second argument is
// the size of a slice.
void BM_Validate(benchmark::State& state) {
  const RecordBatch batch = Sample(state.range(0), Codec::kNone);
  const Bytes bytes = Sliced(batch, static_cast<size_t>(state.range(1)));
  ProduceRules rules;
  rules.now = Timestamp{1700000000000};
  for (auto _ : state) {
    auto checked = CheckProducedBatch(bytes, rules);
    StampBatch(*checked, Offset{1}, LeaderEpoch{2}, TimestampType::kCreateTime, rules.now);
    benchmark::DoNotOptimize(checked->header.crc);
  }
  Count(state, state.range(0), bytes.size());
}
BENCHMARK(BM_Validate)->ArgsProduct({{1, 10, 100, 8000}, {16 << 10}})->Args({8000, 1 << 20});

void BM_ValidateCompressed(benchmark::State& state) {
  const RecordBatch batch = Sample(8000, static_cast<Codec>(state.range(0)));
  ProduceRules rules;
  rules.now = Timestamp{1700000000000};
  for (auto _ : state) benchmark::DoNotOptimize(CheckProducedBatch(batch.bytes, rules).ok());
  Count(state, 8000, batch.bytes.size());
  state.SetLabel(std::string(CodecName(static_cast<Codec>(state.range(0)))));
}
BENCHMARK(BM_ValidateCompressed)->DenseRange(1, 4);

void BM_Compress(benchmark::State& state) {
  const auto codec = static_cast<Codec>(state.range(0));
  const std::string text = Text(static_cast<size_t>(state.range(1)));
  size_t packed = 0;
  for (auto _ : state) packed = Compress(codec, text).size();
  Count(state, 1, text.size());
  state.SetLabel(std::string(CodecName(codec)) + " to " +
                 std::to_string(packed * 100 / text.size()) + " %");
}
BENCHMARK(BM_Compress)->ArgsProduct({{1, 2, 3, 4}, {1 << 10, 1 << 20}});

void BM_Decompress(benchmark::State& state) {
  const auto codec = static_cast<Codec>(state.range(0));
  const std::string text = Text(static_cast<size_t>(state.range(1)));
  const Bytes packed = Slice::Own(Compress(codec, text));
  for (auto _ : state) benchmark::DoNotOptimize(Decompress(codec, packed, 64 << 20)->data());
  Count(state, 1, text.size());
  state.SetLabel(std::string(CodecName(codec)));
}
BENCHMARK(BM_Decompress)->ArgsProduct({{1, 2, 3, 4}, {1 << 10, 1 << 20}});

// Tasks from another thread, `range` at a time, until the last of them has run.
void BM_Post(benchmark::State& state) {
  const auto loop = NewThreadLoop("bench");
  std::atomic<int64_t> left = 0;
  for (auto _ : state) {
    left.store(state.range(0));
    for (int64_t i = 0; i < state.range(0); ++i)
      loop->Post("count", [&left] {
        if (left.fetch_sub(1) == 1) left.notify_one();
      });
    for (int64_t now = left.load(); now > 0; now = left.load()) left.wait(now);
  }
  Count(state, state.range(0), 0);
}
BENCHMARK(BM_Post)->Arg(1)->Arg(1000)->UseRealTime();

void BM_CounterAdd(benchmark::State& state) {
  const auto metrics = Metrics::Create();
  Counter& counter = metrics->AddCounter("gregor_bench_total", "Bench.");
  for (auto _ : state) counter.Add(1);
}
BENCHMARK(BM_CounterAdd);

void BM_LatencyObserve(benchmark::State& state) {
  const auto metrics = Metrics::Create();
  LatencyHistogram& latency = metrics->AddLatency("gregor_bench_seconds", "Bench.");
  int64_t us = 0;
  for (auto _ : state) latency.Observe(std::chrono::microseconds(us = (us + 997) % 100000));
}
BENCHMARK(BM_LatencyObserve);

}  // namespace
}  // namespace gregor
