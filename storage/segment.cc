#include "storage/segment.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/check.h"
#include "base/crc32c.h"

namespace gregor {
namespace {

constexpr size_t kDigits = 20;

// The whole of `text` as a number that ToString() would print the same way.
template <typename T>
std::optional<T> ParseDigits(std::string_view text) {
  T number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

std::string SegmentName::ToString() const {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%020lld", static_cast<long long>(base.value));
  if (generation == 0) return digits;
  return digits + ("-" + std::to_string(generation));
}

std::string SegmentName::FileName(std::string_view suffix) const {
  return ToString().append(".").append(suffix);
}

std::optional<SegmentName> SegmentName::Parse(std::string_view file_name, std::string_view suffix) {
  if (file_name.size() <= kDigits + suffix.size() || !file_name.ends_with(suffix))
    return std::nullopt;
  file_name.remove_suffix(suffix.size());
  if (file_name.back() != '.') return std::nullopt;
  file_name.remove_suffix(1);
  const auto base = ParseDigits<int64_t>(file_name.substr(0, kDigits));
  if (!base.has_value() || *base < 0) return std::nullopt;
  SegmentName name{Offset{*base}, 0};
  if (file_name.size() > kDigits) {
    const auto generation = ParseDigits<uint32_t>(file_name.substr(kDigits + 1));
    if (!generation.has_value()) return std::nullopt;
    name.generation = *generation;
  }
  if (name.ToString() != file_name) return std::nullopt;
  return name;
}

void Segment::Note(const BatchHeader& header, Offset next_offset, int64_t index_interval_bytes) {
  index->Note(header, size, index_interval_bytes);
  if (size == 0) first_timestamp = header.max_timestamp;
  max_timestamp = std::max(max_timestamp, header.max_timestamp);
  has_gaps =
      has_gaps || header.base_offset != next_offset || (size == 0 && header.base_offset != base());
  chain = ChainCrc(chain, header);
  size += header.size();
}

uint32_t ChainCrc(uint32_t chain, const BatchHeader& header) {
  // As they lie in the batch's header: base offset, length, leader epoch, magic, checksum.
  uint8_t bytes[kBatchHeaderBytes];
  header.Encode(bytes);
  return Crc32c(chain, {bytes, kBatchCrcStart});
}

}  // namespace gregor
