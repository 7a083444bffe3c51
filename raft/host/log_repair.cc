#include "raft/host/log_repair.h"

#include <glog/logging.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "base/check.h"
#include "raft/host/log_rewrite.h"
#include "raft/host/raft_log.h"
#include "storage/group_sync.h"

namespace gregor {
namespace {

constexpr size_t kRangeBytes = 2u << 20;
// What is held in memory while it is fetched.
constexpr size_t kFetchedBytesMax = size_t{1} << 30;
constexpr Duration kRoundPause = std::chrono::milliseconds(500);
constexpr Duration kSayAgain = std::chrono::seconds(10);

// A batch that was fetched and is sound.
struct Fetched {
  BatchHeader header;
  Bytes bytes;
};

// The batches of an answer that follow each other from `from` on.
std::vector<Fetched> SoundBatches(const Bytes& bytes, Offset from, size_t batch_bytes_max) {
  std::vector<Fetched> batches;
  for (size_t at = 0; at < bytes.size();) {
    const auto header = PeekHeader(bytes.Sub(at, bytes.size() - at), batch_bytes_max);
    if (!header.ok() || header->size() > bytes.size() - at || header->base_offset != from) break;
    auto batch = CheckBatch(bytes.Sub(at, header->size()));
    if (!batch.ok()) break;
    at += header->size();
    from = header->next_offset();
    batches.push_back({*header, std::move(batch->bytes)});
  }
  return batches;
}

bool IsSame(const BatchHeader& a, const BatchHeader& b) {
  return a.base_offset == b.base_offset && a.leader_epoch == b.leader_epoch && a.crc == b.crc &&
         a.size() == b.size();
}

class Repair : public std::enable_shared_from_this<Repair> {
 public:
  Repair(LogRepairOptions options, LogInspection found, UniqueFunction<void(Result<void>)> ended)
      : options_(std::move(options)),
        found_(std::move(found)),
        ended_(std::move(ended)),
        fillings_(found_.holes.size()) {}

  void Begin() {
    said_ = last_hope_ = Now();
    LOG(ERROR) << options_.path << ": the metadata log is damaged: " << HolesText(found_)
               << ". This node does not vote until it has them from another one";
    Round();
  }

 private:
  // What is to come into a hole.
  struct Filling {
    Bytes bytes;
    bool is_there = false;
  };
  using Step = void (Repair::*)();

  MonotonicTime Now() const { return options_.loop->clock().Now(); }
  NodeId node() const { return options_.nodes[at_]; }
  std::string LogPath() const { return options_.directory->PathOf(MetadataLogId()); }

  // One after the other is asked: first for exactly what is missing.
  void Round() {
    at_ = 0;
    AskNext();
  }
  void AskNext() {
    if (at_ == options_.nodes.size()) return EndRound();
    hole_ = 0;
    NextHole();
  }
  void EndRound() {
    if (helpless_.size() < options_.nodes.size()) last_hope_ = Now();
    if (Now() - last_hope_ >= options_.give_up_after) return End(Hopeless());
    if (Now() - said_ >= kSayAgain) {
      said_ = Now();
      LOG(ERROR) << options_.path << ": the metadata log is still damaged: " << HolesText(found_)
                 << "; " << options_.nodes.size() - helpless_.size() << " of "
                 << options_.nodes.size() << " other controllers have not answered";
    }
    options_.loop->After(kRoundPause, "repair.round",
                         [self = shared_from_this()] { self->Round(); });
  }
  Error Hopeless() const {
    return Error(Reason::kStorageError,
                 "metadata directory " + options_.path + ": the log is damaged (" +
                     HolesText(found_) +
                     "), and no other controller has what is missing. Restore the directory from "
                     "a backup, or replace this controller by an empty one (docs/operations.md, "
                     "\"A damaged controller\")")
        .With("path", options_.path);
  }
  void End(Result<void> result) {
    options_.transport->SetRangeReader({});
    std::exchange(ended_, {})(std::move(result));
  }

  // --- exactly what is missing ---

