#include "storage/request_ids.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace gregor {
namespace {

constexpr size_t kSlotsMin = 16;

}  // namespace

size_t RequestIds::Home(ProducerId id) const {
  const auto mixed = static_cast<uint64_t>(id.value) * 0x9e3779b97f4a7c15u;
  return (mixed >> 32) & (slots_.size() - 1);
}

size_t RequestIds::SlotOf(ProducerId id) const {
  size_t slot = Home(id);
  while (slots_[slot] != kFree && At(slots_[slot]).id != id)
    slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

const RequestIds::Entry* RequestIds::Find(ProducerId id) const {
  if (slots_.empty()) return nullptr;
  const Number number = slots_[SlotOf(id)];
  return number == kFree ? nullptr : &At(number);
}

void RequestIds::Add(const Entry& entry) {
  CHECK_GE(entry.id.value, 0);
  const bool full = (used_ + 1) * 5 > slots_.size() * 4;
  if (full || first_ + entries_.size() >= kFree) Rebuild();
  const size_t slot = SlotOf(entry.id);
  if (slots_[slot] != kFree) {
    At(slots_[slot]).id = kNoProducerId;
  } else {
    ++used_;
  }
  slots_[slot] = first_ + static_cast<Number>(entries_.size());
  entries_.push_back(entry);
}

void RequestIds::DropOldest() {
  CHECK(!entries_.empty());
  const ProducerId id = entries_.front().id;
  if (id != kNoProducerId) Free(SlotOf(id));
  entries_.pop_front();
  ++first_;
  // Far below what Rebuild() leaves, so that a steady window does not rebuild to and fro.
  if (slots_.size() > kSlotsMin && used_ * 8 < slots_.size()) Rebuild();
}

void RequestIds::Free(size_t slot) {
  CHECK_NE(slots_[slot], kFree);
  --used_;
  // What follows without a gap moves up where its probing would otherwise end at the freed slot.
  const size_t mask = slots_.size() - 1;
  for (size_t next = (slot + 1) & mask; slots_[next] != kFree; next = (next + 1) & mask) {
    const size_t home = Home(At(slots_[next]).id);
    if (((next - home) & mask) < ((next - slot) & mask)) continue;
    slots_[slot] = slots_[next];
    slot = next;
  }
  slots_[slot] = kFree;
}

void RequestIds::Rebuild() {
  CHECK_LT(entries_.size(), size_t{kFree} / 2);
  // 0.3 to 0.6 full.
  const size_t size = std::max(kSlotsMin, std::bit_ceil((used_ + 1) * 5 / 3));
  slots_.assign(size, kFree);
  slots_.shrink_to_fit();
  first_ = 0;
  for (Number number = 0; number < entries_.size(); ++number) {
    const ProducerId id = entries_[number].id;
    if (id != kNoProducerId) slots_[SlotOf(id)] = number;
  }
}

size_t RequestIds::memory_bytes() const {
  return sizeof(*this) + entries_.size() * sizeof(Entry) + slots_.capacity() * sizeof(Number);
}

}  // namespace gregor
