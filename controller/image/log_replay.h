#ifndef GREGOR_CONTROLLER_IMAGE_LOG_REPLAY_H_
#define GREGOR_CONTROLLER_IMAGE_LOG_REPLAY_H_

#include <optional>
#include <string_view>

#include "base/result.h"
#include "controller/image/replay.h"

namespace gregor {

// The replay of the metadata log's records, in their order, transactions included: Replay for
// whoever reads a log and not rows. Records between a transaction's begin and its end count with
// its end, all at once; with an abort, never. So its image never stands inside of one: where it
// does not move, no version is shown, kept or sent to others. Thread: its owner's.
class LogReplay {
 public:
  // `base` nullptr: the image before the first record.
  explicit LogReplay(ImagePtr base);

  // Applies the record after which the log stands at `position`, as Replay::Apply() does. Fails
  // with kStorageError also where a transaction begins within one, or ends where none is open.
  Result<void> Apply(const ImagePosition& position, const pb::MetadataRecord& record);
  // The same from bytes.
  Result<void> Apply(const ImagePosition& position, std::string_view record);

  // Offset of the record that began the transaction that is open; nullopt: none is.
  std::optional<Offset> open_since() const { return open_since_; }

  // The image of everything that counts: inside of a transaction the one before it. `before` of the
  // delta is the base. Once.
  MetadataDelta Finish();

 private:
  Result<void> Dispatch(const ImagePosition& position, const pb::MetadataRecord& record);
  // Makes an image of what was applied, on which the replay goes on.
  void Settle();

  RecordParser parser_;
  ImagePtr base_;             // of the delta; may be null
  ImagePtr settled_;          // what `replay_` builds on; may be null
  Replay replay_;             // of what came since
  ImagePosition position_;    // behind the last record
  bool has_changes_ = false;  // since `settled_`
  std::optional<Offset> open_since_;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_LOG_REPLAY_H_