  void NextHole() {
    while (hole_ < fillings_.size() && fillings_[hole_].is_there) ++hole_;
    if (hole_ == fillings_.size()) return WriteExact();
    batches_.clear();
    bytes_ = 0;
    if (hole().behind.has_value()) return CheckBehind();
    FetchHole();
  }
  const LogHole& hole() const { return found_.holes[hole_]; }

  // The other node has the same batch behind the hole: so is everything in front of it the same
  // (Raft §5.3). Before and after the hole is read, as the other log may be cut meanwhile.
  void CheckBehind() {
    next_ = hole().end;
    Fetch(&Repair::OnBehind);
  }
  void OnBehind() {
    if (came_.empty() || !IsSame(came_.front().header, *hole().behind)) return NotExact();
    if (!batches_.empty()) return Fill();
    FetchHole();
  }
  void FetchHole() {
    next_ = hole().begin;
    Fetch(&Repair::OnHoleRange);
  }
  void OnHoleRange() {
    if (came_.empty()) return NotExact();
    for (const Fetched& batch : came_) {
      if (next_ == hole().end) break;
      if (batch.header.next_offset() > hole().end) return NotExact();
      batches_.push_back(batch);
      next_ = batch.header.next_offset();
    }
    if (next_ < hole().end) return Fetch(&Repair::OnHoleRange);
    if (hole().behind.has_value()) return CheckBehind();
    Fill();
  }
  void Fill() {
    Filling& filling = fillings_[hole_];
    filling.is_there = true;
    for (const Fetched& batch : batches_) filling.bytes.Append(batch.bytes);
    NextHole();
  }
  // What one node has stays where it is proven; the next one may have the rest.
  void NotExact() {
    ForgetUnproven();
    AskForCommitted();
  }
  void ForgetUnproven() {
    for (size_t i = 0; i < fillings_.size(); ++i) {
      if (!found_.holes[i].behind.has_value()) fillings_[i] = {};
    }
  }

  void WriteExact() {
    const bool has_tail = !found_.holes.empty() && !found_.holes.back().behind.has_value();
    const bool is_provable = found_.mark.has_value() && found_.mark->position > 0;
    if (has_tail && !is_provable) return NotExact();
    LogRewrite rewrite;
    size_t hole = 0;
    const auto fill = [&](Offset until) {
      for (; hole < fillings_.size() && found_.holes[hole].begin < until; ++hole)
        rewrite.pieces.push_back(fillings_[hole].bytes);
    };
    for (const SoundRun& run : found_.runs) {
      fill(run.begin);
      rewrite.pieces.push_back(run);
    }
    fill(Offset{INT64_MAX});
    rewrite.bases = found_.bases;
    if (is_provable) {
      rewrite.expected = found_.mark;
      rewrite.bases.push_back(found_.mark->segment_base);
    }
    rewrite.log_start = found_.mark.value_or(SyncedMark()).log_start;
    Write(std::move(rewrite), false);
  }

  // --- what is committed instead ---

  // Everything in it that was acknowledged by this node is in what others have committed, where
  // that reaches as far, or has a batch of a term that this node has taken nothing of: its leader
  // had all that was committed before (Raft §5.4, leader completeness).
  void AskForCommitted() {
    batches_.clear();
    bytes_ = 0;
    next_ = found_.start;
    Fetch(&Repair::OnCommittedRange);
  }
  void OnCommittedRange() {
    const Offset commit = commit_.value_or(Offset{0});
    const bool is_first = batches_.empty();
    if (is_first && came_.empty() && start_ > next_ && commit > start_ && start_ < FirstHole()) {
      next_ = start_;
      return Fetch(&Repair::OnCommittedRange);
    }
    bool came_some = false;
    for (const Fetched& batch : came_) {
      if (batch.header.next_offset() > commit) break;
      batches_.push_back(batch);
      next_ = batch.header.next_offset();
      came_some = true;
    }
    if (came_some && next_ < commit) return Fetch(&Repair::OnCommittedRange);
    const bool reaches =
        !batches_.empty() &&
        (next_ >= found_.end || batches_.back().header.leader_epoch.value > options_.term.value);
    if (!reaches) return NoHelp();
    if (batches_.front().header.base_offset == found_.start) return WriteCommitted();
    CheckJunction();
  }
  Offset FirstHole() const { return found_.holes.front().begin; }

