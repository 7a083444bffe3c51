// The part of RaftLog that runs the algorithm.
#include "raft/host/raft_log_impl.h"

#include <utility>

#include "raft/host/control_records.h"
#include "storage/group_sync.h"

namespace gregor {
namespace {

constexpr Duration kMarkTrails = std::chrono::milliseconds(20);

}  // namespace

void RaftLog::Step(Input input) {
  if (core_ == nullptr || !is_running()) return;
  inputs_.push_back(std::move(input));
  if (stepping_) return;
  stepping_ = true;
  const auto alive = alive_;
  while (!inputs_.empty() && is_running()) {
    Input next = std::move(inputs_.front());
    inputs_.pop_front();
    next(Now());
    Carry(core_->TakeEffects());
    if (!*alive) return;
    if (metrics_ != nullptr && is_running()) metrics_->OnStep(*core_, Now());
  }
  stepping_ = false;
  if (is_running()) ArmTimer();
}

// In the order that Effects asks for.
void RaftLog::Carry(raft::Effects effects) {
  if (effects.failure.has_value()) {
    return Fail(Error(Reason::kStorageError, options_.path + ": " + *effects.failure));
  }
  if (effects.save.has_value()) SaveHard(*effects.save);
  if (effects.truncate_to.has_value()) store_->TruncateTo(*effects.truncate_to);
  AppendAll(std::move(effects.append));
  if (!is_running()) return;
  for (raft::Message& message : effects.send) {
    if (options_.transport != nullptr) options_.transport->Send(std::move(message));
  }
  for (const raft::ReadLog& request : effects.read_log) ReadSoon(request);
  if (effects.fetch_snapshot.has_value())
    listener_->OnSnapshotOffered(core_->leader().node, *effects.fetch_snapshot);
  if (!is_running()) return;
  if (effects.voters.has_value()) OnVoters(*effects.voters);
  // A leadership that is lost is told before what others committed.
  TellLeader();
  if (effects.commit.has_value() && is_running()) delivery_->UpTo(*effects.commit);
  TellLeader();
  AnswerChange();
  AnswerTransfer(effects.transfer_failed);
  AnswerReads(effects.reads);
  for (const raft::Forgetful& lost : effects.forgetful) {
    LOG(ERROR) << "Node " << lost.voter.node << " has lost the metadata's offsets [" << lost.from
               << ", " << lost.until << "), which it had acknowledged; it is sent them again. Look "
               << "after its disk: a majority of such nodes loses what was acknowledged";
  }
}

void RaftLog::SaveHard(const raft::HardState& hard) {
  votes_->Save({options_.cluster_id, options_.raft.self, hard.term, hard.voted_for});
}

void RaftLog::OnSaved(Result<void> saved) {
  if (!is_running()) return;
  // The log has the term, too, and nobody else votes or follows: a full disk is no reason to stay
  // away. Only a first vote has to be there: without any, the next start is refused.
  const bool is_alone = options_.transport == nullptr;
  const bool is_full = !saved.ok() && IsShortage(saved.error()) && is_alone && vote_.has_value();
  LOG_IF(WARNING, is_full) << "The vote of this term is not saved: " << saved.error();
  if (!saved.ok() && !is_full) return Fail(saved.error());
  Step([this](MonotonicTime now) { core_->OnSaved(now); });
}

void RaftLog::AppendAll(std::vector<raft::AppendBatch> batches) {
  const Timestamp now = options_.loop->clock().WallNow();
  for (raft::AppendBatch& append : batches) {
    RecordBatch batch;
    if (append.record.has_value()) {
      std::visit([&](auto& record) { batch = EncodeControl(std::move(record), now); },
                 *append.record);
      StampBatch(batch, append.info.base, LeaderEpoch{append.info.term.value},
                 TimestampType::kCreateTime, now);
    } else {
      // Checked when it came.
      const auto header = PeekHeader(append.bytes, options_.batch_bytes_max);
      CHECK(header.ok()) << header.error();
      batch = {*header, std::move(append.bytes)};
    }
    const auto appended = store_->Append(std::move(batch));
    if (!appended.ok()) return Fail(appended.error());
  }
}

// Behind what waits for the loop already, so that all that is appended there goes in one message.
void RaftLog::ReadSoon(const raft::ReadLog& request) {
  reads_due_.push_back(request);
  if (reads_due_.size() > 1) return;
  options_.loop->Post("raft.send", [this, alive = alive_] {
    if (!*alive) return;
    for (const raft::ReadLog& due : std::exchange(reads_due_, {})) {
      const auto limit = is_running() ? core_->ReadLimit(due) : std::nullopt;
      if (limit.has_value()) ReadFor(due, *limit);
    }
  });
}

void RaftLog::ReadFor(const raft::ReadLog& request, Offset limit) {
  store_->ReadFrom(
      request.from, limit, request.bytes_max,
      [this, alive = alive_, request](Result<LogStore::Read> read) {
        if (!*alive || !is_running()) return;
        // Trimmed meanwhile: the algorithm finds that there is nothing to send.
        const bool is_trimmed = !read.ok() && read.error().reason == Reason::kOffsetOutOfRange;
        if (is_trimmed) read = LogStore::Read();
        if (!read.ok()) return Fail(read.error());
        Step([this, request, read = std::move(*read)](MonotonicTime) mutable {
          auto message = core_->OnLogRead(request, std::move(read.batches), std::move(read.bytes));
          if (message.has_value() && options_.transport != nullptr)
            options_.transport->Send(*std::move(message));
        });
      });
}

// This node leads for its users once everything before its term was delivered (Raft §5.4.2 lets
// nothing be committed earlier).
void RaftLog::TellLeader() {
  if (!is_running()) return;
  const raft::Leader& leader = core_->leader();
  QuorumLeader now{leader.node, leader.term};
  if (const auto* const leadership = core_->leadership()) {
    // What is delivered again takes nothing back.
    const bool is_told = told_.leader == leader.node && told_.term == leader.term;
    const bool is_ready = is_told || delivery_->delivered() > leadership->term_start();
    if (!is_ready || !leadership->is_established()) now.leader = NodeId{-1};
  }
  if (now.leader == told_.leader && (now.term == told_.term || now.leader.value < 0)) return;
  told_ = now;
  listener_->OnLeader(now);
}

// What is damaged above the mark is taken for a torn write: so the mark must not trail for long
// when no further group takes it along.
void RaftLog::SaveMarkSoon() {
  const Offset synced = store_->log().ends().synced_end;
  if (mark_is_due_ || synced == marked_) return;
  mark_is_due_ = true;
  options_.loop->After(kMarkTrails, "raft.mark", [this, alive = alive_] {
    if (!*alive) return;
    mark_is_due_ = false;
    if (!is_running()) return;
    marked_ = store_->log().ends().synced_end;
    GroupSync::Part part;
    part.partition = MetadataLogId();
    part.needs_journal = true;
    part.reply = options_.loop;
    part.done = [](Result<void>) {};  // the directory says what failed
    directory_->group_sync().Add(std::move(part));
  });
}

void RaftLog::OnLogProgress() {
  SaveMarkSoon();
  const auto end = store_->SyncedEnd();
  if (!end.has_value()) return;
  Step([this, end = *end](MonotonicTime now) { core_->OnLogSynced(now, end); });
}

void RaftLog::OnMessage(raft::Message message) {
  if (!is_running()) return;
  if (auto* const append = std::get_if<raft::AppendRequest>(&message.body)) {
    auto batches = DescribeBatches(append->bytes, options_.batch_bytes_max);
    if (!batches.ok()) {
      LOG_EVERY_T(ERROR, 1) << "Batches of the metadata log came damaged from node "
                            << message.from.node << ": " << batches.error();
      return;
    }
    append->batches = *std::move(batches);
  }
  Step([this, message = std::move(message)](MonotonicTime now) mutable {
    core_->Receive(now, std::move(message));
  });
}

void RaftLog::OnConnected(NodeId node) {
  Step([this, node](MonotonicTime now) { core_->OnConnected(now, node); });
  if (listener_ != nullptr) listener_->OnConnection(node, true);
}

void RaftLog::OnDisconnected(NodeId node) {
  Step([this, node](MonotonicTime now) { core_->OnDisconnected(now, node); });
  if (listener_ != nullptr) listener_->OnConnection(node, false);
}

void RaftLog::ArmTimer() {
  const MonotonicTime due = core_->next_tick();
  if (due == MonotonicTime::max() || (timer_due_.has_value() && *timer_due_ <= due)) return;
  if (timer_due_.has_value()) options_.loop->Cancel(timer_);
  timer_due_ = due;
  timer_ = options_.loop->After(std::max(Duration(0), Duration(due - Now())), "raft.tick",
                                [this, alive = alive_] {
                                  if (*alive) OnTimer();
                                });
}

void RaftLog::OnTimer() {
  timer_due_.reset();
  if (!is_running()) return;
  if (metrics_ != nullptr) metrics_->OnTick(*core_);
  if (Now() < core_->next_tick()) return ArmTimer();
  Step([this](MonotonicTime now) { core_->Tick(now); });
}

void RaftLog::Fail(const Error& error) {
  if (failed_) return;
  failed_ = true;
  told_ = {};
  if (core_ != nullptr) core_->Stop();
  if (metrics_ != nullptr) metrics_->OnEnd();
  FailVoters(Error(error).With("outcome", "UNKNOWN"));
  if (listener_ != nullptr) listener_->OnFailure(error);
}

}  // namespace gregor
