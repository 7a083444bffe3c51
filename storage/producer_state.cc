#include "storage/producer_state.h"

#include <algorithm>
#include <array>
#include <list>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "storage/encoding.h"
#include "storage/request_ids.h"

namespace gregor {
namespace {

constexpr uint32_t kMagic = 0x47505331;  // "GPS1"
constexpr size_t kHeadBytes = 4 + 8 + 4 + 4;
constexpr size_t kCrcBytes = 4;
constexpr size_t kProducerBytesMin = 8 + 2 + 8 + 1;
constexpr size_t kRequestBytes = 8 + 8 + 8 + 4 + 4;
// What an id costs the budget.
constexpr size_t kProducerMemory = 220;
constexpr size_t kRequestMemory = 45;
// Expired request ids that one append clears away at most, so that none takes long.
constexpr int kExpiredPerNote = 16;

// A batch as it is kept: the rest follows from it.
struct KeptBatch {
  Sequence first{-1};
  int32_t last_offset_delta = 0;
  Offset base_offset{0};
  Timestamp max_timestamp{-1};
};

struct Producer {
  ProducerId id{-1};
  Timestamp noted{0};
  ProducerEpoch epoch{-1};
  uint8_t count = 0;
  std::array<KeptBatch, ProducerState::kBatchesMax> batches;  // oldest first

  const KeptBatch& last() const { return batches[count - 1]; }
  void Push(const KeptBatch& batch) {
    if (count == batches.size()) {
      std::move(batches.begin() + 1, batches.end(), batches.begin());
      --count;
    }
    batches[count++] = batch;
  }
};

ProducerState::Batch Describe(const KeptBatch& kept) {
  return {.first_sequence = kept.first,
          .last_sequence = Advance(kept.first, kept.last_offset_delta),
          .base_offset = kept.base_offset,
          .last_offset = kept.base_offset + kept.last_offset_delta,
          .max_timestamp = kept.max_timestamp};
}

ProducerState::Batch Describe(const RequestIds::Entry& entry) {
  return Describe(
      KeptBatch{entry.content, entry.last_offset_delta, entry.base_offset, entry.noted});
}

Error OutOfOrder(const BatchHeader& header, Sequence expected) {
  return Error(Reason::kOutOfOrderSequence,
               "producer " + std::to_string(header.producer_id.value) + " sent sequence " +
                   std::to_string(header.base_sequence.value) + ", expected is " +
                   std::to_string(expected.value) +
                   ": an earlier batch is missing, or this one was sent too long ago to be "
                   "recognised as a retry")
      .With("expected_sequence", std::to_string(expected.value));
}

// Where nothing is known of the producer, a batch that is not its first one has another before it,
// which may still come: taking this one would make a gap of that for good.
Result<std::optional<ProducerState::Batch>> CheckUnknown(const BatchHeader& header) {
  if (header.base_sequence.value == 0) return std::optional<ProducerState::Batch>();
  return Error(Reason::kUnknownProducerId,
               "nothing is known here of producer " + std::to_string(header.producer_id.value) +
                   ", and it sent sequence " + std::to_string(header.base_sequence.value) +
                   " instead of 0: an earlier batch is missing, or the producer was silent for too "
                   "long")
      .With("expected_sequence", "0");
}

Result<std::optional<ProducerState::Batch>> CheckAgainst(const Producer& known,
                                                         const BatchHeader& header) {
  if (header.producer_epoch < known.epoch) {
    return Error(Reason::kInvalidProducerEpoch,
                 "producer " + std::to_string(header.producer_id.value) + " sent epoch " +
                     std::to_string(header.producer_epoch.value) + ", but epoch " +
                     std::to_string(known.epoch.value) +
                     " has written already: initialize the producer again")
        .With("producer_epoch", std::to_string(known.epoch.value));
  }
  if (header.producer_epoch > known.epoch || known.count == 0) {
    if (header.base_sequence.value != 0) return OutOfOrder(header, Sequence{0});
    return std::optional<ProducerState::Batch>();
  }
  for (size_t i = 0; i < known.count; ++i) {
    const KeptBatch& batch = known.batches[i];
    if (batch.first == header.base_sequence &&
        batch.last_offset_delta == header.last_offset_delta) {
      return std::optional(Describe(batch));
    }
  }
  const Sequence expected = Advance(known.last().first, known.last().last_offset_delta + 1);
  if (header.base_sequence != expected) return OutOfOrder(header, expected);
  return std::optional<ProducerState::Batch>();
}

// Whether what was noted at `noted` is older than `window_ms`.
bool IsOld(Timestamp noted, Timestamp now, int64_t window_ms) { return now - noted > window_ms; }

}  // namespace

// The ordinary producers, least recently noted first.
class ProducerState::Producers {
 public:
  // Clients may name any id: spread them, so that none can make long chains on purpose.
  struct Hash {
    size_t operator()(int64_t id) const {
      const uint64_t mixed = static_cast<uint64_t>(id) * 0x9e3779b97f4a7c15u;
      return mixed ^ mixed >> 32;
    }
  };

