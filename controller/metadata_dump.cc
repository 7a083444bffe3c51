#include "controller/metadata_dump.h"

#include <algorithm>
#include <ostream>
#include <utility>

#include "controller/format.h"
#include "controller/image/snapshot.h"
#include "raft/host/raft_log.h"
#include "raft/host/vote_file.h"
#include "storage/segment.h"
#include "storage/segment_cursor.h"

namespace gregor {
namespace {

constexpr size_t kBatchBytesMax = 1u << 30;
constexpr size_t kWindowBytes = 1u << 20;

Error Damaged(const std::string& path, const std::string& what) {
  return Error(Reason::kStorageError, path + ": " + what).With("path", path);
}

Result<bool> OnlyZeros(File& file, uint64_t position, uint64_t size) {
  std::vector<uint8_t> window(kWindowBytes);
  while (position < size) {
    ASSIGN_OR_RETURN(const size_t read, file.Read(position, {window.data(), window.size()}));
    if (read == 0) break;
    const auto end = window.begin() + static_cast<std::ptrdiff_t>(read);
    if (std::any_of(window.begin(), end, [](uint8_t byte) { return byte != 0; })) return false;
    position += read;
  }
  return true;
}

class Dump {
 public:
  Dump(FileSystem& files, const std::string& data_dir, const MetadataDumpOptions& options,
       std::ostream& out)
      : files_(files), metadata_(MetadataPath(data_dir)), options_(options), out_(out) {}

  Result<void> Run(const NodeIdentity& identity) {
    ASSIGN_OR_RETURN(const auto vote, ReadVote(files_, VotePath(metadata_)));
    PrintIdentity(identity, vote);
    RETURN_IF_ERROR(FindSegments());
    RETURN_IF_ERROR(FindImage());
    Result<void> walked;
    for (size_t i = 0; i < segments_.size() && walked.ok() && !ended_; ++i)
      walked = WalkOne(segments_[i], i + 1 == segments_.size());
    if (options_.image) PrintImage(*replay_.Finish(position_).after);
    if (walked.ok() && problem_.has_value()) return *problem_;
    return walked;
  }

 private:
  bool as_json() const { return options_.format == DumpFormat::kJson; }

  void PrintIdentity(const NodeIdentity& identity, const std::optional<Vote>& vote) {
    const int32_t term = vote.has_value() ? vote->term.value : 0;
    if (as_json()) {
      out_ << "{\"node\":{\"format\":" << identity.format << ",\"cluster_id\":\""
           << identity.cluster_id << "\",\"node_id\":" << identity.node_id << ",\"directory_id\":\""
           << identity.directory_id << "\",\"term\":" << term << "}}\n";
      return;
    }
    out_ << "node " << identity.node_id << " of cluster " << identity.cluster_id
         << ", metadata directory " << identity.directory_id << ", term " << term << "\n";
  }

  std::string LogFolder() const {
    return JoinPath(MetadataLogPath(metadata_), MetadataLogId().ToString());
  }

  Result<void> FindSegments() {
    ASSIGN_OR_RETURN(const bool exists, files_.Exists(LogFolder()));
    if (!exists) return {};
    ASSIGN_OR_RETURN(const auto entries, files_.List(LogFolder()));
    for (const DirectoryEntry& entry : entries) {
      if (const auto name = SegmentName::Parse(entry.name, "log")) segments_.push_back(name->base);
    }
    std::sort(segments_.begin(), segments_.end());
    return {};
  }

  // What the records are applied to: nothing where they are all there, else a snapshot.
  Result<void> FindImage() {
    if (segments_.empty() || segments_.front() == Offset{0}) return {};
    const std::string folder = JoinPath(metadata_, "snapshots");
    ASSIGN_OR_RETURN(auto snapshots, ListSnapshots(files_, folder));
    std::reverse(snapshots.begin(), snapshots.end());
    for (const SnapshotFile& snapshot : snapshots) {
      if (snapshot.end_offset > options_.until || snapshot.end_offset < segments_.front()) continue;
      auto image = ReadSnapshot(files_, JoinPath(folder, snapshot.name));
      if (!image.ok()) {
        out_ << (as_json() ? "{\"problem\":" + QuoteJson(image.error().message) + "}"
                           : image.error().message)
             << "\n";
        problem_ = image.error();
        continue;
      }
      position_ = PositionOf(**image);
      replay_ = Replay(*std::move(image));
      return {};
    }
    return Damaged(folder, "no snapshot is left that can be read, and the log begins at offset " +
                               std::to_string(segments_.front().value));
  }

