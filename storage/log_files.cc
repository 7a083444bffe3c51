#include "storage/log_files.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

#include "base/crc32c.h"
#include "storage/encoding.h"

namespace gregor {
namespace {

constexpr uint32_t kCheckpointMagic = 0x47434b31;  // "GCK1"
constexpr uint32_t kIndexMagic = 0x47495831;       // "GIX1"
constexpr uint64_t kIndexBytesMax = 512u << 20;
constexpr size_t kWindowBytes = 1u << 20;

uint32_t CrcOf(std::string_view text) {
  return Crc32c(0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

// A file's content behind its checksum.
std::string Seal(uint32_t magic, const std::string& body) {
  std::string text;
  PutBigEndian(&text, magic);
  PutBigEndian(&text, CrcOf(body));
  return text + body;
}

std::optional<std::string_view> Unseal(uint32_t magic, std::string_view text) {
  const auto found = TakeBigEndian<uint32_t>(&text);
  const auto crc = TakeBigEndian<uint32_t>(&text);
  if (!crc.has_value() || *found != magic || CrcOf(text) != *crc) return std::nullopt;
  return text;
}

void PutText(std::string* out, const std::string& text) {
  PutBigEndian(out, static_cast<uint32_t>(text.size()));
  *out += text;
}

std::optional<std::string_view> TakeText(std::string_view* rest) {
  const auto size = TakeBigEndian<uint32_t>(rest);
  if (!size.has_value() || *size > rest->size()) return std::nullopt;
  const std::string_view text = rest->substr(0, *size);
  rest->remove_prefix(*size);
  return text;
}

// A window of a file that moves forward.
class Window {
 public:
  Window(File& file, uint64_t end) : file_(file), end_(end) {}

  // The bytes [position, position + size), fewer at the end. Valid until the next call.
  Result<std::span<const uint8_t>> At(uint64_t position, size_t size) {
    size = static_cast<size_t>(std::min<uint64_t>(size, end_ - std::min(end_, position)));
    if (position < begin_ || position + size > begin_ + used_)
      RETURN_IF_ERROR(Fill(position, size));
    const auto skip = static_cast<size_t>(position - begin_);
    return std::span<const uint8_t>(bytes_.data() + skip,
                                    std::min(size, used_ - std::min(used_, skip)));
  }

 private:
  Result<void> Fill(uint64_t position, size_t size) {
    const auto wanted =
        static_cast<size_t>(std::min<uint64_t>(std::max(size, kWindowBytes), end_ - position));
    bytes_.resize(std::max(bytes_.size(), wanted));
    ASSIGN_OR_RETURN(used_, file_.Read(position, {bytes_.data(), wanted}));
    begin_ = position;
    return {};
  }

  File& file_;
  const uint64_t end_;
  std::vector<uint8_t> bytes_;
  uint64_t begin_ = 0;
  size_t used_ = 0;
};

}  // namespace

std::string SegmentFileName(Offset base, std::string_view suffix) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%020lld.", static_cast<long long>(base.value));
  return digits + std::string(suffix);
}

std::optional<Offset> ParseSegmentFileName(std::string_view name, std::string_view suffix) {
  constexpr size_t kDigits = 20;
  if (name.size() != kDigits + 1 + suffix.size() || name[kDigits] != '.' || !name.ends_with(suffix))
    return std::nullopt;
  int64_t base = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kDigits, base);
  if (error != std::errc() || end != name.data() + kDigits) return std::nullopt;
  return Offset{base};
}

uint32_t ChainCrc(uint32_t chain, const BatchHeader& header) {
  std::string link;
  PutBigEndian(&link, header.base_offset.value);
  PutBigEndian(&link, header.length);
  PutBigEndian(&link, header.leader_epoch.value);
  PutBigEndian(&link, header.crc);
  return Crc32c(chain, {reinterpret_cast<const uint8_t*>(link.data()), link.size()});
}

std::string LogCheckpoint::EncodeWith(const ProducerState& of_log) const {
  std::string body;
  PutBigEndian(&body, end.value);
  PutBigEndian(&body, active.base.value);
  PutBigEndian(&body, active.size);
  PutBigEndian(&body, active.chain);
  active.index->Encode(&body);
  PutText(&body, epochs.Encode());
  PutText(&body, of_log.Encode(end));
  return Seal(kCheckpointMagic, body);
}

Result<LogCheckpoint> LogCheckpoint::Decode(std::string_view text,
                                            const ProducerState::Options& options) {
  const Error damaged(Reason::kStorageError, "the checkpoint is damaged");
  const auto body = Unseal(kCheckpointMagic, text);
  if (!body.has_value()) return damaged;
  std::string_view rest = *body;
  LogCheckpoint checkpoint;
  const auto end = TakeBigEndian<int64_t>(&rest);
  const auto base = TakeBigEndian<int64_t>(&rest);
  const auto size = TakeBigEndian<uint64_t>(&rest);
  const auto chain = TakeBigEndian<uint32_t>(&rest);
  if (!chain.has_value()) return damaged;
  auto index = SegmentIndex::Take(&rest);
  const auto epochs = index.has_value() ? TakeText(&rest) : std::nullopt;
  const auto producers = epochs.has_value() ? TakeText(&rest) : std::nullopt;
  if (!producers.has_value() || *base < 0 || *end < *base) return damaged;
  checkpoint.end = Offset{*end};
  checkpoint.active = {Offset{*base}, *size, *chain,
                       std::make_shared<SegmentIndex>(std::move(*index)), Timestamp{-1}};
  ASSIGN_OR_RETURN(checkpoint.epochs, EpochCache::Decode(*epochs));
  checkpoint.producers = ProducerState(options);
  RETURN_IF_ERROR(checkpoint.producers.Decode(*producers));
  return checkpoint;
}

Result<void> WriteIndexFile(FileSystem& files, const std::string& folder, const Segment& segment) {
  std::string body;
  PutBigEndian(&body, segment.base.value);
  PutBigEndian(&body, segment.size);
  segment.index->Encode(&body);
  ASSIGN_OR_RETURN(
      const FilePtr file,
      files.Open(JoinPath(folder, SegmentFileName(segment.base, "index")), OpenMode::kCreate));
  // Not synced: a torn one is noticed, and built again.
  RETURN_IF_ERROR(file->Truncate(0));
  return file->Write(0, Slice::Own(Seal(kIndexMagic, body)));
}

std::optional<SegmentIndex> ReadIndexFile(FileSystem& files, const std::string& folder,
                                          const Segment& segment) {
  const auto text = ReadWholeFile(files, JoinPath(folder, SegmentFileName(segment.base, "index")),
                                  kIndexBytesMax);
  if (!text.ok()) return std::nullopt;
  auto rest = Unseal(kIndexMagic, *text);
  if (!rest.has_value()) return std::nullopt;
  const auto base = TakeBigEndian<int64_t>(&*rest);
  const auto size = TakeBigEndian<uint64_t>(&*rest);
  if (!size.has_value() || Offset{*base} != segment.base || *size != segment.size)
    return std::nullopt;
  return SegmentIndex::Take(&*rest);
}

Result<SegmentWalk> WalkSegment(File& file, uint64_t position, uint64_t end, Offset next_offset,
                                LeaderEpoch epoch, size_t batch_bytes_max,
                                const std::function<bool(const BatchHeader&, uint64_t)>& visit) {
  Window window(file, end);
  SegmentWalk walk{position, false, {}};
  while (walk.position < end) {
    ASSIGN_OR_RETURN(const auto front, window.At(walk.position, kBatchHeaderBytes));
    const auto header = PeekHeader(Slice(nullptr, front.data(), front.size()), batch_bytes_max);
    if (!header.ok()) {
      walk.what = header.error().message;
      return walk;
    }
    if (header->size() > end - walk.position) {
      walk.what = "a batch is cut off";
      return walk;
    }
    if (header->base_offset < next_offset || header->last_offset_delta < 0 ||
        header->leader_epoch < epoch) {
      walk.what = "a batch that does not continue the log (offset " +
                  std::to_string(header->base_offset.value) + " after " +
                  std::to_string(next_offset.value) + ", epoch " +
                  std::to_string(header->leader_epoch.value) + ")";
      return walk;
    }
    ASSIGN_OR_RETURN(const auto whole, window.At(walk.position, header->size()));
    if (whole.size() != header->size() || Crc32c(0, whole.subspan(kBatchCrcStart)) != header->crc) {
      walk.what = "a batch whose checksum is wrong";
      return walk;
    }
    next_offset = header->next_offset();
    epoch = header->leader_epoch;
    const bool go_on = visit(*header, walk.position);
    walk.position += header->size();
    if (!go_on) break;
  }
  walk.at_end = true;
  return walk;
}

}  // namespace gregor
