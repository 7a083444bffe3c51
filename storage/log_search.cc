// LogImpl: finding records by time.
#include <algorithm>
#include <utility>

#include "storage/file_cache.h"
#include "storage/log_files.h"
#include "storage/log_impl.h"
#include "storage/segment_cursor.h"

namespace gregor {
namespace {

using Found = std::optional<TimedOffset>;

// A search off the loop: what it needs of the log. Thread: disk.
class TimeSearch {
 public:
  struct Options {
    TopicIdPartition id;
    std::vector<Segment> segments;  // without what is not written yet; the last with its index
    Offset written_end{0};          // of what is
    Offset log_end{0};              // the index knows what lies up to there
    Offset log_start{0};
    Offset limit{0};
    size_t batch_bytes_max = 0;
    int64_t index_interval_bytes = 0;
    Budget* memory = nullptr;  // to decompress in
  };

  TimeSearch(LogDirectory& directory, Options options)
      : directory_(directory), options_(std::move(options)) {}

  // The first record with a time of at least `time`, in the order of offsets.
  Result<Found> First(Timestamp time) {
    for (size_t i = 0; i < options_.segments.size(); ++i) {
      Segment& segment = options_.segments[i];
      if (segment.max_timestamp < time || segment.size == 0) continue;
      if (EndOf(i) <= options_.log_start) continue;
      if (segment.base() >= options_.limit) break;
      RETURN_IF_ERROR(LoadIndexOf(segment));
      if (segment.index->is_whole() && segment.index->max_timestamp() < time) {
        Forget(i);
        continue;
      }
      ASSIGN_OR_RETURN(const Found found, FirstIn(i, time));
      if (found.has_value()) return found;
      Forget(i);
    }
    return Found();
  }

  // The first record that has the largest time. From the newest segment on: times mostly rise.
  Result<Found> Latest() {
    Found latest;
    for (size_t i = options_.segments.size(); i-- > 0;) {
      Segment& segment = options_.segments[i];
      if (segment.size == 0 || segment.base() >= options_.limit) continue;
      if (EndOf(i) <= options_.log_start) break;
      // What a segment is known for may be more than it has: batches that compaction emptied count.
      if (latest.has_value() && segment.max_timestamp < latest->timestamp) continue;
      RETURN_IF_ERROR(LoadIndexOf(segment));
      ASSIGN_OR_RETURN(const Found found, LatestIn(i));
      Forget(i);
      if (!found.has_value()) continue;
      if (!latest.has_value() || found->timestamp >= latest->timestamp) latest = found;
    }
    return latest;
  }

 private:
  Result<void> LoadIndexOf(Segment& segment) {
    if (segment.index != nullptr) return {};
    ASSIGN_OR_RETURN(segment.index,
                     LoadIndex(directory_, options_.id, segment, options_.batch_bytes_max,
                               options_.index_interval_bytes));
    return {};
  }

  // One index of complete segments at a time.
  void Forget(size_t number) {
    if (number + 1 < options_.segments.size()) options_.segments[number].index = nullptr;
  }

  // What lies in the segment has lower offsets.
  Offset EndOf(size_t number) const {
    const bool is_last = number + 1 == options_.segments.size();
    return is_last ? options_.written_end : options_.segments[number + 1].base();
  }

  // Where a batch begins.
  struct Place {
    uint64_t position = 0;
    Offset offset{0};
  };

  // Up to there: GoOnTo() says how far.
  SegmentCursor CursorAt(size_t number, const Place& place, File& file) const {
    return SegmentCursor(file, {.position = place.position,
                                .end = place.position,
                                .next_offset = place.offset,
                                .epochs_rise = false,
                                .has_gaps = options_.segments[number].has_gaps,
                                .batch_bytes_max = options_.batch_bytes_max});
  }

