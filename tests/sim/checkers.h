#ifndef GREGOR_TESTS_SIM_CHECKERS_H_
#define GREGOR_TESTS_SIM_CHECKERS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/record_batch.h"
#include "base/types.h"
#include "storage/log.h"
#include "storage/producer_state.h"

namespace gregor {

// The first thing that went wrong in a run; what follows it is of no interest.
class Verdict {
 public:
  template <typename... Parts>
  void Fail(const Parts&... parts) {
    if (failed()) return;
    std::ostringstream text;
    (text << ... << parts);
    what_ = text.str();
  }
  bool failed() const { return !what_.empty(); }
  const std::string& what() const { return what_; }

 private:
  std::string what_;
};

// How a process ended, and so what of a log has to be there afterwards.
enum class StopKind {
  kClean,      // everything
  kKill,       // what was written: the machine's page cache is still there
  kPowerLoss,  // what was synced
};

// A record as it was appended.
struct KnownRecord {
  int64_t time = 0;
  int32_t key = -1;    // -1: none
  uint64_t value = 0;  // 0: none, a tombstone where the log is compacted
  // The wall clock since it was appended, which may have jumped: its lowest time, and the highest
  // one before the last jump.
  Timestamp clock_min{0};
  Timestamp clock_max{0};
};

// What one log has to be, as those know it who use it: what was appended and promised, against what
// is seen of it at any later time, over crashes and damage. Everything that is checked of a log in
// the simulator is checked here (numbers of reference scenarios in brackets):
//   nothing acknowledged is lost (P1), no (epoch, offset) has two contents (R4), offsets are dense
//   and in order (P7), idempotent producers leave no duplicates and no gaps (T6), ends never move
//   back (R8, P8), what is served is what was appended and below the high watermark (P3, P11),
//   damage is refused and never cut below the synced mark (A4, A5, mutant 32), nothing recovered is
//   served before it is synced (A12), the log start never goes back, marks trail by a group
//   that began after their time; of a compacted log: the last value of a key stays, tombstones for
//   delete.retention.ms, and no older value is served once its successor or its tombstone was not.
// The caller reports what it does before it does it, and what came back after that.
// Thread: the simulation's.
class LogChecker {
 public:
  LogChecker(std::string name, Durability durability, Verdict& verdict);

  // It is compacted: a record may go once a later one has its key, and a tombstone by itself after
  // that time by `now`. Its values and keys are those that TextOf() and KeyOf() make.
  void SetCompacted(int64_t delete_retention_ms, std::function<Timestamp()> now) {
    is_compacted_ = true;
    delete_retention_ms_ = delete_retention_ms;
    now_ = std::move(now);
  }
  void OnClockJump(Timestamp before, Timestamp after);
  // Marks wait so long, by `now`, for a group that takes them along; 0 without this.
  void SetMarksTrail(Duration trail, std::function<MonotonicTime()> now) {
    marks_trail_ = trail;
    marks_now_ = std::move(now);
  }
  static std::string TextOf(uint64_t value) { return std::to_string(value) + "/"; }
  static std::string KeyOf(int32_t key) { return "k" + std::to_string(key); }

  // --- its life
  // `journaled`: the mark that the journal had at the start; null if this is not the first time
  // that the log was opened since then.
  void OnOpened(const LogEnds& ends, const SyncedMark* journaled);
  // Its end comes from a flipped offset, which no checksum covers, in a file of compaction's, where
  // gaps are no wonder, and no mark was left to compare it with. There is nothing to check then.
  bool IsBeyondTelling(const LogEnds& ends) const {
    return is_compacted_ && journal_damaged_ && damaged_batches_ > 0 && ends.log_end > branch_end();
  }
  // The log does not open although nothing stood in the way but what is wrong with its files.
  void OnRefused(const Error& error);
  // The process was killed, and marks are noted at once: its mark will be that of the last sync.
  void OnMarksNoted();
  void OnStopped(StopKind stop);
  // Bytes of its files are wrong now, or were written wrong, in so many batches at most.
  void OnDamaged(uint64_t batches) {
    damaged_ = true;
    damaged_batches_ =
        batches > UINT64_MAX - damaged_batches_ ? UINT64_MAX : damaged_batches_ + batches;
  }
  // A snapshot of its producers is damaged. Nothing else knows of those whose batches are deleted.
  void OnProducersDamaged() { producers_damaged_ = true; }
  // Marks may be missing, because their journal could not be written.
  void OnMarksLost() { marks_lost_ = true; }
  // ... or is damaged: then one from before a truncation may have come back.
  void OnJournalDamaged() { marks_lost_ = journal_damaged_ = true; }

  // --- what was done
  void OnAppended(const BatchHeader& header, std::vector<KnownRecord> records);
  // A truncation begins; and is done.
  void OnTruncate(Offset end);
  void OnReset(Offset start);
  void OnCutDone(const LogEnds& ends);
  void OnDelete(Offset start);
  void OnDeleted(Offset start);
  // After every event.
  void OnEnds(const LogEnds& ends);

  // --- what was seen
  // A read of [from, limit) that began when there had been so many cuts (cut_count()), and so many
  // reads (read_count()).
  void OnRead(Offset from, Offset limit, const LogRead& read, uint64_t cuts,
              uint64_t reads = UINT64_MAX);
  void OnReadFailed(Offset from, const Error& error);
  void OnFoundByTime(Timestamp time, Offset limit, const std::optional<TimedOffset>& found,
                     uint64_t cuts);
  // The producer state says that `header` is there already.
  void OnDuplicate(const BatchHeader& header, const ProducerState::Batch& batch);
  // ... or that it must not be appended now.
  void OnOutOfOrder(const BatchHeader& header, const Error& error);

