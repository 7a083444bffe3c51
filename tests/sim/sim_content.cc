#include "tests/sim/sim_content.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace gregor {

SimContent::Page& SimContent::Writable(uint64_t page) {
  std::shared_ptr<Page>& slot = pages_[page];
  if (slot == nullptr) {
    slot = std::make_shared<Page>();
  } else if (slot.use_count() > 1) {
    slot = std::make_shared<Page>(*slot);
  }
  return *slot;
}

void SimContent::Write(uint64_t position, std::span<const uint8_t> data) {
  size_ = std::max(size_, position + data.size());
  while (!data.empty()) {
    const uint64_t begin = position % kSimPageBytes;
    const size_t count = std::min<size_t>(data.size(), kSimPageBytes - begin);
    std::memcpy(Writable(position / kSimPageBytes).bytes.data() + begin, data.data(), count);
    position += count;
    data = data.subspan(count);
  }
}

size_t SimContent::Read(uint64_t position, std::span<uint8_t> out) const {
  if (position >= size_) return 0;
  const size_t total = std::min<uint64_t>(out.size(), size_ - position);
  size_t done = 0;
  while (done < total) {
    const uint64_t begin = (position + done) % kSimPageBytes;
    const size_t count = std::min<size_t>(total - done, kSimPageBytes - begin);
    auto found = pages_.find((position + done) / kSimPageBytes);
    if (found == pages_.end()) {
      std::memset(out.data() + done, 0, count);
    } else {
      std::memcpy(out.data() + done, found->second->bytes.data() + begin, count);
    }
    done += count;
  }
  return total;
}

void SimContent::SetSize(uint64_t size) {
  if (size < size_) {
    const uint64_t keep = (size + kSimPageBytes - 1) / kSimPageBytes;
    pages_.erase(pages_.lower_bound(keep), pages_.end());
    const uint64_t last = size / kSimPageBytes;
    if (size % kSimPageBytes != 0 && pages_.contains(last)) {
      Page& page = Writable(last);
      std::fill(page.bytes.begin() + static_cast<ptrdiff_t>(size % kSimPageBytes), page.bytes.end(),
                uint8_t{0});
    }
  }
  size_ = size;
}

void SimContent::CopySector(uint64_t position, const SimContent& from) {
  CHECK_EQ(position % kSimSectorBytes, 0u);
  const uint64_t page = position / kSimPageBytes;
  const uint64_t begin = position % kSimPageBytes;
  auto found = from.pages_.find(page);
  if (found == from.pages_.end() && !pages_.contains(page)) return;
  uint8_t* out = Writable(page).bytes.data() + begin;
  if (found == from.pages_.end()) {
    std::memset(out, 0, kSimSectorBytes);
  } else {
    std::memcpy(out, found->second->bytes.data() + begin, kSimSectorBytes);
  }
}

std::vector<uint64_t> SimContent::UsedPages() const {
  std::vector<uint64_t> used;
  for (const auto& [page, bytes] : pages_) {
    if (page * kSimPageBytes < size_) used.push_back(page);
  }
  return used;
}

// For each change its number is compared with what is drawn here: a sector keeps the changes up to
// and including that number, so it always has the bytes of one moment, as a page cache would write.
struct SimFileState::Kept {
  Random& random;
  SimSurvival survival;
  size_t change_count;
  size_t prefix = 0;
  size_t size_kept = 0;
  uint64_t tear_bytes = 0;
  std::map<uint64_t, size_t> drawn;

  Kept(Random& random, SimSurvival survival, size_t change_count)
      : random(random), survival(survival), change_count(change_count) {
    prefix = random.Below(change_count + 1);
    tear_bytes = random.Chance(0.5) ? kSimSectorBytes : kSimPageBytes;
    switch (survival) {
      case SimSurvival::kNothing:
        size_kept = 0;
        break;
      case SimSurvival::kEverything:
        size_kept = change_count;
        break;
      case SimSurvival::kPrefix:
        size_kept = std::min(change_count, prefix + random.Below(2));
        break;
      default:
        size_kept = random.Chance(0.5) ? Any() : change_count;
        break;
    }
  }

