// LogImpl: reading, and searching by time.
#include <algorithm>
#include <utility>

#include "base/crc32c.h"
#include "storage/log_impl.h"

namespace gregor {
namespace {

constexpr size_t kSearchSlack =
    64u << 10;  // what lies between an index entry and the batch that is looked for
constexpr size_t kDecompressedMax = 256u << 20;

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

}  // namespace

Result<std::shared_ptr<SegmentIndex>> LoadIndex(LogDirectory& directory, const TopicIdPartition& id,
                                                const Segment& segment, size_t batch_bytes_max,
                                                int64_t interval_bytes) {
  FileSystem& files = directory.disk().files();
  const std::string folder = directory.PathOf(id);
  if (auto index = ReadIndexFile(files, folder, segment); index.has_value()) {
    return std::make_shared<SegmentIndex>(std::move(*index));
  }
  auto index = std::make_shared<SegmentIndex>();
  const std::string path = JoinPath(folder, SegmentFileName(segment.base, "log"));
  ASSIGN_OR_RETURN(const FilePtr file, directory.file_cache().Get(path, false));
  // Damage ends the walk: what lies before it can be read, and reading what lies behind it says
  // what is wrong.
  const auto walk = WalkSegment(*file, 0, segment.size, segment.base, kNoLeaderEpoch,
                                batch_bytes_max, [&](const BatchHeader& header, uint64_t position) {
                                  index->Note(header, position, interval_bytes);
                                  return true;
                                });
  RETURN_IF_ERROR(walk);
  if (walk->at_end) {
    Segment complete = segment;
    complete.index = index;
    const auto written = WriteIndexFile(files, folder, complete);
    LOG_IF(WARNING, !written.ok()) << "An index is not kept: " << written.error();
  }
  return index;
}

// Behind it the file may have room that was never written.
uint64_t LogImpl::WrittenSize(const Segment& segment) const {
  if (segment.base < written_mark_.segment_base) return segment.size;
  return segment.base == written_mark_.segment_base ? written_mark_.position : 0;
}

std::optional<LogImpl::ReadPlace> LogImpl::PlaceOf(Offset from) const {
  for (const Hint& hint : hints_) {
    if (hint.offset != from) continue;
    for (const Segment& segment : segments_) {
      if (segment.base == hint.segment && hint.position < WrittenSize(segment)) {
        return ReadPlace{segment.base, hint.position, WrittenSize(segment), true};
      }
    }
  }
  auto after =
      std::upper_bound(segments_.begin(), segments_.end(), from,
                       [](Offset offset, const Segment& segment) { return offset < segment.base; });
  if (after == segments_.begin()) {
    return ReadPlace{segments_.front().base, 0, WrittenSize(segments_.front()), true};
  }
  const Segment& segment = *std::prev(after);
  if (segment.index == nullptr) return std::nullopt;
  const auto entry = segment.index->Floor(from);
  return ReadPlace{segment.base, entry.has_value() ? entry->position : 0, WrittenSize(segment),
                   entry.has_value() && entry->base == from};
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
  if (const auto place = PlaceOf(spec.from); place.has_value()) {
    const size_t bytes =
        std::max(spec.bytes_max, kBatchHeaderBytes) + (place->is_exact ? 0 : kSearchSlack);
    return ReadFrom(bounded, *place, bytes, std::move(done));
  }
  // An older segment whose index is not in memory.
  const Segment& segment = *std::prev(
      std::upper_bound(segments_.begin(), segments_.end(), spec.from,
                       [](Offset offset, const Segment& each) { return offset < each.base; }));
  SubmitRead(
      Lane::kRead, "log.load_index",
      [&directory = directory_, id = options_.id, segment, max = options_.recovery_batch_bytes_max,
       interval = options_.config.index_interval_bytes] {
        return LoadIndex(directory, id, segment, max, interval);
      },
      [this, alive = alive_, base = segment.base, bounded,
       done = std::move(done)](Result<std::shared_ptr<SegmentIndex>> index) mutable {
        if (!*alive) return done(Error(Reason::kServerDraining, "the log was closed"));
        if (!index.ok() && bounded.from < ends_.log_start)
          return done(OutOfRange(bounded.from, ends_));
        if (!index.ok()) return done(std::move(index).error());
        // One at a time is kept, so that readers of old data do not fill the memory.
        for (Segment& each : segments_) {
          if (&each != &segments_.back()) each.index = each.base == base ? *index : nullptr;
          if (each.base == base) each.max_timestamp = (*index)->max_timestamp();
        }
        Read(bounded, std::move(done));
      });
}

void LogImpl::ReadFrom(const ReadSpec& spec, ReadPlace place, size_t bytes,
                       UniqueFunction<void(Result<LogRead>)> done) {
  const auto size = static_cast<size_t>(std::min<uint64_t>(bytes, place.end - place.position));
  Buffer buffer(size);
  const std::string path = PathOf(place.segment);
  const FilePtr file = directory_.file_cache().Find(path);
  if (file != nullptr &&
      file->ReadCached(place.position, buffer.span()) == static_cast<int64_t>(size)) {
    return OnBytes(spec, place, AsSlice(buffer, size), std::move(done));
  }
  SubmitRead(
      Lane::kRead, "log.read",
      [&directory = directory_, path, position = place.position,
       buffer]() mutable -> Result<Slice> {
        ASSIGN_OR_RETURN(const FilePtr opened, directory.file_cache().Get(path, false));
        ASSIGN_OR_RETURN(const size_t got, opened->Read(position, buffer.span()));
        return AsSlice(buffer, got);
      },
      [this, alive = alive_, spec, place, done = std::move(done)](Result<Slice> got) mutable {
        if (!*alive) return done(Error(Reason::kServerDraining, "the log was closed"));
        // A segment that was deleted meanwhile is no damage.
        if (!got.ok() && spec.from < ends_.log_start) return done(OutOfRange(spec.from, ends_));
        if (!got.ok()) return done(std::move(got).error());
        OnBytes(spec, place, std::move(*got), std::move(done));
      });
}

void LogImpl::OnBytes(const ReadSpec& spec, ReadPlace place, Slice bytes,
                      UniqueFunction<void(Result<LogRead>)> done) {
  size_t wanted_bytes = 0;
  auto read = Parse(spec, place, bytes, &wanted_bytes);
  if (!read.ok()) return done(std::move(read).error());
  if (read->has_value()) return done(std::move(**read));
  if (wanted_bytes > 0) return ReadFrom(spec, place, wanted_bytes, std::move(done));
  // Nothing at or after the offset in this segment: the next one has it.
  const auto next =
      std::upper_bound(segments_.begin(), segments_.end(), place.segment,
                       [](Offset base, const Segment& segment) { return base < segment.base; });
  if (next == segments_.end()) {
    LogRead nothing;
    nothing.base_offset = nothing.next_offset = spec.from;
    return done(std::move(nothing));
  }
  ReadFrom(spec, {next->base, 0, WrittenSize(*next), true},
           std::max(spec.bytes_max, kBatchHeaderBytes), std::move(done));
}

Error LogImpl::DamagedAt(const ReadPlace& place, const std::string& what) const {
  Error error(Reason::kStorageError,
              PathOf(place.segment) + " at " + std::to_string(place.position) + ": " + what);
  LOG(ERROR) << error;
  return error.With("path", PathOf(place.segment)).With("position", std::to_string(place.position));
}

// The header at `at` of what was read from `place`; nullopt where more bytes are needed to see it.
// Checks what does not need the whole batch.
Result<std::optional<BatchHeader>> LogImpl::HeaderAt(const ReadPlace& place, const Slice& bytes,
                                                     size_t at, Offset last_end) const {
  ReadPlace here = place;
  here.position += at;
  const uint64_t in_file = place.end - here.position;
  const size_t left = bytes.size() - at;
  if (left < kBatchHeaderBytes && left < in_file) return std::optional<BatchHeader>();
  const auto header = PeekHeader(bytes.Sub(at, left), options_.recovery_batch_bytes_max);
  if (!header.ok()) return DamagedAt(here, header.error().message);
  if (header->size() > in_file) return DamagedAt(here, "a batch is longer than what was written");
  if (header->base_offset < last_end)
    return DamagedAt(here, "a batch with the offset of an earlier one");
  return std::optional(*header);
}

// The wanted batches at the front of `bytes`. nullopt: they are not in there; `wanted_bytes` of
// `place`, which has moved on, are needed then, or nothing of this segment (0).
Result<std::optional<LogRead>> LogImpl::Parse(const ReadSpec& spec, ReadPlace& place,
                                              const Slice& bytes, size_t* wanted_bytes) {
  LogRead read;
  size_t at = 0, first = 0;
  Offset last_end = place.segment;
  bool any = false;
  std::optional<size_t>
      missing;  // size of a wanted batch that is not here as a whole; 0: not known
  while (at < bytes.size()) {
    ASSIGN_OR_RETURN(const auto header, HeaderAt(place, bytes, at, last_end));
    if (header.has_value()) last_end = header->next_offset();
    if (header.has_value() && header->next_offset() <= spec.from) {
      at += header->size();
      continue;
    }
    if (header.has_value() && header->base_offset >= spec.limit) break;
    const size_t size = header.has_value() ? header->size() : 0;
    const bool fits = at - first + size <= spec.bytes_max;
    if (any && !fits) break;
    if (!any && size > spec.bytes_max && !spec.first_batch_may_exceed)
      return TooSmall(size, spec.bytes_max);
    if (!header.has_value() || size > bytes.size() - at) {
      missing = size;
      break;
    }
    if (Crc32c(0, bytes.span().subspan(at + kBatchCrcStart, size - kBatchCrcStart)) !=
        header->crc) {
      ReadPlace here = place;
      here.position += at;
      return DamagedAt(here, "the checksum of the batch at offset " +
                                 std::to_string(header->base_offset.value) + " is wrong");
    }
    if (!std::exchange(any, true)) {
      first = at;
      read.base_offset = header->base_offset;
    }
    at += size;
    read.next_offset = header->next_offset();
  }
  if (any) {
    read.batches = bytes.Sub(first, at - first);
    hints_[next_hint_++ % hints_.size()] = {read.next_offset, place.segment, place.position + at};
    return std::optional(std::move(read));
  }
  const bool at_limit = at < bytes.size() && !missing.has_value();
  if (at_limit) {
    read.base_offset = read.next_offset = spec.from;
    return std::optional(std::move(read));
  }
  // Not here: go on behind what was skipped, if the segment does.
  place.position += at;
  const uint64_t in_file = place.end - place.position;
  const size_t usual = std::max(spec.bytes_max, kBatchHeaderBytes);
  *wanted_bytes =
      static_cast<size_t>(std::min<uint64_t>(in_file, std::max(usual, missing.value_or(0))));
  return std::optional<LogRead>();
}

// A search by time, off the loop: what it needs of the log.
struct LogImpl::TimeQuery {
  std::vector<Segment> segments;
  Offset log_start;
  Offset limit;
  std::optional<Timestamp> time;  // nullopt: the largest
};

namespace {

// The first record of a batch, at or after `from`, with a time of at least `time`.
Result<std::optional<TimedOffset>> FindInBatch(File& file, const BatchHeader& header,
                                               uint64_t position, Offset from, Timestamp time) {
  Buffer buffer(header.size());
  ASSIGN_OR_RETURN(const size_t got, file.Read(position, buffer.span()));
  ASSIGN_OR_RETURN(const RecordBatch batch, CheckBatch(AsSlice(buffer, got)));
  ASSIGN_OR_RETURN(RecordReader reader, RecordReader::Open(batch, kDecompressedMax));
  while (true) {
    ASSIGN_OR_RETURN(const auto record, reader.Next());
    if (!record.has_value()) return std::optional<TimedOffset>();
    if (record->offset < from || record->timestamp < time) continue;
    return std::optional(TimedOffset{record->offset, record->timestamp, header.leader_epoch});
  }
}

}  // namespace

void LogImpl::Search(TimeQuery query,
                     UniqueFunction<void(Result<std::optional<TimedOffset>>)> done) {
  const TimeQuery again = query;
  query.segments = segments_;
  query.log_start = ends_.log_start;
  query.limit = std::min(query.limit, ends_.written_end);
  if (segments_.empty()) return done(std::optional<TimedOffset>());
  for (Segment& segment : query.segments) segment.size = WrittenSize(segment);
  // The active one's index goes on changing.
  query.segments.back().index = std::make_shared<SegmentIndex>(*query.segments.back().index);
  std::erase_if(query.segments, [](const Segment& segment) { return segment.size == 0; });
  SubmitRead(
      Lane::kRead, "log.search",
      [&directory = directory_, id = options_.id, max = options_.recovery_batch_bytes_max,
       interval = options_.config.index_interval_bytes, query = std::move(query)]() mutable {
        return RunSearch(directory, id, std::move(query), max, interval);
      },
      [this, alive = alive_, again, first = segments_.front().base,
       done = std::move(done)](Result<std::optional<TimedOffset>> found) mutable {
        // A segment that was deleted meanwhile is none to search.
        if (!found.ok() && *alive && !segments_.empty() && segments_.front().base != first)
          return Search(std::move(again), std::move(done));
        done(std::move(found));
      });
}

Result<std::optional<TimedOffset>> LogImpl::RunSearch(LogDirectory& directory,
                                                      const TopicIdPartition& id, TimeQuery query,
                                                      size_t batch_bytes_max,
                                                      int64_t interval_bytes) {
  Timestamp largest = kNoTimestamp;
  for (Segment& segment : query.segments) {
    if (segment.index == nullptr) {
      ASSIGN_OR_RETURN(segment.index,
                       LoadIndex(directory, id, segment, batch_bytes_max, interval_bytes));
    }
    largest = std::max(largest, segment.index->max_timestamp());
  }
  const Timestamp time = query.time.value_or(largest);
  for (const Segment& segment : query.segments) {
    if (segment.index->max_timestamp() < time) continue;
    const auto entry = segment.index->FloorByTime(time);
    if (!entry.has_value() || entry->position >= segment.size) continue;
    ASSIGN_OR_RETURN(
        const FilePtr file,
        directory.file_cache().Get(
            JoinPath(directory.PathOf(id), SegmentFileName(segment.base, "log")), false));
    Result<std::optional<TimedOffset>> found = std::optional<TimedOffset>();
    const auto walk =
        WalkSegment(*file, entry->position, segment.size, entry->base, kNoLeaderEpoch,
                    batch_bytes_max, [&](const BatchHeader& header, uint64_t position) {
                      if (header.base_offset >= query.limit) return false;
                      if (header.max_timestamp < time || header.next_offset() <= query.log_start)
                        return true;
                      found = FindInBatch(*file, header, position, query.log_start, time);
                      return found.ok() && !found->has_value();
                    });
    RETURN_IF_ERROR(walk);
    if (!found.ok()) return std::move(found).error();
    if (found->has_value())
      return (*found)->offset < query.limit ? *found : std::optional<TimedOffset>();
  }
  return std::optional<TimedOffset>();
}

void LogImpl::FindByTime(Timestamp time, Offset limit,
                         UniqueFunction<void(Result<std::optional<TimedOffset>>)> done) {
  TimeQuery query;
  query.limit = limit;
  query.time = time;
  Search(std::move(query), std::move(done));
}

void LogImpl::FindMaxTimestamp(Offset limit,
                               UniqueFunction<void(Result<std::optional<TimedOffset>>)> done) {
  TimeQuery query;
  query.limit = limit;
  Search(std::move(query), std::move(done));
}

}  // namespace gregor
