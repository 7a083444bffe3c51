#include "controller/metadata_dump.h"

#include <optional>
#include <utility>

#include "controller/image/log_replay.h"
#include "controller/metadata_log_files.h"
#include "raft/host/raft_log.h"
#include "raft/host/vote_file.h"

namespace gregor {
namespace {

class Dump {
 public:
  Dump(const MetadataDumpOptions& options, std::ostream& out)
      : options_(options), printer_(options.format, out) {}

  Result<void> Run(FileSystem& files, const std::string& data_dir, const NodeIdentity& identity) {
    const std::string metadata = MetadataPath(data_dir);
    ASSIGN_OR_RETURN(const auto vote, ReadVote(files, VotePath(metadata)));
    printer_.Node(identity, vote.has_value() ? vote->term : Term{0});
    ASSIGN_OR_RETURN(const MetadataLogFiles log, MetadataLogFiles::Find(files, data_dir));
    // What the records are applied to: nothing where they are all there, else a snapshot.
    ASSIGN_OR_RETURN(ImagePtr base,
                     log.Base([&](const ImagePosition& at) { return at.version <= options_.until; },
                              [&](const Error& error) {
                                printer_.Note("problem", error.message);
                                problem_ = error;
                              }));
    if (base != nullptr) applied_to_ = end_ = base->version;
    replay_ = LogReplay(std::move(base));
    const auto walked = log.Walk([&](const RecordBatch& batch) { return OnBatch(batch); });
    if (options_.image) PrintImage();
    if (walked.ok() && problem_.has_value()) return *problem_;
    if (walked.ok() && end_ < options_.until && options_.until < MetadataDumpOptions().until) {
      return Error(Reason::kOffsetOutOfRange,
                   "the log ends at offset " + std::to_string(end_.value) + ", before " +
                       std::to_string(options_.until.value) + ": what it has is shown");
    }
    return walked;
  }

 private:
  Result<bool> OnBatch(const RecordBatch& batch) {
    const BatchHeader& header = batch.header;
    end_ = header.next_offset();
    if (header.base_offset >= options_.until) return false;
    if (options_.records) RETURN_IF_ERROR(printer_.Records(batch, options_.from, options_.until));
    if (header.is_control() || !options_.image) return true;
    RETURN_IF_ERROR(
        VisitRecordsOf(batch, [&](Offset offset, std::string_view record) -> Result<void> {
          if (offset < applied_to_ || offset >= options_.until) return {};
          return replay_.Apply({offset + 1, header.leader_epoch, header.max_timestamp}, record);
        }));
    return true;
  }

  void PrintImage() {
    if (const auto since = replay_.open_since()) {
      printer_.Note("note", "the transaction that begins at offset " +
                                std::to_string(since->value) +
                                " is not complete: the image is the one before it");
    }
    printer_.Image(*replay_.Finish().after);
  }

  const MetadataDumpOptions& options_;
  MetadataPrinter printer_;
  LogReplay replay_{nullptr};
  Offset applied_to_{0};
  Offset end_{0};                 // of what was seen of the log
  std::optional<Error> problem_;  // that did not end the dump
};

}  // namespace

Result<void> DumpMetadata(FileSystem& files, const std::string& data_dir,
                          const MetadataDumpOptions& options, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto identity, ReadIdentity(files, data_dir));
  if (!identity.has_value()) {
    return Error(Reason::kStorageError,
                 data_dir + ": it is no node's data directory (it is missing or not formatted)")
        .With("path", data_dir);
  }
  ASSIGN_OR_RETURN(const bool has_log, files.Exists(MetadataLogPath(MetadataPath(data_dir))));
  if (!has_log) {
    return Error(Reason::kStorageError,
                 data_dir +
                     ": it has no metadata log: it is a log directory, not a node's data "
                     "directory, or its metadata are missing")
        .With("path", data_dir);
  }
  return Dump(options, out).Run(files, data_dir, *identity);
}

}  // namespace gregor