  size_t Any() {
    switch (random.Below(3)) {
      case 0:
        return 0;
      case 1:
        return change_count;
      default:
        return random.Below(change_count + 1);
    }
  }

  size_t Of(uint64_t sector_position) {
    switch (survival) {
      case SimSurvival::kNothing:
        return 0;
      case SimSurvival::kEverything:
        return change_count;
      case SimSurvival::kPrefix:
        return Drawn(sector_position / tear_bytes);
      case SimSurvival::kSectors:
        return Drawn(sector_position / kSimSectorBytes);
      case SimSurvival::kPages:
        return Drawn(sector_position / kSimPageBytes);
    }
    return 0;
  }

  size_t Drawn(uint64_t key) {
    auto [slot, is_new] = drawn.try_emplace(key, 0);
    if (is_new) {
      slot->second = survival == SimSurvival::kPrefix
                         ? std::min(change_count, prefix + random.Below(2))
                         : Any();
    }
    return slot->second;
  }
};

void SimFileState::Apply(const Change& change, SimContent& content) {
  if (change.is_write) {
    content.Write(change.position,
                  {reinterpret_cast<const uint8_t*>(change.data.data()), change.data.size()});
  } else {
    content.SetSize(change.position);
  }
}

void SimFileState::Write(uint64_t position, std::string data) {
  changes_.push_back({.is_write = true, .position = position, .data = std::move(data)});
  Apply(changes_.back(), seen_);
}

void SimFileState::SetSize(uint64_t size) {
  changes_.push_back({.is_write = false, .position = size, .data = {}});
  Apply(changes_.back(), seen_);
}

void SimFileState::Sync() {
  for (const Change& change : changes_) Apply(change, durable_);
  changes_.clear();
}

SimContent SimFileState::AfterPowerLoss(Random& random, SimSurvival survival) const {
  Kept kept(random, survival, changes_.size());
  SimContent now = durable_;   // as it was seen when the change was made
  SimContent left = durable_;  // what will be found
  uint64_t size = durable_.size();
  for (size_t i = 1; i <= changes_.size(); ++i) {
    const Change& change = changes_[i - 1];
    Apply(change, now);
    if (i <= kept.size_kept) size = now.size();
    if (!change.is_write) {
      if (i <= kept.size_kept && change.position < left.size()) left.SetSize(change.position);
      continue;
    }
    const uint64_t end = change.position + change.data.size();
    for (uint64_t at = change.position / kSimSectorBytes * kSimSectorBytes; at < end;
         at += kSimSectorBytes) {
      if (i > kept.Of(at)) continue;
      if (left.size() < at + kSimSectorBytes) left.SetSize(at + kSimSectorBytes);
      left.CopySector(at, now);
    }
  }
  left.SetSize(size);
  return left;
}

void SimFileState::FailSync(Random& random) {
  durable_ = AfterPowerLoss(random, static_cast<SimSurvival>(random.Below(5)));
  durable_.SetSize(seen_.size());
  changes_.clear();
}

void SimFileState::LosePower(Random& random) {
  LosePower(random, static_cast<SimSurvival>(random.Below(5)));
}

void SimFileState::LosePower(Random& random, SimSurvival survival) {
  if (!changes_.empty()) durable_ = AfterPowerLoss(random, survival);
  changes_.clear();
  seen_ = durable_;
}

void SimFileState::FlipBit(uint64_t position, int bit) {
  for (SimContent* content : {&seen_, &durable_}) {
    uint8_t byte = 0;
    if (content->Read(position, {&byte, 1}) == 0) continue;
    byte = static_cast<uint8_t>(byte ^ (1u << bit));
    content->Write(position, {&byte, 1});
  }
}

}  // namespace gregor
