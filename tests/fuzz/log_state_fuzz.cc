// Links: gregor_storage gregor_base
// What a log keeps beside its segments, read back from a disk that may have changed it. The first
// byte of the input says what the rest is: 0 an epoch checkpoint, 1 a producer snapshot, both
// without their checksum; 2 appended batches.
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/crc32c.h"
#include "storage/encoding.h"
#include "storage/epoch_cache.h"
#include "storage/producer_state.h"

namespace gregor {
namespace {

constexpr ProducerState::Options kOptions = {
    .expiration_ms = 1000, .ids_max = 8, .request_window_ms = 500, .request_ids_max = 8};

uint32_t CrcOf(std::string_view text) {
  return Crc32c(0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

void EpochCheckpoint(std::string text) {
  char checksum[32];
  std::snprintf(checksum, sizeof checksum, "crc32c %08x\n", CrcOf(text));
  auto cache = EpochCache::Decode(text + checksum);
  if (!cache.ok()) return;
  CHECK(EpochCache::Decode(cache->Encode())->entries() == cache->entries());
  const auto entries = cache->entries();
  for (const EpochCache::Entry& entry : entries) {
    CHECK(cache->EpochAt(entry.start) == entry.epoch);
    const auto end = cache->EndOf(entry.epoch, Offset{INT64_MAX});
    CHECK(end.has_value() && end->epoch == entry.epoch && end->start >= entry.start);
  }
  if (entries.empty()) return;
  const Offset middle = entries[entries.size() / 2].start;
  EpochCache start = *cache;
  start.TruncateFromStart(middle);
  CHECK(start.EpochAt(middle) == cache->EpochAt(middle));
  cache->TruncateFromEnd(middle);
  CHECK(!cache->last().has_value() || cache->last()->start < middle);
  CHECK(EpochCache::Decode(cache->Encode()).ok());
}

// What is written and read back is the same.
void CheckRoundTrip(const ProducerState& state, Offset end) {
  const std::string snapshot = state.Encode(end);
  ProducerState back(kOptions);
  const auto read = back.Decode(snapshot);
  CHECK(read.ok()) << read.error();
  CHECK_EQ(*read, end);
  CHECK(back.Encode(end) == snapshot);
}

void ProducerSnapshot(std::string snapshot) {
  PutBigEndian(&snapshot, CrcOf(snapshot));
  ProducerState state(kOptions);
  const auto end = state.Decode(snapshot);
  if (!end.ok()) {
    CHECK_EQ(state.id_count(), 0u);
    return;
  }
  CHECK_LE(state.id_count(), kOptions.ids_max + kOptions.request_ids_max);
  CheckRoundTrip(state, *end);
  CHECK_LE(state.RememberedEnds().size(),
           ProducerState::kBatchesMax * kOptions.ids_max + kOptions.request_ids_max);
}

// Batches of a few producers, most of them in sequence, as a log would note them.
void AppendedBatches(std::string_view rest) {
  ProducerState state(kOptions);
  int64_t next_offset = 0, now = 0;
  while (rest.size() >= 4) {
    const auto choice = *TakeBigEndian<uint8_t>(&rest);
    const auto number = *TakeBigEndian<uint8_t>(&rest);
    const auto jump = *TakeBigEndian<uint8_t>(&rest);
    const auto count = *TakeBigEndian<uint8_t>(&rest);
    now += jump;
    if ((choice & 0x80) != 0) state.Expire(Timestamp{now});
    BatchHeader header;
    header.producer_id = ProducerId{((choice & 1) != 0 ? kRequestIdRange : 0) + number % 16};
    const auto last = state.LastOf(header.producer_id);
    header.producer_epoch = ProducerEpoch{static_cast<int16_t>(choice >> 1 & 3)};
    header.base_sequence =
        last.has_value() && (choice & 0x40) == 0 ? Advance(last->last_sequence, 1) : Sequence{jump};
    if (IsRequestId(header.producer_id)) header.producer_epoch = ProducerEpoch{0};
    header.last_offset_delta = count;
    header.record_count = count + 1;
    const auto check = state.Check(header);
    if (!check.ok()) continue;
    if (check->has_value()) {
      CHECK_EQ((*check)->first_sequence, header.base_sequence);
      continue;
    }
    header.base_offset = Offset{next_offset};
    next_offset += count + 1;
    state.Note(header, Timestamp{now});
    const auto noted = state.LastOf(header.producer_id);
    CHECK(noted.has_value());
    CHECK_EQ(noted->base_offset, header.base_offset);
    const auto again = state.Check(header);
    CHECK(again.ok() && again->has_value()) << "a retry must be recognised";
    CHECK_EQ((*again)->base_offset, header.base_offset);
  }
  CheckRoundTrip(state, Offset{next_offset});
}

void Run(uint8_t kind, std::string_view rest) {
  if (kind == 0) EpochCheckpoint(std::string(rest));
  if (kind == 1) ProducerSnapshot(std::string(rest));
  if (kind == 2) AppendedBatches(rest);
}

}  // namespace
}  // namespace gregor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  gregor::Run(data[0] % 3, {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
