#include "raft/host/log_rewrite.h"

#include <algorithm>
#include <utility>

#include "storage/log_files.h"
#include "storage/segment_cursor.h"

namespace gregor {
namespace {

constexpr char kDamagedFolder[] = "damaged-";
constexpr char kUnfinished[] = ".tmp";  // behind the name of a folder that is not whole yet

Error NotTheLog(const std::string& what) { return Error(Reason::kCorruptBatch, what); }

// Writes batches behind each other, to one segment after the other.
class Writer {
 public:
  Writer(FileSystem& files, const std::string& folder, const LogRewrite& rewrite)
      : files_(files), folder_(folder), rewrite_(rewrite) {}

  Result<void> Add(const BatchHeader& header, Slice bytes) {
    if (file_ != nullptr && header.base_offset != next_) {
      return NotTheLog("offset " + std::to_string(header.base_offset.value) + " follows " +
                       std::to_string(next_.value));
    }
    if (header.leader_epoch < epoch_)
      return NotTheLog("the term falls at offset " + std::to_string(header.base_offset.value));
    const bool is_full =
        size_ + header.size() > static_cast<uint64_t>(rewrite_.segment_bytes) && size_ > 0;
    const auto& bases = rewrite_.bases;
    const bool begins = std::find(bases.begin(), bases.end(), header.base_offset) != bases.end();
    if (file_ == nullptr || is_full || begins) RETURN_IF_ERROR(Roll(header.base_offset));
    RETURN_IF_ERROR(file_->Write(size_, Bytes(std::move(bytes))));
    size_ += header.size();
    chain_ = ChainCrc(chain_, header);
    next_ = header.next_offset();
    epoch_ = header.leader_epoch;
    const auto& expected = rewrite_.expected;
    if (expected.has_value() && base_ == expected->segment_base && size_ == expected->position)
      is_as_expected_ = chain_ == expected->chain && next_ == expected->end_offset;
    return {};
  }

  Result<SyncedMark> Finish() {
    if (file_ == nullptr) return NotTheLog("it is empty");
    if (rewrite_.expected.has_value() && !is_as_expected_)
      return NotTheLog("its batches are not those that were synced");
    const std::vector<std::string> folders = {folder_, ParentPath(folder_)};
    RETURN_IF_ERROR(files_.SyncAll(written_, folders));
    return SyncedMark{rewrite_.log_start, next_, base_, size_, chain_};
  }

 private:
  Result<void> Roll(Offset base) {
    ASSIGN_OR_RETURN(file_, files_.Open(JoinPath(folder_, SegmentName{base}.FileName(kLogSuffix)),
                                        OpenMode::kCreate));
    written_.push_back(file_);
    base_ = base;
    size_ = 0;
    chain_ = 0;
    return {};
  }

  FileSystem& files_;
  const std::string& folder_;
  const LogRewrite& rewrite_;
  std::vector<FilePtr> written_;
  FilePtr file_;
  Offset base_{0};
  uint64_t size_ = 0;
  uint32_t chain_ = 0;
  Offset next_{0};
  LeaderEpoch epoch_{-1};
  bool is_as_expected_ = false;
};

Result<void> CopyRun(FileSystem& files, const std::string& from, const SoundRun& run,
                     const LogRewrite& rewrite, Writer& writer) {
  ASSIGN_OR_RETURN(const FilePtr file,
                   files.Open(JoinPath(from, run.file.FileName(kLogSuffix)), OpenMode::kRead));
  SegmentCursor cursor(*file, {.position = run.position,
                               .end = run.position + run.size,
                               .next_offset = run.begin,
                               .batch_bytes_max = rewrite.batch_bytes_max});
  while (true) {
    ASSIGN_OR_RETURN(const auto batch, cursor.Next());
    if (!batch.has_value() || batch->header.base_offset >= rewrite.own_until) break;
    const std::string_view bytes(reinterpret_cast<const char*>(batch->bytes.data()),
                                 batch->bytes.size());
    RETURN_IF_ERROR(writer.Add(batch->header, Slice::Copy(bytes)));
  }
  if (cursor.what().empty()) return {};
  return Error(Reason::kStorageError, from + ": " + run.file.FileName(kLogSuffix) +
                                          " was read differently a moment ago: " + cursor.what())
      .With("path", from);
}

Result<void> CopyBytes(const Bytes& bytes, const LogRewrite& rewrite, Writer& writer) {
  for (size_t at = 0; at < bytes.size();) {
    ASSIGN_OR_RETURN(const BatchHeader header,
                     PeekHeader(bytes.Sub(at, bytes.size() - at), rewrite.batch_bytes_max));
    if (header.size() > bytes.size() - at) return NotTheLog("a batch is cut short");
    RETURN_IF_ERROR(writer.Add(header, bytes.Sub(at, header.size()).Flatten()));
    at += header.size();
  }
  return {};
}

}  // namespace

Result<SyncedMark> WriteLog(FileSystem& files, const std::string& from, const std::string& to,
                            const LogRewrite& rewrite) {
  const std::string unfinished = to + kUnfinished;
  RETURN_IF_ERROR(RemoveTree(files, to));
  RETURN_IF_ERROR(RemoveTree(files, unfinished));
  RETURN_IF_ERROR(files.MakeDirectory(unfinished));
  Writer writer(files, unfinished, rewrite);
  for (const LogPiece& piece : rewrite.pieces) {
    if (const auto* const run = std::get_if<SoundRun>(&piece)) {
      RETURN_IF_ERROR(CopyRun(files, from, *run, rewrite, writer));
    } else {
      RETURN_IF_ERROR(CopyBytes(std::get<Bytes>(piece), rewrite, writer));
    }
  }
  ASSIGN_OR_RETURN(const SyncedMark mark, writer.Finish());
  RETURN_IF_ERROR(files.Rename(unfinished, to));
  RETURN_IF_ERROR(files.SyncDirectory(ParentPath(to)));
  return mark;
}

Result<std::string> ExchangeLog(FileSystem& files, const std::string& folder,
                                const std::string& repaired, const std::string& aside) {
  std::string kept;
  for (int number = 1; kept.empty(); ++number) {
    const std::string path = JoinPath(aside, kDamagedFolder + std::to_string(number));
    ASSIGN_OR_RETURN(const bool is_taken, files.Exists(path));
    if (!is_taken) kept = path;
  }
  ASSIGN_OR_RETURN(const bool exists, files.Exists(folder));
  if (exists) {
    RETURN_IF_ERROR(files.Rename(folder, kept));
    RETURN_IF_ERROR(files.SyncDirectory(aside));
    RETURN_IF_ERROR(files.SyncDirectory(ParentPath(folder)));
  }
  RETURN_IF_ERROR(FinishExchange(files, folder, repaired));
  return exists ? kept : std::string("nowhere: the folder was missing");
}

Result<void> FinishExchange(FileSystem& files, const std::string& folder,
                            const std::string& repaired) {
  ASSIGN_OR_RETURN(const bool is_there, files.Exists(folder));
  ASSIGN_OR_RETURN(const bool is_waiting, files.Exists(repaired));
  RETURN_IF_ERROR(RemoveTree(files, repaired + kUnfinished));
  if (!is_waiting) return {};
  // The damaged one has not made room for it: it is repaired anew.
  if (is_there) return RemoveTree(files, repaired);
  RETURN_IF_ERROR(files.Rename(repaired, folder));
  RETURN_IF_ERROR(files.SyncDirectory(ParentPath(repaired)));
  return files.SyncDirectory(ParentPath(folder));
}

}  // namespace gregor
