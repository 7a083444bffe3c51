#ifndef GREGOR_CONTROLLER_METADATA_HISTORY_H_
#define GREGOR_CONTROLLER_METADATA_HISTORY_H_

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "controller/image/image.h"
#include "controller/metadata_log_files.h"
#include "storage/file_system.h"

namespace gregor {

// A moment of the metadata: when the log ended at an offset, or what it had at a time. Neither: the
// latest that there is.
struct MetadataMoment {
  std::optional<Offset> offset;
  std::optional<Timestamp> time;
};
// OFFSET, @MILLISECONDS, @2026-01-31T12:00:00Z, end. Fails with kInvalidArgument.
Result<MetadataMoment> ParseMoment(const std::string& text);

// What the metadata were at a moment.
struct MetadataState {
  ImagePtr image;  // never null
  // The moment lies inside of an operation whose records begin here: the image is the one before
  // it, as its records count together only.
  std::optional<Offset> within;
};

// What the metadata of a cluster were, as far back as the files of one node go: log and snapshots
// of a data directory, or one snapshot. Reads, changes nothing, takes no lock. The end of a log may
// have records that were never committed. Thread: any that may block.
class MetadataHistory {
 public:
  // Fails with kStorageError where `path` is neither a data directory nor a whole snapshot.
  static Result<MetadataHistory> Open(FileSystem& files, const std::string& path);

  // By time: before the first batch that was written later. Fails with kOffsetOutOfRange where the
  // moment lies before what is left of the log, or its offset behind the end; with kStorageError
  // where files before it are damaged.
  Result<MetadataState> At(const MetadataMoment& moment) const;

  // Calls `visit` for each batch of the log with records in [from, until). A snapshot alone has
  // none: fails with kInvalidArgument.
  Result<void> VisitBatches(Offset from, Offset until,
                            const std::function<Result<void>(const RecordBatch&)>& visit) const;

 private:
  explicit MetadataHistory(std::string path) : path_(std::move(path)) {}
  Result<MetadataState> OfSnapshot(const MetadataMoment& moment) const;
  Error OutOfRange(const std::string& what) const;

  std::string path_;
  std::optional<MetadataLogFiles> log_;
  ImagePtr snapshot_;  // where `path_` is one
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_METADATA_HISTORY_H_
