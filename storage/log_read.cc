// LogImpl: reading.
#include <algorithm>
#include <utility>

#include "base/crc32c.h"
#include "storage/file_cache.h"
#include "storage/log_files.h"
#include "storage/log_impl.h"

namespace gregor {
namespace {

// Bytes that are not set to zero before they are read into.
struct Buffer {
  explicit Buffer(size_t size) : bytes(new uint8_t[size]), size(size) {}
  std::span<uint8_t> span() { return {bytes.get(), size}; }
  std::shared_ptr<uint8_t[]> bytes;
  size_t size;
};

Slice AsSlice(const Buffer& buffer, size_t size) {
  return Slice(buffer.bytes, buffer.bytes.get(), size);
}

Error OutOfRange(Offset from, const LogEnds& ends) {
  return Error(Reason::kOffsetOutOfRange, "offset " + std::to_string(from.value) +
                                              " is outside of the log, which has [" +
                                              std::to_string(ends.log_start.value) + ", " +
                                              std::to_string(ends.log_end.value) + ")")
      .With("log_start_offset", std::to_string(ends.log_start.value))
      .With("log_end_offset", std::to_string(ends.log_end.value));
}

Error TooSmall(size_t needed, size_t allowed) {
  return Error(Reason::kFetchTooSmall, "the next batch has " + std::to_string(needed) + " bytes, " +
                                           std::to_string(allowed) + " are allowed")
      .With("needed_bytes", std::to_string(needed));
}

// A little of a large buffer does not keep all of it.
LogRead Compact(LogRead read, size_t buffer_bytes) {
  read.memory_bytes = buffer_bytes;
  if (read.batches.size() >= buffer_bytes / 2) return read;
  const Slice copy = Slice::Copy(read.batches.Flatten().view());
  read.batches = copy;
  read.memory_bytes = copy.size();
  return read;
}

bool IsSound(const BatchHeader& header, const Slice& bytes) {
  return Crc32c(0, bytes.span().subspan(kBatchCrcStart, header.size() - kBatchCrcStart)) ==
         header.crc;
}

}  // namespace

// Behind it the file may have room that was never written.
uint64_t LogImpl::WrittenSize(const Segment& segment) const {
  if (segment.base() < written_mark_.segment_base) return segment.size;
  return segment.base() == written_mark_.segment_base ? written_mark_.position : 0;
}

// REQUIRES: `segment` is one of segments_.
LogImpl::ReadPlace LogImpl::PlaceAt(const Segment& segment) const {
  const bool is_last = segment.base() >= written_mark_.segment_base;
  return {.segment = segment.name,
          .index = segment.index,
          .cuts = cuts_,
          .end = WrittenSize(segment),
          .end_offset = is_last ? ends_.written_end : (&segment)[1].base(),
          .next_offset = segment.base(),
          .has_gaps = segment.has_gaps};
}

std::optional<LogImpl::ReadPlace> LogImpl::PlaceOf(Offset from) const {
  for (const Hint& hint : hints_) {
    if (hint.offset != from) continue;
    const Segment* const segment = FindSegment(hint.segment);
    if (segment == nullptr || hint.position >= WrittenSize(*segment)) continue;
    ReadPlace place = PlaceAt(*segment);
    place.position = hint.position;
    place.next_offset = from;
    place.is_exact = true;
    return place;
  }
  const Segment& segment = SegmentOf(from);
  ReadPlace place = PlaceAt(segment);
  if (from <= segment.base()) {
    place.is_exact = true;
    return place;
  }
  if (segment.index == nullptr) return std::nullopt;
  if (const auto entry = segment.index->Floor(from); entry.has_value()) {
    place.position = entry->position;
    place.next_offset = entry->base;
    place.is_exact = entry->base == from;
  }
  return place;
}

// The segment that `from` lies in, or the first one. REQUIRES: there is one.
const Segment& LogImpl::SegmentOf(Offset from) const {
  const auto after = std::upper_bound(
      segments_.begin(), segments_.end(), from,
      [](Offset offset, const Segment& segment) { return offset < segment.base(); });
  return after == segments_.begin() ? *after : *std::prev(after);
}

void LogImpl::Read(const ReadSpec& spec, UniqueFunction<void(Result<LogRead>)> done) {
  if (spec.from < ends_.log_start || spec.from > ends_.log_end)
    return done(OutOfRange(spec.from, ends_));
  const Offset limit = std::min(spec.limit, ends_.written_end);
  if (spec.from >= limit || segments_.empty()) {
    LogRead nothing;
    nothing.base_offset = nothing.next_offset = spec.from;
    return done(std::move(nothing));
  }
  ReadSpec bounded = spec;
  bounded.limit = limit;
  const auto place = PlaceOf(spec.from);
  if (!place.has_value()) return LoadIndexThenRead(bounded, std::move(done));
  const size_t bytes =
      std::max(spec.bytes_max, kBatchHeaderBytes) + (place->is_exact ? 0 : kReadSlackBytes);
  BeginRead(bounded, *place, bytes, std::move(done));
}

// An older segment, whose index is not in memory.
void LogImpl::LoadIndexThenRead(const ReadSpec& spec, UniqueFunction<void(Result<LogRead>)> done) {
  SubmitRead(
      Lane::kRead, "log.load_index",
      [&directory = directory_, id = options_.id, segment = SegmentOf(spec.from),
       max = options_.recovery_batch_bytes_max, interval = options_.config.index_interval_bytes] {
        return LoadIndex(directory, id, segment, max, interval);
      },
      [this, alive = alive_, name = SegmentOf(spec.from).name, cuts = cuts_, spec,
       done = std::move(done)](Result<std::shared_ptr<SegmentIndex>> index) mutable {
        if (!*alive) return done(Error(Reason::kServerDraining, "the log was closed"));
        const bool is_there = FindSegment(name) != nullptr && cuts == cuts_;
        if (!index.ok() && is_there) {
          NoteDamage(index.error());
          return done(std::move(index).error());
        }
        // One at a time is kept, so that readers of old data do not fill the memory.
        for (size_t i = 0; is_there && segments_[i].base() < written_mark_.segment_base; ++i)
          segments_[i].index = segments_[i].name == name ? *index : nullptr;
        Read(spec, std::move(done));
      });
}

// `bytes` has the bytes of `out`. What a bad place of the disk leaves is read page by page.
Result<LogImpl::ReadBytes> LogImpl::ReadFile(LogDirectory& directory, const std::string& path,
                                             uint64_t position, std::span<uint8_t> out,
                                             Slice bytes) {
  constexpr uint64_t kPageBytes = 4096;
  ASSIGN_OR_RETURN(const FilePtr file, directory.file_cache().Get(path, false));
  const auto all = file->Read(position, out);
  size_t got = all.ok() ? *all : 0;
  std::optional<Error> failure;
  while (!all.ok() && got < out.size()) {
    const uint64_t left_of_page = kPageBytes - (position + got) % kPageBytes;
    const size_t size = std::min<size_t>(left_of_page, out.size() - got);
    const auto page = file->Read(position + got, out.subspan(got, size));
    if (!page.ok()) failure = page.error();
    if (page.ok()) got += *page;
    if (!page.ok() || *page < size) break;
  }
  if (got < out.size() && !failure.has_value()) {
    failure = Error(Reason::kStorageError,
                    "the file ends at " + std::to_string(position + got) + " already");
  }
  return ReadBytes{bytes.Sub(0, got), out.size(), std::move(failure)};
}

// At once where the page cache has the bytes.
void LogImpl::BeginRead(const ReadSpec& spec, ReadPlace place, size_t bytes,
                        UniqueFunction<void(Result<LogRead>)> done) {
  const auto size = static_cast<size_t>(std::min<uint64_t>(bytes, place.end - place.position));
  const FilePtr file =
      directory_.file_cache().Find(SegmentPath(directory_, options_.id, place.segment));
  if (file == nullptr) return ReadFrom(spec, std::move(place), bytes, std::move(done));
  Buffer buffer(size);
  if (file->ReadCached(place.position, buffer.span()) == static_cast<int64_t>(size))
    return OnBytes(spec, std::move(place), {AsSlice(buffer, size), size}, std::move(done));
  ReadFrom(spec, std::move(place), bytes, std::move(done));
}

void LogImpl::ReadFrom(const ReadSpec& spec, ReadPlace place, size_t bytes,
                       UniqueFunction<void(Result<LogRead>)> done) {
  const auto size = static_cast<size_t>(std::min<uint64_t>(bytes, place.end - place.position));
  SubmitRead(
      Lane::kRead, "log.read",
      [&directory = directory_, path = SegmentPath(directory_, options_.id, place.segment),
       position = place.position, size] {
        Buffer buffer(size);
        return ReadFile(directory, path, position, buffer.span(), AsSlice(buffer, size));
      },
      [this, alive = alive_, spec, place, done = std::move(done)](Result<ReadBytes> got) mutable {
        if (!*alive) return done(Error(Reason::kServerDraining, "the log was closed"));
        // Cut meanwhile, or deleted (of what lies there nothing is known any more), or compacted
        // before it was opened: what is there now has the answer.
        const bool is_gone = !got.ok() && FindSegment(place.segment) == nullptr;
        if (place.cuts != cuts_ || is_gone || spec.from < ends_.log_start)
          return Read(spec, std::move(done));
        if (got.ok()) return OnBytes(spec, std::move(place), *std::move(got), std::move(done));
        NoteDamage(got.error());
        done(std::move(got).error());
      });
}

void LogImpl::OnBytes(const ReadSpec& spec, ReadPlace place, ReadBytes got,
                      UniqueFunction<void(Result<LogRead>)> done) {
  auto parsed = Parse(spec, place, got.bytes);
  if (parsed.ok() && parsed->read.has_value())
    return done(Compact(*std::move(parsed->read), got.buffer_bytes));
  if (FindSegment(place.segment) == nullptr) return Read(spec, std::move(done));
  if (parsed.ok() && parsed->wanted_bytes > 0 && got.failure.has_value()) {
    // The batch there cannot be read whole.
    parsed->wants_index = place.index == nullptr;
    const auto passed = parsed->wants_index
                            ? Result<size_t>(0)
                            : PassDamage(spec.from, DamagedAt(place, got.failure->message),
                                         got.bytes.Sub(0, 0), place);
    if (!passed.ok()) parsed = passed.error();
  }
  if (!parsed.ok()) {
    NoteDamage(parsed.error());
    return done(std::move(parsed).error());
  }
  if (parsed->wants_index) return LoadIndexThenRead(spec, std::move(done));
  got = {};  // what follows takes memory of its own
  if (parsed->wanted_bytes == 0 || place.position >= place.end)
    return ReadNextSegment(spec, place, std::move(done));
  ReadFrom(spec, std::move(place), parsed->wanted_bytes, std::move(done));
}

// Nothing at or after the offset in the segment of `place`: the next one has it.
void LogImpl::ReadNextSegment(const ReadSpec& spec, const ReadPlace& place,
                              UniqueFunction<void(Result<LogRead>)> done) {
  const auto next =
      std::upper_bound(segments_.begin(), segments_.end(), place.segment.base,
                       [](Offset base, const Segment& segment) { return base < segment.base(); });
  if (next == segments_.end() || WrittenSize(*next) == 0) {
    LogRead nothing;
    nothing.base_offset = nothing.next_offset = spec.from;
    return done(std::move(nothing));
  }
  ReadSpec rest = spec;
  rest.from = std::max(spec.from, next->base());
  ReadFrom(rest, PlaceAt(*next), std::max(spec.bytes_max, kBatchHeaderBytes), std::move(done));
}

// The header at the front of `bytes`, which begin at `place`; nullopt where more bytes are needed
// to see it. Checks what no checksum covers: base offset and epoch must be those of this place.
Result<std::optional<BatchHeader>> LogImpl::HeaderAt(const ReadPlace& place,
                                                     const Slice& bytes) const {
  const uint64_t in_file = place.end - place.position;
  if (bytes.size() < kBatchHeaderBytes && bytes.size() < in_file)
    return std::optional<BatchHeader>();
  const auto header = PeekHeader(bytes, options_.recovery_batch_bytes_max);
  if (!header.ok()) return DamagedAt(place, header.error().message);
  const bool continues = place.has_gaps ? header->base_offset >= place.next_offset
                                        : header->base_offset == place.next_offset;
  if (!continues || header->base_offset > kBaseOffsetMax || header->last_offset_delta < 0) {
    return DamagedAt(place, "a batch has the offset " + std::to_string(header->base_offset.value) +
                                " where " + std::to_string(place.next_offset.value) + " follows");
  }
  if (header->size() > place.bound_position - place.position ||
      header->next_offset() > place.bound_offset)
    return DamagedAt(place, "a batch does not end where another one begins");
  // The log may begin inside of a batch; nothing is known of what lies before.
  const auto epoch = epochs_.EpochAt(std::max(header->base_offset, ends_.log_start));
  if (epoch.has_value() && header->next_offset() > ends_.log_start &&
      *epoch != header->leader_epoch) {
    return DamagedAt(place, "a batch has the leader epoch " +
                                std::to_string(header->leader_epoch.value) + " instead of " +
                                std::to_string(epoch->value));
  }
  return std::optional(*header);
}

// The wanted batches at the front of `bytes`, which begin at `place`. Without the index of the
// segment no length is believed that asks for more than was to be read, and no damage judged.
Result<LogImpl::Parsed> LogImpl::Parse(const ReadSpec& spec, ReadPlace& place, const Slice& bytes) {
  LogRead read;
  size_t at = 0, first = 0;
  bool any = false;
  std::optional<size_t> missing;  // size of a batch that is not whole here; 0: not known
  while (at < bytes.size()) {
    const Slice rest = bytes.Sub(at, bytes.size() - at);
    NoteBound(place);
    const auto checked = HeaderAt(place, rest);
    const BatchHeader* const header = checked.ok() && checked->has_value() ? &**checked : nullptr;
    const size_t size = header != nullptr ? header->size() : 0;
    const bool is_whole = header != nullptr && size <= rest.size();
    const bool is_wanted = header == nullptr || header->next_offset() > spec.from;
    if (header != nullptr && header->base_offset >= spec.limit) break;
    if (any && is_wanted && at - first + size > spec.bytes_max) break;
    if (!any && size > spec.bytes_max && place.index == nullptr) return Parsed{.wants_index = true};
    if (!any && is_wanted && size > spec.bytes_max && !spec.first_batch_may_exceed)
      return TooSmall(size, spec.bytes_max);
    if (checked.ok() && !is_whole) {
      missing = size;
      break;
    }
    if (!checked.ok() || !IsSound(*header, rest)) {
      if (any) break;  // what is sound is served; the next read begins at the damage
      if (place.index == nullptr) return Parsed{.wants_index = true};
      if (const size_t more = BytesToJudge(place, rest); more > 0) {
        missing = more;
        break;
      }
      Error error = checked.ok() ? BadChecksum(place, *header) : checked.error();
      ASSIGN_OR_RETURN(const size_t passed, PassDamage(spec.from, std::move(error), rest, place));
      at += passed;
      continue;
    }
    if (is_wanted && !std::exchange(any, true)) {
      first = at;
      read.base_offset = header->base_offset;
    }
    if (is_wanted) read.record_count += header->record_count;
    at += size;
    place.position += size;
    place.next_offset = header->next_offset();
  }
  if (any) {
    read.next_offset = place.next_offset;
    read.batches = bytes.Sub(first, at - first);
    hints_[next_hint_++ % hints_.size()] = {read.next_offset, place.segment, place.position};
    return Parsed{.read = std::move(read)};
  }
  if (at < bytes.size() && !missing.has_value()) {  // at the limit
    read.base_offset = read.next_offset = spec.from;
    return Parsed{.read = std::move(read)};
  }
  // Not here: go on behind what was skipped, if the segment does.
  const size_t wanted = std::max({spec.bytes_max, kReadSlackBytes, missing.value_or(0)});
  const auto in_file = static_cast<size_t>(std::min<uint64_t>(place.end - place.position, wanted));
  return Parsed{.wanted_bytes = in_file};
}

}  // namespace gregor