  const Producer* Find(ProducerId id) const {
    const auto found = by_id_.find(id.value);
    return found == by_id_.end() ? nullptr : &*found->second;
  }
  // The producer, new or moved to the young end.
  Producer& Touch(ProducerId id) {
    const auto [at, is_new] = by_id_.try_emplace(id.value);
    if (is_new) {
      by_age_.emplace_back().id = id;
      at->second = std::prev(by_age_.end());
    } else {
      by_age_.splice(by_age_.end(), by_age_, at->second);
    }
    return *at->second;
  }
  Producer& oldest() { return by_age_.front(); }
  void DropOldest() {
    by_id_.erase(by_age_.front().id.value);
    by_age_.pop_front();
  }
  bool empty() const { return by_age_.empty(); }
  size_t size() const { return by_age_.size(); }
  const std::list<Producer>& entries() const { return by_age_; }
  size_t memory_bytes() const {
    constexpr size_t kListNode = 2 * sizeof(void*), kMapNode = 2 * sizeof(void*) + 16;
    return sizeof(*this) + size() * (sizeof(Producer) + kListNode + kMapNode) +
           by_id_.bucket_count() * sizeof(void*);
  }

 private:
  std::list<Producer> by_age_;
  std::unordered_map<int64_t, std::list<Producer>::iterator, Hash> by_id_;
};

class ProducerState::Requests : public RequestIds {};

ProducerState::ProducerState(Options options) : options_(options) {
  CHECK_GT(options_.ids_max, 0u);
  CHECK_GT(options_.request_ids_max, 0u);
}
ProducerState::ProducerState(ProducerState&& other) noexcept
    : options_(other.options_),
      charged_bytes_(std::exchange(other.charged_bytes_, 0)),
      producers_(std::move(other.producers_)),
      requests_(std::move(other.requests_)) {}

ProducerState& ProducerState::operator=(ProducerState&& other) noexcept {
  if (this == &other) return *this;
  Clear();
  options_ = other.options_;
  charged_bytes_ = std::exchange(other.charged_bytes_, 0);
  producers_ = std::move(other.producers_);
  requests_ = std::move(other.requests_);
  return *this;
}

ProducerState::~ProducerState() { Clear(); }

ProducerState::Producers& ProducerState::producers() {
  if (producers_ == nullptr) producers_ = std::make_unique<Producers>();
  return *producers_;
}

ProducerState::Requests& ProducerState::requests() {
  if (requests_ == nullptr) requests_ = std::make_unique<Requests>();
  return *requests_;
}

Result<std::optional<ProducerState::Batch>> ProducerState::Check(const BatchHeader& header) const {
  if (!header.has_producer()) return std::optional<Batch>();
  if (IsRequestId(header.producer_id)) {
    const auto known = LastOf(header.producer_id);
    if (known.has_value() && known->first_sequence != header.base_sequence) {
      return Error(Reason::kInvalidArgument,
                   "this request_id was used before for other records: give every request an id "
                   "of its own, and repeat a request unchanged");
    }
    return known;
  }
  const Producer* known = producers_ == nullptr ? nullptr : producers_->Find(header.producer_id);
  if (known == nullptr) return CheckUnknown(header);
  return CheckAgainst(*known, header);
}

std::optional<ProducerState::Batch> ProducerState::LastOf(ProducerId id) const {
  if (IsRequestId(id)) {
    const RequestIds::Entry* entry = requests_ == nullptr ? nullptr : requests_->Find(id);
    if (entry == nullptr) return std::nullopt;
    return Describe(*entry);
  }
  const Producer* known = producers_ == nullptr ? nullptr : producers_->Find(id);
  if (known == nullptr || known->count == 0) return std::nullopt;
  return Describe(known->last());
}

void ProducerState::Note(const BatchHeader& header, Timestamp now) {
  if (!header.has_producer()) return;
  if (IsRequestId(header.producer_id)) {
    requests().Add({.id = header.producer_id,
                    .base_offset = header.base_offset,
                    .noted = now,
                    .content = header.base_sequence,
                    .last_offset_delta = header.last_offset_delta});
    while (requests_->size() > options_.request_ids_max) {
      requests_->DropOldest();
      NoteEviction();
    }
    for (int i = 0; i < kExpiredPerNote; ++i) {
      if (!IsOld(requests_->oldest().noted, now, options_.request_window_ms)) break;
      requests_->DropOldest();
    }
    Charge();
    for (; IsOverBudget() && requests_->size() > 1; Charge()) {
      requests_->DropOldest();
      NoteEviction();
    }
    return;
  }
  Producer& producer = producers().Touch(header.producer_id);
  producer.noted = now;
  if (producer.epoch != header.producer_epoch) {
    producer.epoch = header.producer_epoch;
    producer.count = 0;
  }
  // Markers, and what coordinators write, have an epoch but no sequence.
  if (!header.is_control() && header.base_sequence.value >= 0) {
    producer.Push({.first = header.base_sequence,
                   .last_offset_delta = header.last_offset_delta,
                   .base_offset = header.base_offset,
                   .max_timestamp = header.max_timestamp});
  }
  while (producers_->size() > options_.ids_max) {
    producers_->DropOldest();
    NoteEviction();
  }
  Charge();
  for (; IsOverBudget() && producers_->size() > 1; Charge()) {
    producers_->DropOldest();
    NoteEviction();
  }
}

void ProducerState::NoteEviction() {
  if (options_.budget != nullptr) options_.budget->evicted_.fetch_add(1, std::memory_order_relaxed);
}

bool ProducerState::IsOverBudget() const {
  return options_.budget != nullptr && options_.budget->is_over();
}

void ProducerState::Charge() {
  if (options_.budget == nullptr) return;
  const size_t bytes = (producers_ == nullptr ? 0 : producers_->size() * kProducerMemory) +
                       (requests_ == nullptr ? 0 : requests_->size() * kRequestMemory);
  options_.budget->used_bytes_.fetch_add(bytes - charged_bytes_, std::memory_order_relaxed);
  charged_bytes_ = bytes;
}

void ProducerState::Expire(Timestamp now) {
  while (producers_ != nullptr) {
    if (!producers_->empty()) {
      // The wall clock went back: counts from now, or the id would stay for as long as that was.
      Timestamp& noted = producers_->oldest().noted;
      noted = std::min(noted, now);
      if (!IsOld(noted, now, options_.expiration_ms)) break;
      producers_->DropOldest();
    }
    if (producers_->empty()) producers_.reset();
  }
  while (requests_ != nullptr) {
    if (!requests_->empty()) {
      if (!IsOld(requests_->oldest().noted, now, options_.request_window_ms)) break;
      requests_->DropOldest();
    }
    if (requests_->empty()) requests_.reset();
  }
  Charge();
}

void ProducerState::Clear() {
  producers_.reset();
  requests_.reset();
  Charge();
}

size_t ProducerState::id_count() const {
  return (producers_ == nullptr ? 0 : producers_->size()) +
         (requests_ == nullptr ? 0 : requests_->size());
}

size_t ProducerState::memory_bytes() const {
  return sizeof(*this) + (producers_ == nullptr ? 0 : producers_->memory_bytes()) +
         (requests_ == nullptr ? 0 : requests_->memory_bytes());
}

std::vector<Offset> ProducerState::RememberedEnds() const {
  std::vector<Offset> ends;
  ends.reserve(id_count());
  if (producers_ != nullptr) {
    for (const Producer& producer : producers_->entries()) {
      for (size_t i = 0; i < producer.count; ++i)
        ends.push_back(Describe(producer.batches[i]).last_offset);
    }
  }
  if (requests_ != nullptr) {
    for (const RequestIds::Entry& entry : requests_->entries()) {
      if (entry.id != kNoProducerId) ends.push_back(Describe(entry).last_offset);
    }
  }
  return ends;
}

std::string ProducerState::Encode(Offset end) const {
  std::string out;
  std::string requests;
  uint32_t request_count = 0;
  if (requests_ != nullptr) {
    for (const RequestIds::Entry& entry : requests_->entries()) {
      if (entry.id == kNoProducerId) continue;
      ++request_count;
      PutBigEndian(&requests, entry.id.value);
      PutBigEndian(&requests, entry.base_offset.value);
      PutBigEndian(&requests, entry.noted.value);
      PutBigEndian(&requests, entry.content.value);
      PutBigEndian(&requests, entry.last_offset_delta);
    }
  }
  PutBigEndian(&out, kMagic);
  PutBigEndian(&out, end.value);
  PutBigEndian(&out, static_cast<uint32_t>(producers_ == nullptr ? 0 : producers_->size()));
  PutBigEndian(&out, request_count);
  if (producers_ != nullptr) {
    for (const Producer& producer : producers_->entries()) {
      PutBigEndian(&out, producer.id.value);
      PutBigEndian(&out, producer.epoch.value);
      PutBigEndian(&out, producer.noted.value);
      PutBigEndian(&out, producer.count);
      for (size_t i = 0; i < producer.count; ++i) {
        const KeptBatch& batch = producer.batches[i];
        PutBigEndian(&out, batch.first.value);
        PutBigEndian(&out, batch.last_offset_delta);
        PutBigEndian(&out, batch.base_offset.value);
        PutBigEndian(&out, batch.max_timestamp.value);
      }
    }
  }
  out += requests;
  PutBigEndian(&out, Crc32c(0, {reinterpret_cast<const uint8_t*>(out.data()), out.size()}));
  return out;
}

Result<Offset> ProducerState::Decode(std::string_view snapshot) {
  Clear();
  if (snapshot.size() < kHeadBytes + kCrcBytes) {
    return Error(Reason::kStorageError, "producer snapshot is too short");
  }
  const std::string_view body = snapshot.substr(0, snapshot.size() - kCrcBytes);
  std::string_view crc_bytes = snapshot.substr(body.size());
  const auto crc = TakeBigEndian<uint32_t>(&crc_bytes);
  if (crc != Crc32c(0, {reinterpret_cast<const uint8_t*>(body.data()), body.size()})) {
    return Error(Reason::kStorageError, "producer snapshot has a wrong checksum");
  }
  auto end = DecodeEntries(body);
  if (!end.ok()) Clear();
  return end;
}

namespace {

// One field off the front, or `*ok` becomes false.
template <typename T>
T Take(std::string_view* rest, bool* ok) {
  const auto value = TakeBigEndian<T>(rest);
  if (!value.has_value()) *ok = false;
  return value.value_or(T{});
}

// Reads what Encode() wrote of one producer into `*producer`, except its id.
bool TakeProducer(std::string_view* rest, Producer* producer) {
  bool ok = true;
  producer->epoch.value = Take<int16_t>(rest, &ok);
  producer->noted.value = Take<int64_t>(rest, &ok);
  const auto count = Take<uint8_t>(rest, &ok);
  if (!ok || count > producer->batches.size()) return false;
  for (; producer->count < count; ++producer->count) {
    KeptBatch& batch = producer->batches[producer->count];
    batch.first.value = Take<int32_t>(rest, &ok);
    batch.last_offset_delta = Take<int32_t>(rest, &ok);
    batch.base_offset.value = Take<int64_t>(rest, &ok);
    batch.max_timestamp.value = Take<int64_t>(rest, &ok);
    if (!ok || batch.first.value < 0 || batch.last_offset_delta < 0) return false;
  }
  return true;
}

bool TakeRequest(std::string_view* rest, RequestIds::Entry* entry) {
  bool ok = true;
  entry->id.value = Take<int64_t>(rest, &ok);
  entry->base_offset.value = Take<int64_t>(rest, &ok);
  entry->noted.value = Take<int64_t>(rest, &ok);
  entry->content.value = Take<int32_t>(rest, &ok);
  entry->last_offset_delta = Take<int32_t>(rest, &ok);
  return ok && IsRequestId(entry->id) && entry->last_offset_delta >= 0;
}

}  // namespace

Result<Offset> ProducerState::DecodeEntries(std::string_view body) {
  const Error malformed(Reason::kStorageError, "producer snapshot is malformed");
  bool ok = true;
  std::string_view rest = body;
  const auto magic = Take<uint32_t>(&rest, &ok);
  const Offset end{Take<int64_t>(&rest, &ok)};
  const auto producer_count = Take<uint32_t>(&rest, &ok);
  const auto request_count = Take<uint32_t>(&rest, &ok);
  if (!ok || magic != kMagic) {
    return Error(Reason::kStorageError, "not a producer snapshot of this version");
  }
  if (producer_count > rest.size() / kProducerBytesMin ||
      request_count > rest.size() / kRequestBytes) {
    return malformed;
  }
  for (uint32_t i = 0; i < producer_count; ++i) {
    const ProducerId id{Take<int64_t>(&rest, &ok)};
    if (!ok || id.value < 0 || IsRequestId(id)) return malformed;
    if (producers_ != nullptr && producers_->Find(id) != nullptr) return malformed;
    if (!TakeProducer(&rest, &producers().Touch(id))) return malformed;
  }
  for (uint32_t i = 0; i < request_count; ++i) {
    RequestIds::Entry entry;
    if (!TakeRequest(&rest, &entry)) return malformed;
    requests().Add(entry);
  }
  if (!rest.empty()) return malformed;
  // The bounds may have become narrower since.
  while (producers_ != nullptr && producers_->size() > options_.ids_max) producers_->DropOldest();
  while (requests_ != nullptr && requests_->size() > options_.request_ids_max) {
    requests_->DropOldest();
  }
  Charge();
  return end;
}

}  // namespace gregor