  Result<void> WalkOne(Offset segment, bool is_last) {
    const std::string path = JoinPath(LogFolder(), SegmentName{segment}.FileName("log"));
    ASSIGN_OR_RETURN(const FilePtr file, files_.Open(path, OpenMode::kRead));
    ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    if (walked_to_.has_value() && *walked_to_ != segment)
      return Damaged(path, "the segment before it ends at offset " +
                               std::to_string(walked_to_->value) +
                               ": a part of the log is missing");
    SegmentCursor cursor(*file,
                         {.end = size, .next_offset = segment, .batch_bytes_max = kBatchBytesMax});
    while (true) {
      ASSIGN_OR_RETURN(const auto batch, cursor.Next());
      if (!batch.has_value()) break;
      ended_ = batch->header.base_offset >= options_.until;
      if (ended_) return {};
      const auto dumped = DumpBatch(*file, batch->header, batch->position);
      if (!dumped.ok()) return Damaged(path, dumped.error().message);
    }
    walked_to_ = cursor.next_offset();
    if (cursor.at_end()) return {};
    // Behind the last batch of the last segment lies room.
    if (is_last) {
      ASSIGN_OR_RETURN(const bool is_room, OnlyZeros(*file, cursor.position(), size));
      if (is_room) return {};
    }
    return Damaged(path, cursor.what() + " at position " + std::to_string(cursor.position()) +
                             ": nothing from offset " + std::to_string(walked_to_->value) +
                             " on is read here. A write that was cut off is removed at the next "
                             "start; other damage keeps the node from starting");
  }

  Result<void> DumpBatch(File& file, const BatchHeader& header, uint64_t position) {
    std::string bytes(header.size(), '\0');
    ASSIGN_OR_RETURN(const size_t read,
                     file.Read(position, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}));
    if (read != bytes.size()) return Error(Reason::kStorageError, "it became shorter");
    ASSIGN_OR_RETURN(const RecordBatch batch, CheckBatch(Slice::Own(std::move(bytes))));
    if (header.is_control()) {
      ASSIGN_OR_RETURN(const ControlRecord control, DecodeControl(batch));
      PrintRecord(header.base_offset, header, DescribeControl(control));
      return {};
    }
    ASSIGN_OR_RETURN(RecordReader reader, RecordReader::Open(batch, kBatchBytesMax));
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<RecordView> view, reader.Next());
      if (!view.has_value() || view->offset >= options_.until) return {};
      ASSIGN_OR_RETURN(const pb::MetadataRecord record, ParseRecord(view->value.value_or("")));
      PrintRecord(view->offset, header, DescribeRecord(record, as_json()));
      if (view->offset < position_.version) continue;
      if (options_.image) RETURN_IF_ERROR(replay_.Apply(view->offset, record));
      position_ = {view->offset + 1, header.leader_epoch, header.max_timestamp};
    }
  }

  std::string DescribeControl(const ControlRecord& control) const {
    const auto key = [&](const VoterKey& voter) {
      return QuoteJson(std::to_string(voter.node.value) + "/" + voter.directory.ToString());
    };
    const auto name = [&](const char* text) {
      return as_json() ? QuoteJson(text) + ":" : std::string(text) + ": ";
    };
    if (const auto* change = std::get_if<LeaderChange>(&control))
      return "{" + name("leader_change") + key(change->leader) + "}";
    std::string text;
    if (const auto* set = std::get_if<VoterSet>(&control)) {
      for (const Voter& voter : set->voters) text += (text.empty() ? "" : ",") + key(voter.key);
    }
    return "{" + name("voters") + "[" + text + "]}";
  }

  void PrintRecord(Offset offset, const BatchHeader& header, const std::string& text) {
    if (!options_.records || offset < options_.from) return;
    if (as_json()) {
      out_ << "{\"offset\":" << offset << ",\"term\":" << header.leader_epoch
           << ",\"time_ms\":" << header.max_timestamp << ",\"record\":" << text << "}\n";
      return;
    }
    out_ << "offset=" << offset << " term=" << header.leader_epoch
         << " time=" << header.max_timestamp << " " << text << "\n";
  }

  void PrintImage(const MetadataImage& image) {
    if (as_json()) {
      out_ << "{\"image\":{\"version\":" << image.version << ",\"topics\":" << image.topics.size()
           << ",\"partitions\":" << image.partition_count << ",\"brokers\":" << image.brokers.size()
           << "}}\n";
    } else {
      out_ << "image at offset " << image.version << ": " << image.topics.size() << " topics, "
           << image.partition_count << " partitions, " << image.brokers.size() << " brokers\n";
    }
    const auto printed =
        VisitRows(image, [&](std::string_view, const std::string& bytes) -> Result<void> {
          ASSIGN_OR_RETURN(const pb::MetadataRecord record, ParseRecord(bytes));
          const std::string text = DescribeRecord(record, as_json());
          out_ << (as_json() ? "{\"image_record\":" + text + "}" : "  " + text) << "\n";
          return Result<void>();
        });
    CHECK(printed.ok()) << printed.error();
  }

  FileSystem& files_;
  const std::string metadata_;
  const MetadataDumpOptions& options_;
  std::ostream& out_;
  std::vector<Offset> segments_;
  Replay replay_{nullptr};
  ImagePosition position_;
  std::optional<Offset> walked_to_;
  std::optional<Error> problem_;  // that did not end the dump
  bool ended_ = false;
};

}  // namespace

Result<void> DumpMetadata(FileSystem& files, const std::string& data_dir,
                          const MetadataDumpOptions& options, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto identity, ReadIdentity(files, data_dir));
  if (!identity.has_value())
    return Damaged(data_dir, "it is no node's data directory (it is missing or not formatted)");
  return Dump(files, data_dir, options, out).Run(*identity);
}

}  // namespace gregor
