#include "storage/key_map.h"

#include <algorithm>

#include "base/siphash.h"

namespace gregor {
namespace {

constexpr size_t kSlotsMin = 64;  // whatever the bound, so that each pass gets on

// Tables are at most so full: longer searches, but fewer passes.
constexpr bool IsFull(size_t used, size_t slots) { return used + 1 > slots - slots / 8; }

}  // namespace

KeyMap::KeyMap(size_t bytes_max, size_t keys_expected, const HashKey& first, const HashKey& second)
    : bytes_max_(bytes_max), first_key_(first), second_key_(second) {
  const size_t slots_max = bytes_max / sizeof(Slot);
  const size_t wanted = keys_expected + keys_expected / 2;
  slots_.resize(std::max(kSlotsMin, std::min(wanted, slots_max)));
}

KeyMap::Slot KeyMap::HashOf(std::string_view key) const {
  SipHash first(first_key_), second(second_key_);
  first.Add(key);
  second.Add(key);
  return {first.Finish(), second.Finish(), -1};
}

size_t KeyMap::SlotOf(const Slot& hash) const {
  // The hash as a fraction of the table: any size will do.
  auto slot = static_cast<size_t>(static_cast<unsigned __int128>(hash.first) * slots_.size() >> 64);
  while (slots_[slot].offset >= 0 &&
         (slots_[slot].first != hash.first || slots_[slot].second != hash.second)) {
    if (++slot == slots_.size()) slot = 0;
  }
  return slot;
}

bool KeyMap::Put(std::string_view key, Offset offset) {
  Slot hash = HashOf(key);
  hash.offset = offset.value;
  size_t slot = SlotOf(hash);
  if (slots_[slot].offset < 0) {
    if (IsFull(used_, slots_.size())) {
      if (!MakeRoom()) return false;
      slot = SlotOf(hash);
    }
    ++used_;
  }
  slots_[slot] = hash;
  return true;
}

std::optional<Offset> KeyMap::Find(std::string_view key) const {
  const Slot& slot = slots_[SlotOf(HashOf(key))];
  if (slot.offset < 0) return std::nullopt;
  return Offset{slot.offset};
}

// The old and the new table are there at the same time, and stay within the bound together.
bool KeyMap::MakeRoom() {
  const size_t slots_max = bytes_max_ / sizeof(Slot);
  const size_t left = slots_max - std::min(slots_max, slots_.size());
  const size_t wanted = std::min(2 * slots_.size(), left);
  if (wanted < slots_.size() + slots_.size() / 4) return false;
  std::vector<Slot> old(wanted);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.offset >= 0) slots_[SlotOf(slot)] = slot;
  }
  return true;
}

}  // namespace gregor
