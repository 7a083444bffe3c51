#include "storage/epoch_cache.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/check.h"
#include "base/crc32c.h"

namespace gregor {
namespace {

constexpr std::string_view kTitle = "gregor-epochs 1";
constexpr std::string_view kChecksumWord = "crc32c ";

std::string Checksum(std::string_view text) {
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  char out[9];
  std::snprintf(out, sizeof out, "%08x", Crc32c(0, bytes));
  return out;
}

Error Damaged(const std::string& what) {
  return Error(Reason::kStorageError, "epoch checkpoint is damaged: " + what);
}

// Takes a line off the front of `*rest`, without its newline; nullopt where none is complete.
std::optional<std::string_view> TakeLine(std::string_view* rest) {
  const size_t end = rest->find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end + 1);
  return line;
}

template <typename T>
bool ParseNumber(std::string_view text, T* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<EpochCache::Entry> ParseEntry(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  EpochCache::Entry entry;
  if (!ParseNumber(line.substr(0, space), &entry.epoch.value)) return std::nullopt;
  if (!ParseNumber(line.substr(space + 1), &entry.start.value)) return std::nullopt;
  if (entry.epoch.value < 0 || entry.start.value < 0) return std::nullopt;
  return entry;
}

}  // namespace

void EpochCache::Assign(LeaderEpoch epoch, Offset start) {
  CHECK_GE(epoch.value, 0);
  CHECK_GE(start.value, 0);
  if (!entries_.empty() && entries_.back().epoch == epoch) return;
  while (!entries_.empty() && (entries_.back().epoch >= epoch || entries_.back().start >= start)) {
    entries_.pop_back();
  }
  // What went away may have hidden `epoch` itself: its first start counts.
  if (!entries_.empty() && entries_.back().epoch == epoch) return;
  entries_.push_back({epoch, start});
}

void EpochCache::TruncateFromEnd(Offset end) {
  while (!entries_.empty() && entries_.back().start >= end) entries_.pop_back();
}

void EpochCache::TruncateFromStart(Offset start) {
  size_t below = 0;  // entries that are followed by one that begins at or below `start`
  while (below + 1 < entries_.size() && entries_[below + 1].start <= start) ++below;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<ptrdiff_t>(below));
  if (!entries_.empty() && entries_.front().start < start) entries_.front().start = start;
}

std::optional<EpochCache::Entry> EpochCache::last() const {
  if (entries_.empty()) return std::nullopt;
  return entries_.back();
}

std::optional<LeaderEpoch> EpochCache::EpochAt(Offset offset) const {
  const auto after =
      std::upper_bound(entries_.begin(), entries_.end(), offset,
                       [](Offset at, const Entry& entry) { return at < entry.start; });
  if (after == entries_.begin()) return std::nullopt;
  return std::prev(after)->epoch;
}

std::optional<EpochCache::Entry> EpochCache::EndOf(LeaderEpoch asked, Offset log_end) const {
  const auto after =
      std::upper_bound(entries_.begin(), entries_.end(), asked,
                       [](LeaderEpoch epoch, const Entry& entry) { return epoch < entry.epoch; });
  if (after == entries_.begin()) return std::nullopt;
  return Entry{std::prev(after)->epoch, after == entries_.end() ? log_end : after->start};
}

std::string EpochCache::Encode() const {
  std::string text = std::string(kTitle) + "\n" + std::to_string(entries_.size()) + "\n";
  for (const Entry& entry : entries_) {
    text += std::to_string(entry.epoch.value) + " " + std::to_string(entry.start.value) + "\n";
  }
  return text + std::string(kChecksumWord) + Checksum(text) + "\n";
}

Result<EpochCache> EpochCache::Decode(std::string_view text) {
  std::string_view rest = text;
  auto line = TakeLine(&rest);
  if (!line.has_value() || *line != kTitle) {
    return Damaged("it does not begin with \"" + std::string(kTitle) + "\"");
  }
  line = TakeLine(&rest);
  size_t count = 0;
  if (!line.has_value() || !ParseNumber(*line, &count)) return Damaged("it has no count");
  EpochCache cache;
  for (size_t i = 0; i < count; ++i) {
    line = TakeLine(&rest);
    if (!line.has_value()) return Damaged("it ends after " + std::to_string(i) + " entries");
    const auto entry = ParseEntry(*line);
    const Entry* before = cache.entries_.empty() ? nullptr : &cache.entries_.back();
    if (!entry.has_value() ||
        (before != nullptr && (entry->epoch <= before->epoch || entry->start <= before->start))) {
      return Damaged("bad entry \"" + std::string(*line) + "\"");
    }
    cache.entries_.push_back(*entry);
  }
  const std::string_view covered = text.substr(0, text.size() - rest.size());
  if (rest != std::string(kChecksumWord) + Checksum(covered) + "\n") {
    return Damaged("its checksum does not match");
  }
  return cache;
}

}  // namespace gregor