  // Calls visit(batch) for the batches of a segment from `entry` of its index on, as far as records
  // may be found, until it gives false.
  template <typename Visit>
  Result<void> Walk(size_t number, const SegmentIndex::Entry& entry, Visit visit) const {
    const Segment& segment = options_.segments[number];
    if (entry.position >= segment.size) return {};
    const std::string path = SegmentPath(directory_, options_.id, segment.name);
    ASSIGN_OR_RETURN(const FilePtr file, directory_.file_cache().Get(path, false));
    SegmentCursor cursor = CursorAt(number, {entry.position, entry.base}, *file);
    while (true) {
      // A batch ends where the index knows the next one at the latest, whatever its length says.
      if (cursor.at_end()) {
        if (cursor.position() >= segment.size) return {};
        const auto* const next = segment.index->After(cursor.position());
        const bool is_there = next != nullptr && next->position < segment.size;
        cursor.GoOnTo(is_there ? next->position : segment.size,
                      is_there ? next->base : EndOf(number));
      }
      if (cursor.next_offset() >= options_.limit) return {};
      auto batch = cursor.Next();
      if (!batch.ok()) batch = cursor.Next();  // a disk's error may pass
      if (!batch.ok() || !batch->has_value()) {
        const auto behind = BehindDamage(number, cursor, *file);
        if (!behind.has_value() || behind->offset > options_.log_start)
          return Damaged(number, cursor, behind,
                         batch.ok() ? cursor.what() : batch.error().message);
        cursor = CursorAt(number, *behind, *file);  // what is deleted may be damaged
        continue;
      }
      const BatchHeader& header = (*batch)->header;
      if (header.base_offset >= options_.limit) return {};
      if (header.next_offset() <= options_.log_start) continue;
      ASSIGN_OR_RETURN(const bool goes_on, visit(**batch));
      if (!goes_on) return {};
    }
  }

  Error Damaged(size_t number, const SegmentCursor& cursor, const std::optional<Place>& behind,
                const std::string& what) const {
    const std::string path = SegmentPath(directory_, options_.id, options_.segments[number].name);
    const std::string position = std::to_string(cursor.position());
    Error error(Reason::kCorruptBatch, path + " at " + position + ": " + what);
    error.With("path", path)
        .With("position", position)
        .With("offset", std::to_string(cursor.next_offset().value));
    if (!behind.has_value()) return error;
    const std::string next_offset = std::to_string(behind->offset.value);
    error.message += ": go on at offset " + next_offset;
    return std::move(error).With("next_offset", next_offset);
  }

  // Where the next batch is, by the length of the damaged one, or by the index.
  std::optional<Place> BehindDamage(size_t number, const SegmentCursor& cursor, File& file) const {
    const Segment& segment = options_.segments[number];
    const auto* const next = segment.index->After(cursor.position());
    const bool is_indexed = next != nullptr && next->position < segment.size;
    uint8_t bytes[kBatchHeaderBytes];
    const auto got = file.Read(cursor.position(), bytes);
    const uint64_t end = is_indexed ? next->position : segment.size;
    const uint64_t length =
        got.ok() && *got == sizeof bytes ? BatchHeader::Decode(bytes).size() : 0;
    const bool is_last = number + 1 == options_.segments.size();
    const Offset end_offset = is_indexed ? next->base : EndOf(number);
    if (length == end - cursor.position()) return Place{end, end_offset};
    if (length >= kBatchHeaderBytes && length < end - cursor.position()) {
      SegmentCursor behind(file, {.position = cursor.position() + length,
                                  .end = end,
                                  .next_offset = cursor.next_offset() + 1,
                                  .end_offset = end_offset,
                                  .batch_bytes_max = options_.batch_bytes_max});
      const auto batch = behind.Next();
      if (batch.ok() && batch->has_value())
        return Place{(*batch)->position, (*batch)->header.base_offset};
    }
    if (!is_indexed && is_last) return std::nullopt;
    return Place{end, end_offset};
  }

  // What lies before it may not be found, or has no such time.
  SegmentIndex::Entry BeginningOf(size_t number, std::optional<SegmentIndex::Entry> before) const {
    const SegmentIndex& index = *options_.segments[number].index;
    SegmentIndex::Entry entry{.base = options_.segments[number].base()};
    if (before.has_value()) entry = *before;
    const auto start = index.Floor(options_.log_start);
    return start.has_value() && start->position > entry.position ? *start : entry;
  }

  Result<Found> FirstIn(size_t number, Timestamp time) const {
    Found found;
    const auto entry = BeginningOf(number, options_.segments[number].index->FloorByTime(time));
    RETURN_IF_ERROR(Walk(number, entry, [&](const auto& batch) -> Result<bool> {
      if (batch.header.max_timestamp < time) return true;
      RETURN_IF_ERROR(VisitRecords(batch, [&](const TimedOffset& record) {
        if (record.timestamp >= time) found = record;
        return !found.has_value();
      }));
      return !found.has_value();
    }));
    return found;
  }