  // The other log begins later than this one: both have to agree there.
  void CheckJunction() {
    options_.disk->Submit(
        Lane::kBackground, "repair.junction", *options_.loop,
        [files = &options_.disk->files(), path = LogPath(),
         from = batches_.front().header.base_offset,
         max = options_.batch_bytes_max] { return ReadSoundBatches(*files, path, from, 1, max); },
        [self = shared_from_this()](Result<Bytes> own) {
          const BatchHeader& other = self->batches_.front().header;
          const auto header = own.ok() ? PeekHeader(*own, self->options_.batch_bytes_max)
                                       : Result<BatchHeader>(own.error());
          if (header.ok() && IsSame(*header, other)) return self->WriteCommitted();
          self->NoHelp();
        });
  }
  void WriteCommitted() {
    LogRewrite rewrite;
    for (const SoundRun& run : found_.runs) rewrite.pieces.push_back(run);
    rewrite.own_until = batches_.front().header.base_offset;
    std::erase_if(rewrite.pieces, [&](const LogPiece& piece) {
      return std::get<SoundRun>(piece).begin >= rewrite.own_until;
    });
    Bytes bytes;
    for (const Fetched& batch : batches_) bytes.Append(batch.bytes);
    rewrite.pieces.emplace_back(std::move(bytes));
    rewrite.segment_bytes = options_.segment_bytes;
    rewrite.log_start = std::max(found_.start, found_.mark.value_or(SyncedMark()).log_start);
    Write(std::move(rewrite), true);
  }

  void NoHelp() {
    helpless_.insert(node());
    ++at_;
    AskNext();
  }

  // --- fetching and writing ---

  void Fetch(Step next) {
    options_.transport->FetchRange(
        node(), next_, [self = shared_from_this(), next](Result<LogRange> range) {
          self->came_.clear();
          if (!range.ok()) {
            VLOG(1) << "Node " << self->node() << ": " << range.error();
            self->ForgetUnproven();
            ++self->at_;
            return self->AskNext();
          }
          self->bytes_ += range->batches.size();
          if (self->bytes_ <= kFetchedBytesMax)
            self->came_ = SoundBatches(range->batches, self->next_, self->options_.batch_bytes_max);
          self->commit_ = range->commit;
          self->start_ = range->start;
          (self.get()->*next)();
        });
  }

  void Write(LogRewrite rewrite, bool is_new_mark) {
    rewrite.batch_bytes_max = options_.batch_bytes_max;
    const Offset needed = is_new_mark ? Offset{0} : found_.end;
    options_.disk->Submit(
        Lane::kBackground, "repair.write", *options_.loop,
        [files = &options_.disk->files(), from = LogPath(), to = RepairedLogPath(options_.path),
         rewrite = std::move(rewrite), needed]() -> Result<SyncedMark> {
          ASSIGN_OR_RETURN(const SyncedMark mark, WriteLog(*files, from, to, rewrite));
          if (mark.end_offset >= needed) return mark;
          return Error(Reason::kCorruptBatch, "it ends before what is there");
        },
        [self = shared_from_this(), is_new_mark](Result<SyncedMark> written) {
          if (written.ok()) return self->Exchange(*written, is_new_mark);
          if (written.error().reason != Reason::kCorruptBatch) return self->End(written.error());
          VLOG(1) << "Node " << self->node() << ": " << written.error();
          if (is_new_mark) return self->NoHelp();
          self->NotExact();
        });
  }
  void Exchange(const SyncedMark& mark, bool is_new_mark) {
    options_.disk->Submit(
        Lane::kBackground, "repair.exchange", *options_.loop,
        [files = &options_.disk->files(), folder = LogPath(),
         repaired = RepairedLogPath(options_.path),
         aside = options_.path] { return ExchangeLog(*files, folder, repaired, aside); },
        [self = shared_from_this(), mark, is_new_mark](Result<std::string> kept) {
          if (!kept.ok()) return self->End(kept.error());
          LOG(WARNING) << self->options_.path << ": the metadata log is whole again, by node "
                       << self->node() << ": "
                       << (is_new_mark ? "with what is committed, " : "as it was, ")
                       << "up to offset " << mark.end_offset << ". The damaged files are in "
                       << *kept;
          if (!is_new_mark) return self->End({});
          self->SaveMark(mark);
        });
  }
  // A mark rides to the journal with the group after its own.
  void SaveMark(const SyncedMark& mark) {
    GroupSync::Part part;
    part.partition = MetadataLogId();
    part.mark = mark;
    part.replaces = true;
    part.reply = options_.loop;
    part.done = [self = shared_from_this()](Result<void> noted) {
      if (!noted.ok()) return self->End(std::move(noted));
      GroupSync::Part journal;
      journal.partition = MetadataLogId();
      journal.needs_journal = true;
      journal.reply = self->options_.loop;
      journal.done = [self](Result<void> saved) { self->End(std::move(saved)); };
      self->options_.directory->group_sync().Add(std::move(journal));
    };
    options_.directory->group_sync().Add(std::move(part));
  }

