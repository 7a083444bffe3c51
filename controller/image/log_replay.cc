#include "controller/image/log_replay.h"

#include <string>
#include <utility>

#include "controller/image/image_diff.h"

namespace gregor {

LogReplay::LogReplay(ImagePtr base)
    : base_(base),
      settled_(std::move(base)),
      replay_(settled_),
      position_(settled_ == nullptr ? ImagePosition() : PositionOf(*settled_)) {}

Result<void> LogReplay::Apply(const ImagePosition& position, std::string_view bytes) {
  const auto record = parser_.Parse(bytes);
  if (record.ok()) return Apply(position, **record);
  return Error(Reason::kStorageError, "metadata record " +
                                          std::to_string(position.version.value - 1) + ": " +
                                          record.error().message);
}

Result<void> LogReplay::Apply(const ImagePosition& position, const pb::MetadataRecord& record) {
  RETURN_IF_ERROR(Dispatch(position, record));
  position_ = position;
  has_changes_ = true;
  return {};
}

Result<void> LogReplay::Dispatch(const ImagePosition& position, const pb::MetadataRecord& record) {
  const Offset offset = position.version - 1;
  const auto fail = [&](const char* what) {
    return Error(Reason::kStorageError, "metadata record " + std::to_string(offset.value) +
                                            " contradicts those before it: " + what);
  };
  const bool is_end = record.has_end_transaction() || record.has_abort_transaction();
  // Whether a level fits is looked up in the image, in which the records before it have to be.
  if (record.has_feature_level() && !open_since_.has_value()) Settle();
  if (!record.has_begin_transaction() && !is_end) return replay_.Apply(offset, record);
  if (is_end && !open_since_.has_value()) return fail("a transaction ends, and none is open");
  if (record.has_begin_transaction()) {
    if (open_since_.has_value()) return fail("a transaction begins inside of another one");
    Settle();
    if (settled_ == nullptr || settled_->feature_level < FeatureLevelOf(record))
      return fail("the cluster's feature level has no transactions");
    open_since_ = offset;
    return {};
  }
  if (record.has_abort_transaction()) replay_ = Replay(settled_);
  open_since_.reset();
  return {};
}

void LogReplay::Settle() {
  if (!has_changes_) return;
  settled_ = replay_.Finish(position_).after;
  replay_ = Replay(settled_);
  has_changes_ = false;
}

MetadataDelta LogReplay::Finish() {
  if (open_since_.has_value()) return DiffImages(base_, settled_);
  if (settled_ == base_) return replay_.Finish(position_);
  Settle();
  return DiffImages(base_, settled_);
}

}  // namespace gregor