  // The first record that has the largest time of those in the segment that may be found.
  Result<Found> LatestIn(size_t number) const {
    const SegmentIndex& index = *options_.segments[number].index;
    const bool is_last = number + 1 == options_.segments.size();
    const bool ends_later = (is_last ? options_.log_end : EndOf(number)) > options_.limit;
    const bool knows_all = !ends_later && index.is_whole();
    // Behind this entry times are looked up one by one; before it the index knows the largest.
    const auto last = BeginningOf(number, index.Floor(options_.limit - 1));
    ASSIGN_OR_RETURN(const Found first,
                     FirstIn(number, knows_all ? index.max_timestamp() : last.max_before));
    if (first.has_value()) return knows_all ? first : LatestFrom(number, last, first);
    // What has that time is deleted.
    return LatestFrom(number, BeginningOf(number, std::nullopt), Found());
  }

  // The first of those with the largest time, `latest` and the records from `entry` on.
  Result<Found> LatestFrom(size_t number, const SegmentIndex::Entry& entry, Found latest) const {
    const auto is_later = [&](Timestamp time) {
      return !latest.has_value() || time > latest->timestamp;
    };
    RETURN_IF_ERROR(Walk(number, entry, [&](const auto& batch) -> Result<bool> {
      if (!is_later(batch.header.max_timestamp)) return true;
      RETURN_IF_ERROR(VisitRecords(batch, [&](const TimedOffset& record) {
        if (is_later(record.timestamp)) latest = record;
        return true;
      }));
      return true;
    }));
    return latest;
  }

  // Calls visit(record) for those that may be found, until it gives false. A batch whose records
  // cannot be read has none.
  template <typename Visit>
  Result<void> VisitRecords(const SegmentCursor::Batch& batch, Visit visit) const {
    const RecordBatch whole{batch.header, Slice(nullptr, batch.bytes.data(), batch.bytes.size())};
    auto reader = RecordReader::Open(whole, kDecompressedBytesMax, options_.memory);
    if (!reader.ok() && reader.error().reason == Reason::kQuotaExceeded) return reader.error();
    while (reader.ok()) {
      const auto record = reader->Next();
      if (!record.ok() || !record->has_value() || (*record)->offset >= options_.limit) break;
      if ((*record)->offset < options_.log_start) continue;
      if (!visit(TimedOffset{(*record)->offset, (*record)->timestamp, batch.header.leader_epoch}))
        break;
    }
    return {};
  }

  LogDirectory& directory_;
  Options options_;
};

}  // namespace

void LogImpl::Search(std::optional<Timestamp> time, Offset limit,
                     UniqueFunction<void(Result<Found>)> done) {
  if (segments_.empty()) return done(Found());
  TimeSearch::Options search;
  search.id = options_.id;
  search.segments = segments_;
  search.written_end = ends_.written_end;
  search.log_end = ends_.log_end;
  search.log_start = ends_.log_start;
  search.limit = std::min(limit, ends_.written_end);
  search.batch_bytes_max = options_.recovery_batch_bytes_max;
  search.index_interval_bytes = options_.config.index_interval_bytes;
  search.memory = options_.search_memory;
  for (Segment& segment : search.segments) segment.size = WrittenSize(segment);
  // The active one's index goes on changing.
  search.segments.back().index = std::make_shared<SegmentIndex>(*segments_.back().index);
  SubmitRead(
      Lane::kRead, "log.search",
      [search = TimeSearch(directory_, std::move(search)), time]() mutable {
        return time.has_value() ? search.First(*time) : search.Latest();
      },
      [this, alive = alive_, time, limit, before = replacements_,
       done = std::move(done)](Result<Found> found) mutable {
        // Files may have gone while it was looking.
        if (!found.ok() && *alive && replacements_ != before)
          return Search(time, limit, std::move(done));
        if (*alive && !found.ok()) NoteDamage(found.error());
        // The epoch in a batch is outside of its checksum.
        if (*alive && found.ok() && found->has_value())
          (*found)->leader_epoch =
              epochs_.EpochAt((*found)->offset).value_or((*found)->leader_epoch);
        done(std::move(found));
      });
}

void LogImpl::FindByTime(Timestamp time, Offset limit, UniqueFunction<void(Result<Found>)> done) {
  Search(time, limit, std::move(done));
}

void LogImpl::FindMaxTimestamp(Offset limit, UniqueFunction<void(Result<Found>)> done) {
  Search(std::nullopt, limit, std::move(done));
}

}  // namespace gregor