  const LogRepairOptions options_;
  const LogInspection found_;
  UniqueFunction<void(Result<void>)> ended_;
  std::vector<Filling> fillings_;  // of each hole
  size_t at_ = 0;                  // who is asked
  size_t hole_ = 0;
  std::set<NodeId> helpless_;  // who has answered, and could not help
  MonotonicTime last_hope_;
  MonotonicTime said_;
  // What is being fetched.
  std::vector<Fetched> batches_;
  std::vector<Fetched> came_;  // with the last answer
  std::optional<Offset> commit_;
  Offset start_{0};
  Offset next_{0};
  size_t bytes_ = 0;
};

}  // namespace

std::string RepairedLogPath(const std::string& metadata_path) {
  return JoinPath(metadata_path, "log-repaired");
}

void RepairLog(LogRepairOptions options, LogInspection found,
               UniqueFunction<void(Result<void>)> ended) {
  CHECK(!found.holes.empty());
  std::make_shared<Repair>(std::move(options), std::move(found), std::move(ended))->Begin();
}

RaftTransport::RangeReader ReadRangesOf(EventLoop& loop, Disk& disk, std::string folder,
                                        size_t batch_bytes_max,
                                        std::function<std::optional<Offset>()> commit) {
  return [&loop, &disk, folder = std::move(folder), batch_bytes_max, commit = std::move(commit)](
             Offset from, LogRangeRead read) {
    // What is committed now is not cut any more, so the files have it at least.
    LogRange range;
    range.commit = commit();
    disk.Submit(
        Lane::kRead, "raft.read_range", loop,
        [files = &disk.files(), folder, from, batch_bytes_max,
         range = std::move(range)]() mutable -> Result<LogRange> {
          ASSIGN_OR_RETURN(const auto segments, ListSegments(*files, folder));
          if (!segments.empty()) range.start = segments.front().name.base;
          ASSIGN_OR_RETURN(range.batches,
                           ReadSoundBatches(*files, folder, from, kRangeBytes, batch_bytes_max));
          return std::move(range);
        },
        std::move(read));
  };
}

std::string HolesText(const LogInspection& found) {
  constexpr size_t kShown = 5;
  std::string text = "offsets";
  for (size_t i = 0; i < std::min(kShown, found.holes.size()); ++i) {
    text += std::string(i == 0 ? " " : ", ") + "[" + std::to_string(found.holes[i].begin.value) +
            ", " + std::to_string(found.holes[i].end.value) + ")";
  }
  if (found.holes.size() > kShown)
    text += " and " + std::to_string(found.holes.size() - kShown) + " more";
  return text + " are missing";
}

}  // namespace gregor