  // --- what is known
  Offset visible_end() const { return visible_end_; }
  const LogEnds& ends() const { return ends_; }
  // Nothing is known of what a lost mark brings back from before it.
  Offset known_begin() const { return branch_begin_; }
  // Where it begins at most, once the deletions that run are done.
  Offset log_start_max() const { return log_start_max_; }
  bool is_damaged() const { return damaged_; }
  // Where a cut at `end` would be: the beginning of the batch that holds it.
  Offset CutPlace(Offset end) const;
  // Changes with every cut and deletion: answers that were begun before one may be of either state.
  uint64_t cut_count() const { return cuts_; }
  uint64_t read_count() const { return reads_; }
  // Batches that were acknowledged and then lost to damage that nobody can tell from a torn write.
  uint64_t tolerated_losses() const { return tolerated_losses_; }
  // Batches that were appended, and not there after a stop: it had an effect.
  uint64_t lost_appends() const { return lost_appends_; }

 private:
  enum class Cut { kNone, kTruncate, kReset };
  struct Known {
    BatchHeader header;
    std::vector<KnownRecord> records;
    Offset next() const { return header.next_offset(); }
  };

  template <typename... Parts>
  void Fail(const Parts&... parts) {
    verdict_.Fail(name_, ": ", parts...);
  }
  Offset branch_end() const { return branch_.empty() ? branch_begin_ : branch_.back().next(); }
  // Index of the batch that holds `offset`, or the number of batches.
  size_t IndexOf(Offset offset) const;
  bool IsBoundary(Offset offset) const;
  void CheckOpenedEnds(const LogEnds& ends, const SyncedMark* journaled);
  void CheckOrder(const LogEnds& ends);
  void CheckSequence(const BatchHeader& header);
  // `still_promised`: what lies below it stays promised although the cut is not done.
  void BeginCut(Cut cut, Offset to, Offset still_promised);
  void Restart(Offset start);
  void OnSynced(Offset end);
  void JournaledUpTo(Offset end);
  void CutBranch(Offset end);
  void ForgetDeleted(Offset start);
  template <typename Appended>
  LeaderEpoch AppendedEpoch(LeaderEpoch served, Offset offset, const Appended& appended) const;
  void CheckServed(const BatchHeader& served, bool is_current);
  // Of a compacted log: each record of a batch is what was appended there; collects their offsets.
  void CheckRecords(const RecordBatch& batch, std::set<Offset>* seen);
  // ... and those of [from, end) that are not among `seen` were allowed to go.
  void CheckMissing(Offset from, Offset end, const std::set<Offset>& seen);
  bool MayGo(const KnownRecord& tombstone) const;
  // None of them is older than what was missing of its key when the read began.
  void CheckNoneIsBack(const std::set<Offset>& seen, uint64_t reads);
  const KnownRecord* RecordAt(Offset offset) const;
  void CheckLoss(const LogEnds& ends, Offset promised, const SyncedMark* journaled);
  // The last batch of the producer, by place in the log; nullptr if it has none.
  const Known* LastOf(ProducerId id) const;

  const std::string name_;
  const Durability durability_;
  Verdict& verdict_;

  bool open_ = false;
  StopKind stop_ = StopKind::kClean;
  bool is_compacted_ = false;
  int64_t delete_retention_ms_ = 0;
  std::function<Timestamp()> now_;
  bool damaged_ = false;
  uint64_t damaged_batches_ = 0;
  bool marks_lost_ = false;
  bool journal_damaged_ = false;
  bool producers_damaged_ = false;
  uint64_t tolerated_losses_ = 0;
  uint64_t lost_appends_ = 0;
  uint64_t cuts_ = 0;
  uint64_t reads_ = 0;

  // What the log may hold at most: all that was appended and not cut off, deleted or not.
  Offset branch_begin_{0};
  std::vector<Known> branch_;
  // Batches before the branch began, of producers: the log may remember them.
  std::vector<Known> former_;
  // What was ever appended at an (epoch, base offset), and where each epoch ends.
  std::map<std::pair<int32_t, int64_t>, BatchHeader> history_;
  std::map<int32_t, Offset> epoch_ends_;
  std::map<std::pair<int32_t, int64_t>, KnownRecord> records_;  // of a compacted log, by offset

  // Of a compacted log, since it was opened: the last offset of a key that a read missed, and how
  // many reads there had been then.
  struct Gone {
    Offset offset{-1};
    uint64_t reads = 0;
  };
  std::map<int32_t, Gone> gone_;

  LogEnds ends_;  // as last seen
  Offset visible_end_{0};
  Offset kept_by_kill_{0};
  Offset kept_by_power_loss_{0};
  Offset log_start_min_{0};
  Offset log_start_closed_{0};  // at the last clean stop
  Offset marked_{0};            // what the journal knew at the last start
  Offset opened_end_{0};
  Offset log_start_max_{0};
  // What is in the journal for sure, and the syncs after that.
  struct Synced {
    MonotonicTime at;
    Offset end{0};
  };
  Offset journaled_min_{0};
  Offset noted_{0};
  std::deque<Synced> synced_;
  Duration marks_trail_{0};
  std::function<MonotonicTime()> marks_now_;

  Cut cut_ = Cut::kNone;
  Offset cut_to_{0};
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_CHECKERS_H_
