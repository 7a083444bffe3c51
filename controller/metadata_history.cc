#include "controller/metadata_history.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/time_text.h"
#include "controller/format.h"
#include "controller/image/log_replay.h"
#include "controller/image/snapshot.h"
#include "controller/metadata_print.h"

namespace gregor {
namespace {

std::optional<int64_t> ParseNumber(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = error == std::errc() && end == text.data() + text.size() && value >= 0;
  return is_number ? std::optional(value) : std::nullopt;
}

std::string Show(const MetadataMoment& moment) {
  if (moment.offset.has_value()) return "offset " + std::to_string(moment.offset->value);
  return moment.time.has_value() ? "the time " + TimeText(*moment.time) : "the end";
}

// Whether `position` is not after the moment.
bool IsBefore(const ImagePosition& position, const MetadataMoment& moment) {
  return (!moment.offset.has_value() || position.version <= *moment.offset) &&
         (!moment.time.has_value() || position.timestamp <= *moment.time);
}

// Replays a log up to a moment.
class WalkTo {
 public:
  WalkTo(ImagePtr base, const MetadataMoment& moment)
      : moment_(moment),
        from_(base == nullptr ? Offset{0} : base->version),
        end_(from_),
        replay_(std::move(base)) {}

  // The end of what was walked through.
  Offset end() const { return end_; }

  Result<bool> OnBatch(const RecordBatch& batch) {
    const BatchHeader& header = batch.header;
    const bool is_later = (moment_.time.has_value() && header.max_timestamp > *moment_.time) ||
                          (moment_.offset.has_value() && header.base_offset >= *moment_.offset);
    if (is_later) return false;
    if (moment_.offset.has_value() && header.next_offset() > *moment_.offset) {
      within_ = header.base_offset;
      end_ = *moment_.offset;
      return false;
    }
    end_ = std::max(end_, header.next_offset());
    if (header.is_control()) return true;
    RETURN_IF_ERROR(
        VisitRecordsOf(batch, [&](Offset offset, std::string_view record) -> Result<void> {
          if (offset < from_) return {};
          return replay_.Apply({offset + 1, header.leader_epoch, header.max_timestamp}, record);
        }));
    return true;
  }

  // Once.
  MetadataState Finish() {
    if (const auto since = replay_.open_since()) within_ = since;
    return {replay_.Finish().after, within_};
  }

 private:
  const MetadataMoment moment_;
  const Offset from_;
  Offset end_;
  LogReplay replay_;
  std::optional<Offset> within_;
};

}  // namespace

Result<MetadataMoment> ParseMoment(const std::string& text) {
  if (text == "end" || text == "latest") return MetadataMoment();
  if (const auto offset = ParseNumber(text)) return MetadataMoment{Offset{*offset}, {}};
  if (text.starts_with("@")) {
    if (const auto ms = ParseNumber(text.substr(1))) return MetadataMoment{{}, Timestamp{*ms}};
  }
  if (const auto time = ParseTime(text.starts_with("@") ? text.substr(1) : text))
    return MetadataMoment{{}, *time};
  return Error(Reason::kInvalidArgument,
               "\"" + text +
                   "\" is none of an offset of the metadata log, @MILLISECONDS, "
                   "@2026-01-31T12:00:00Z and end");
}

Result<MetadataHistory> MetadataHistory::Open(FileSystem& files, const std::string& path) {
  MetadataHistory history(path);
  if (!files.List(path).ok()) {
    auto snapshot = ReadSnapshot(files, path);
    if (!snapshot.ok()) {
      return Error(Reason::kStorageError, path +
                                              ": it is neither a node's data directory nor a "
                                              "metadata snapshot that is whole: " +
                                              snapshot.error().message)
          .With("path", path);
    }
    history.snapshot_ = *std::move(snapshot);
    return history;
  }
  ASSIGN_OR_RETURN(const auto identity, ReadIdentity(files, path));
  if (!identity.has_value()) {
    return Error(Reason::kStorageError,
                 path + ": it is no node's data directory (it is empty or not formatted)")
        .With("path", path);
  }
  ASSIGN_OR_RETURN(history.log_, MetadataLogFiles::Find(files, path));
  return history;
}

Error MetadataHistory::OutOfRange(const std::string& what) const {
  return Error(Reason::kOffsetOutOfRange, path_ + ": " + what).With("path", path_);
}

Result<MetadataState> MetadataHistory::OfSnapshot(const MetadataMoment& moment) const {
  const bool is_other = moment.offset.has_value() ? *moment.offset != snapshot_->version
                                                  : !IsBefore(PositionOf(*snapshot_), moment);
  if (!is_other) return MetadataState{snapshot_, {}};
  return OutOfRange("the snapshot is of offset " + std::to_string(snapshot_->version.value) +
                    ", written " + TimeText(snapshot_->last_timestamp) + ", and knows nothing of " +
                    Show(moment));
}

Result<MetadataState> MetadataHistory::At(const MetadataMoment& moment) const {
  if (snapshot_ != nullptr) return OfSnapshot(moment);
  std::optional<Error> damaged;
  std::optional<ImagePosition> later;
  auto base = log_->Base(
      [&](const ImagePosition& position) {
        if (IsBefore(position, moment)) return true;
        later = position;
        return false;
      },
      [&](const Error& error) { damaged = error; });
  if (!base.ok()) {
    if (damaged.has_value()) return *damaged;
    if (!later.has_value()) return std::move(base).error();
    return OutOfRange(Show(moment) + " lies before what is left: the earliest state is that of " +
                      "offset " + std::to_string(later->version.value) + ", written " +
                      TimeText(later->timestamp));
  }
  WalkTo walk(*std::move(base), moment);
  RETURN_IF_ERROR(log_->Walk([&](const RecordBatch& batch) { return walk.OnBatch(batch); }));
  if (moment.offset.has_value() && *moment.offset > walk.end()) {
    return OutOfRange("the log ends at offset " + std::to_string(walk.end().value) + ", before " +
                      Show(moment));
  }
  MetadataState state = walk.Finish();
  if (state.image->feature_level == 0)
    return OutOfRange(Show(moment) + " lies before the cluster's first records");
  return state;
}

Result<void> MetadataHistory::VisitBatches(
    Offset from, Offset until, const std::function<Result<void>(const RecordBatch&)>& visit) const {
  if (!log_.has_value()) {
    return Error(Reason::kInvalidArgument,
                 path_ + ": a snapshot has no records: give a data directory");
  }
  return log_->Walk([&](const RecordBatch& batch) -> Result<bool> {
    if (batch.header.base_offset >= until) return false;
    if (batch.header.next_offset() > from) RETURN_IF_ERROR(visit(batch));
    return true;
  });
}

}  // namespace gregor
