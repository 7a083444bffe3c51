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
    for (Segment& segment : options_.segments) {
      if (segment.max_timestamp < time || segment.size == 0) continue;
      if (segment.base() >= options_.limit) break;
      RETURN_IF_ERROR(LoadIndexOf(segment));
      if (segment.index->max_timestamp() < time) continue;
      ASSIGN_OR_RETURN(const Found found, FirstIn(segment, time));
      if (found.has_value()) return found->offset < options_.limit ? found : Found();
    }
    return Found();
  }

  // The first record that has the largest time.
  Result<Found> Latest() {
    // What a segment is known for may be more than it has: batches that compaction emptied count.
    Segment* latest = nullptr;
    for (Segment& segment : options_.segments) {
      if (segment.size == 0) continue;
      if (latest != nullptr && segment.max_timestamp <= latest->index->max_timestamp()) continue;
      RETURN_IF_ERROR(LoadIndexOf(segment));
      if (latest == nullptr || segment.index->max_timestamp() > latest->index->max_timestamp())
        latest = &segment;
    }
    if (latest == nullptr) return Found();
    ASSIGN_OR_RETURN(const Found found, FirstIn(*latest, latest->index->max_timestamp()));
    return found.has_value() && found->offset < options_.limit ? found : Found();
  }

 private:
  Result<void> LoadIndexOf(Segment& segment) {
    if (segment.index != nullptr) return {};
    ASSIGN_OR_RETURN(segment.index,
                     LoadIndex(directory_, options_.id, segment, options_.batch_bytes_max,
                               options_.index_interval_bytes));
    return {};
  }

  Result<Found> FirstIn(const Segment& segment, Timestamp time) {
    const auto entry = segment.index->FloorByTime(time);
    if (!entry.has_value() || entry->position >= segment.size) return Found();
    const std::string path = SegmentPath(directory_, options_.id, segment.name);
    ASSIGN_OR_RETURN(const FilePtr file, directory_.file_cache().Get(path, false));
    SegmentCursor cursor(*file, {.position = entry->position,
                                 .end = segment.size,
                                 .next_offset = entry->base,
                                 .batch_bytes_max = options_.batch_bytes_max});
    while (true) {
      ASSIGN_OR_RETURN(const auto batch, cursor.Next());
      if (!batch.has_value()) break;
      const BatchHeader& header = batch->header;
      if (header.base_offset >= options_.limit) return Found();
      if (header.max_timestamp < time || header.next_offset() <= options_.log_start) continue;
      ASSIGN_OR_RETURN(const Found found, FirstInBatch(*batch, time));
      if (found.has_value()) return found;
    }
    if (cursor.what().empty()) return Found();
    return Error(Reason::kStorageError,
                 path + " at " + std::to_string(cursor.position()) + ": " + cursor.what())
        .With("path", path);
  }

  // A batch whose records cannot be read has none that could be found.
  Result<Found> FirstInBatch(const SegmentCursor::Batch& batch, Timestamp time) const {
    const RecordBatch whole{batch.header, Slice(nullptr, batch.bytes.data(), batch.bytes.size())};
    auto reader = RecordReader::Open(whole, kDecompressedBytesMax, options_.memory);
    if (!reader.ok() && reader.error().reason == Reason::kQuotaExceeded) return reader.error();
    while (reader.ok()) {
      const auto record = reader->Next();
      if (!record.ok() || !record->has_value()) break;
      if ((*record)->offset < options_.log_start || (*record)->timestamp < time) continue;
      return Found({(*record)->offset, (*record)->timestamp, batch.header.leader_epoch});
    }
    return Found();
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
