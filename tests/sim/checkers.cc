#include "tests/sim/checkers.h"

#include <algorithm>

namespace gregor {
namespace {

std::string Describe(const BatchHeader& header) {
  std::ostringstream text;
  text << "[" << header.base_offset << ", " << header.next_offset() << ") of epoch "
       << header.leader_epoch;
  if (header.has_producer()) {
    text << ", producer " << header.producer_id << "/" << header.producer_epoch << " sequence "
         << header.base_sequence;
  }
  return text.str();
}

std::string Describe(const LogEnds& ends) {
  std::ostringstream text;
  text << "start " << ends.log_start << ", synced " << ends.synced_end << ", written "
       << ends.written_end << ", end " << ends.log_end;
  return text.str();
}

// The checksum covers the records, so two batches that agree here are the same.
bool IsSame(const BatchHeader& a, const BatchHeader& b) {
  return a.base_offset == b.base_offset && a.length == b.length &&
         a.leader_epoch == b.leader_epoch && a.crc == b.crc &&
         a.last_offset_delta == b.last_offset_delta;
}

}  // namespace

LogChecker::LogChecker(std::string name, Durability durability, Verdict& verdict)
    : name_(std::move(name)), durability_(durability), verdict_(verdict) {}

size_t LogChecker::IndexOf(Offset offset) const {
  const auto after = std::upper_bound(
      branch_.begin(), branch_.end(), offset,
      [](Offset wanted, const Known& known) { return wanted < known.header.base_offset; });
  if (after == branch_.begin()) return branch_.size();
  const auto found = std::prev(after);
  return offset < found->next() ? static_cast<size_t>(found - branch_.begin()) : branch_.size();
}

bool LogChecker::IsBoundary(Offset offset) const {
  if (offset == branch_end() || offset == branch_begin_) return true;
  const size_t index = IndexOf(offset);
  return index < branch_.size() && branch_[index].header.base_offset == offset;
}

void LogChecker::CheckOrder(const LogEnds& ends) {
  if (ends.log_start > ends.synced_end || ends.synced_end > ends.written_end ||
      ends.written_end > ends.log_end)
    Fail("its ends are out of order: ", Describe(ends));
}

void LogChecker::OnOpened(const LogEnds& ends, const SyncedMark* journaled) {
  CheckOrder(ends);
  if (ends.synced_end != ends.log_end)
    Fail("what was recovered is served before it is synced: ", Describe(ends));
  if (journaled != nullptr) marked_ = journaled->end_offset;
  if (journaled != nullptr && journaled->is_doubtful && !journal_damaged_)
    Fail("its mark is doubted, and nothing is wrong with the journal");
  gone_.clear();
  opened_end_ = ends.log_end;
  if (cut_ == Cut::kReset && ends.log_start == cut_to_ && ends.log_end == cut_to_) {
    Restart(cut_to_);
  } else if (journal_damaged_ && ends.log_start == ends.log_end && !IsBoundary(ends.log_end)) {
    Restart(ends.log_end);  // where an empty log begins only the journal knows
  } else {
    CheckOpenedEnds(ends, journaled);
    if (cut_ == Cut::kReset) ForgetDeleted(std::min(cut_to_, ends.log_start));
  }
  cut_ = Cut::kNone;
  const size_t known = branch_.size();
  CutBranch(ends.log_end);
  lost_appends_ += known - branch_.size();
  ends_ = ends;
  visible_end_ = kept_by_kill_ = kept_by_power_loss_ = ends.log_end;
  log_start_max_ = ends.log_start;
  if (journaled != nullptr) log_start_min_ = ends.log_start;
  // What was recovered gets a mark with the next group.
  if (journaled != nullptr) JournaledUpTo(std::min(journaled->end_offset, ends.log_end));
  ++cuts_;
  open_ = true;
}

void LogChecker::CheckOpenedEnds(const LogEnds& ends, const SyncedMark* journaled) {
  const Offset promised = stop_ == StopKind::kPowerLoss ? kept_by_power_loss_ : kept_by_kill_;
  const Offset marked = journaled != nullptr ? journaled->end_offset : Offset{0};
  if (ends.log_end < marked) {
    Fail("cut below its synced mark ", marked, ": ", Describe(ends));
  } else if (ends.log_end < promised) {
    CheckLoss(ends, promised, journaled);
  }
  if (ends.log_end > branch_end())
    Fail("has more than was appended (", branch_end(), "): ", Describe(ends));
  if (!IsBoundary(ends.log_end)) Fail("ends inside of a batch: ", Describe(ends));
  // Without its mark a log knows by its checkpoint where it began at the last clean stop.
  const Offset closed = damaged_ ? Offset{0} : std::min(log_start_closed_, log_start_min_);
  const Offset start_min = marks_lost_ ? closed : log_start_min_;
  if (ends.log_start < start_min)
    Fail("deleted records are back; it began at ", start_min, ": ", Describe(ends));
  // Of a reset that was under way only the journal knows; any of its files may be gone.
  const bool is_half_reset = cut_ == Cut::kReset && journal_damaged_;
  if (ends.log_start > log_start_max_ && !is_half_reset)
    Fail("records are gone that nobody deleted, from ", log_start_max_, ": ", Describe(ends));
  const bool marks_kept = !marks_lost_ && journaled != nullptr;
  if (marks_kept && marked < journaled_min_)
    Fail("its synced mark is ", marked, ", and ", journaled_min_, " was synced two syncs ago");
  // A machine that lost power after the kill may have lost it.
  if (marks_kept && stop_ == StopKind::kKill && marked < noted_)
    Fail("its synced mark is ", marked, ", and ", noted_, " was noted before the kill");
}

// Damage above the mark looks like a torn write, and costs what lies behind it. Where no mark can
// be believed it costs itself alone, at the end, and without damage nothing is lost.
void LogChecker::CheckLoss(const LogEnds& ends, Offset promised, const SyncedMark* journaled) {
  ++tolerated_losses_;
  if (!damaged_)
    return Fail("acknowledged up to ", promised, ", and now there is: ", Describe(ends));
  if (journaled == nullptr || !journaled->is_doubtful) return;
  const auto is_lost = [&](const Known& known) {
    return known.header.base_offset >= ends.log_end && known.next() <= promised;
  };
  const auto lost = static_cast<uint64_t>(std::count_if(branch_.begin(), branch_.end(), is_lost));
  if (lost > damaged_batches_)
    Fail("its mark was lost, and ", lost, " acknowledged batches were cut off for ",
         damaged_batches_, " damaged ones: ", Describe(ends));
}

// A mark that is lost makes damage of what a power loss tore, and of the absence of segments that
// were deleted; after a clean stop there is neither.
void LogChecker::OnRefused(const Error& error) {
  const bool may_doubt = journal_damaged_ && stop_ != StopKind::kClean;
  if (!damaged_ && !may_doubt) Fail("is refused, and nothing is wrong with it: ", error);
}

void LogChecker::OnClockJump(Timestamp before, Timestamp after) {
  for (Known& known : branch_) {
    for (KnownRecord& record : known.records) {
      record.clock_min = std::min(record.clock_min, after);
      record.clock_max = std::max(record.clock_max, before);
    }
  }
}

void LogChecker::OnMarksNoted() {
  // What was there when it was opened gets its mark with the first group.
  const bool has_synced = ends_.synced_end > opened_end_;
  if (open_ && cut_ == Cut::kNone && has_synced) noted_ = ends_.synced_end;
}

void LogChecker::OnStopped(StopKind stop) {
  // A machine that loses power between two starts of the process loses as much as under it.
  stop_ = open_ ? stop : std::max(stop_, stop);
  if (!std::exchange(open_, false) || stop != StopKind::kClean) return;
  if (ends_.synced_end != ends_.log_end) Fail("was closed with unsynced records");
  kept_by_kill_ = kept_by_power_loss_ = ends_.log_end;
  log_start_closed_ = ends_.log_start;
}

void LogChecker::OnAppended(const BatchHeader& header, std::vector<KnownRecord> records) {
  if (header.base_offset != branch_end())
    Fail("appended ", Describe(header), " behind offset ", branch_end());
  auto [end, is_new] = epoch_ends_.try_emplace(header.leader_epoch.value, header.base_offset);
  if (header.base_offset < end->second)
    Fail("two contents for one (epoch, offset): ", Describe(header), ", and the epoch reached ",
         end->second, " before");
  end->second = std::max(end->second, header.next_offset());
  CheckSequence(header);
  if (now_) {
    for (KnownRecord& record : records) record.clock_min = record.clock_max = now_();
  }
  for (size_t i = 0; is_compacted_ && i < records.size(); ++i)
    records_[{header.leader_epoch.value, header.base_offset.value + static_cast<int64_t>(i)}] =
        records[i];
  branch_.push_back({header, std::move(records)});
  history_[{header.leader_epoch.value, header.base_offset.value}] = header;
}

const LogChecker::Known* LogChecker::LastOf(ProducerId id) const {
  const auto found = std::find_if(branch_.rbegin(), branch_.rend(), [&](const Known& known) {
    return known.header.producer_id == id;
  });
  return found == branch_.rend() ? nullptr : &*found;
}

void LogChecker::CheckSequence(const BatchHeader& header) {
  if (!header.has_producer()) return;
  const Known* last = LastOf(header.producer_id);
  if (last == nullptr) return;
  // Of what was deleted only a snapshot tells, which may be what was damaged.
  if (damaged_ && last->next() <= ends_.log_start) return;
  const BatchHeader& known = last->header;
  if (IsRequestId(header.producer_id)) {
    Fail("a request is in the log twice: ", Describe(header), " and ", Describe(known));
  } else if (header.producer_epoch < known.producer_epoch) {
    Fail("a fenced producer got in: ", Describe(header), " after ", Describe(known));
  } else {
    const bool next_epoch = header.producer_epoch > known.producer_epoch;
    const Sequence expected = next_epoch ? Sequence{0} : Advance(known.last_sequence(), 1);
    if (header.base_sequence != expected)
      Fail("a producer's duplicate or gap: ", Describe(header), " after ", Describe(known));
  }
}

Offset LogChecker::CutPlace(Offset end) const {
  const size_t index = IndexOf(end);
  return index < branch_.size() ? branch_[index].header.base_offset : end;
}

void LogChecker::OnTruncate(Offset end) {
  const Offset kept = CutPlace(end);
  if (kept <= ends_.log_start) return OnReset(ends_.log_start);  // nothing is left
  BeginCut(Cut::kTruncate, kept, kept);
}

void LogChecker::OnReset(Offset start) {
  BeginCut(Cut::kReset, start, Offset{0});
  log_start_min_ = std::min(log_start_min_, start);
  log_start_closed_ = std::min(log_start_closed_, start);
}

void LogChecker::BeginCut(Cut cut, Offset to, Offset still_promised) {
  cut_ = cut;
  cut_to_ = to;
  ++cuts_;
  log_start_closed_ = Offset{0};  // the checkpoint goes first
  for (Offset* promised : {&visible_end_, &kept_by_kill_, &kept_by_power_loss_, &journaled_min_})
    *promised = std::min(*promised, still_promised);
  for (Synced& synced : synced_) synced.end = std::min(synced.end, still_promised);
}

void LogChecker::OnCutDone(const LogEnds& ends) {
  CheckOrder(ends);
  // A deletion that was under way may have taken what the cut would have left.
  if (ends.log_start > cut_to_ && ends.log_start <= log_start_max_) {
    cut_ = Cut::kReset;
    cut_to_ = ends.log_start;
  }
  if (ends.log_end != cut_to_ || ends.synced_end != cut_to_)
    Fail("was cut to ", cut_to_, ", and is now: ", Describe(ends));
  if (cut_ == Cut::kReset) Restart(cut_to_);
  cut_ = Cut::kNone;
  CutBranch(ends.log_end);
  ends_ = ends;
  visible_end_ = kept_by_kill_ = kept_by_power_loss_ = ends.log_end;
  JournaledUpTo(ends.log_end);
  if (ends.log_start < log_start_min_ || ends.log_start > log_start_max_)
    Fail("the cut moved its start, which was in [", log_start_min_, ", ", log_start_max_,
         "]: ", Describe(ends));
  ++cuts_;
}

void LogChecker::OnDelete(Offset start) {
  log_start_max_ = std::max(log_start_max_, start);
  ++cuts_;
}

void LogChecker::OnDeleted(Offset start) {
  const bool ends_are_current = open_ && cut_ == Cut::kNone;
  if (ends_are_current && ends_.log_start < start)
    Fail("begins at ", ends_.log_start, " after a deletion");
  // A reset that is under way may begin anywhere.
  if (cut_ != Cut::kReset) log_start_min_ = std::max(log_start_min_, start);
}

void LogChecker::OnEnds(const LogEnds& ends) {
  if (!open_) return;
  log_start_max_ = std::max(log_start_max_, ends.log_start);
  if (cut_ != Cut::kNone) return;
  CheckOrder(ends);
  if (ends.log_end != branch_end())
    Fail("its end is not that of what was appended, ", branch_end(), ": ", Describe(ends));
  if (ends.log_start < ends_.log_start || ends.synced_end < ends_.synced_end ||
      ends.written_end < ends_.written_end)
    Fail("an end moved back: ", Describe(ends_), "; then ", Describe(ends));
  if (ends.log_start > ends_.log_start) OnDelete(ends.log_start);
  if (ends.synced_end > ends_.synced_end) OnSynced(ends.synced_end);
  ends_ = ends;
  kept_by_kill_ = std::max(kept_by_kill_, ends.written_end);
  kept_by_power_loss_ = std::max(kept_by_power_loss_, ends.synced_end);
  visible_end_ = std::max(visible_end_,
                          durability_ == Durability::kSynced ? ends.synced_end : ends.written_end);
}

// The group that did it began after the sync before it, and took along what had waited by then.
void LogChecker::OnSynced(Offset end) {
  const MonotonicTime now = marks_now_ ? marks_now_() : MonotonicTime();
  if (synced_.size() >= 2) {
    const MonotonicTime begun = synced_[synced_.size() - 2].at;
    while (synced_.size() >= 2 && synced_.front().at + marks_trail_ <= begun) {
      journaled_min_ = synced_.front().end;
      synced_.pop_front();
    }
  }
  synced_.push_back({now, end});
}

void LogChecker::JournaledUpTo(Offset end) {
  journaled_min_ = end;
  noted_ = Offset{0};
  synced_.clear();
}

void LogChecker::Restart(Offset start) {
  for (Known& known : branch_) {
    if (known.header.has_producer() && known.next() <= start) former_.push_back(std::move(known));
  }
  branch_.clear();
  branch_begin_ = start;
  log_start_min_ = log_start_max_ = start;
  log_start_closed_ = std::min(log_start_closed_, start);
  gone_.clear();
}

// A reset that a crash kept from happening may have forgotten the producers of records that are not
// in the log any more: all of them were to go.
void LogChecker::ForgetDeleted(Offset start) {
  const auto kept = std::find_if(branch_.begin(), branch_.end(),
                                 [&](const Known& known) { return known.next() > start; });
  std::move(branch_.begin(), kept, std::back_inserter(former_));
  branch_.erase(branch_.begin(), kept);
  if (branch_begin_ < start)
    branch_begin_ = branch_.empty() ? start : branch_[0].header.base_offset;
}

void LogChecker::CutBranch(Offset end) {
  while (!branch_.empty() && branch_.back().header.base_offset >= end) branch_.pop_back();
}

// The epoch of what was appended at the offset. No checksum covers it, only the synced mark: above
// it, or where the journal was damaged, too, a flipped bit in it goes unseen.
template <typename Appended>
LeaderEpoch LogChecker::AppendedEpoch(LeaderEpoch served, Offset offset,
                                      const Appended& appended) const {
  const bool is_covered = !journal_damaged_ && (offset < marked_ || offset >= opened_end_);
  if (!damaged_ || is_covered || appended.contains({served.value, offset.value})) return served;
  for (int bit = 0; bit < 31; ++bit) {
    const LeaderEpoch other{served.value ^ (1 << bit)};
    if (appended.contains({other.value, offset.value})) return other;
  }
  return served;
}

void LogChecker::CheckServed(const BatchHeader& as_served, bool is_current) {
  BatchHeader served = as_served;
  served.leader_epoch = AppendedEpoch(served.leader_epoch, served.base_offset, history_);
  const auto known = history_.find({served.leader_epoch.value, served.base_offset.value});
  if (known == history_.end() || !IsSame(known->second, served))
    return Fail("served what nobody appended: ", Describe(served));
  // Without its mark a log may begin before what a reset that did not happen was to leave.
  const bool is_forgotten = marks_lost_ && served.base_offset < branch_begin_;
  if (!is_current || is_forgotten) return;
  const size_t index = IndexOf(served.base_offset);
  if (index == branch_.size() || !IsSame(branch_[index].header, served))
    Fail("served what is not in the log: ", Describe(served));
}

void LogChecker::CheckRecords(const RecordBatch& batch, std::set<Offset>* seen) {
  auto reader = RecordReader::Open(batch, 1 << 20);
  if (!reader.ok()) return Fail("served a batch that cannot be read: ", reader.error());
  for (auto record = reader->Next();; record = reader->Next()) {
    if (!record.ok()) return Fail("served a bad record: ", record.error());
    if (!record->has_value()) return;
    const RecordView& view = **record;
    const LeaderEpoch epoch = AppendedEpoch(batch.header.leader_epoch, view.offset, records_);
    const auto known = records_.find({epoch.value, view.offset.value});
    if (known == records_.end()) return Fail("served at ", view.offset, " what nobody appended");
    const KnownRecord& was = known->second;
    const bool same_value = view.value.has_value()
                                ? was.value > 0 && view.value->starts_with(TextOf(was.value))
                                : was.value == 0;
    if (!same_value || view.key != KeyOf(was.key) || view.timestamp.value != was.time)
      return Fail("served at ", view.offset, " another record than was appended");
    seen->insert(view.offset);
  }
}

const KnownRecord* LogChecker::RecordAt(Offset offset) const {
  const size_t index = IndexOf(offset);
  if (index == branch_.size()) return nullptr;
  const Known& known = branch_[index];
  return &known.records[static_cast<size_t>(offset - known.header.base_offset)];
}

// Its horizon is so long after the round that saw it first, which came after it was appended.
bool LogChecker::MayGo(const KnownRecord& tombstone) const {
  const Timestamp latest = std::max(tombstone.clock_max, now_());
  return latest - tombstone.clock_min >= delete_retention_ms_;
}

// What goes of a key goes from the front.
void LogChecker::CheckNoneIsBack(const std::set<Offset>& seen, uint64_t reads) {
  for (const Offset offset : seen) {
    const KnownRecord* record = RecordAt(offset);
    if (record == nullptr || offset < ends_.log_start) continue;
    const auto gone = gone_.find(record->key);
    if (gone == gone_.end() || offset >= gone->second.offset || reads < gone->second.reads)
      continue;
    return Fail("the record at ", offset, " is served, and a later one of its key, at ",
                gone->second.offset, ", was not");
  }
}

void LogChecker::CheckMissing(Offset from, Offset end, const std::set<Offset>& seen) {
  std::map<int32_t, Offset> last;  // by key, of what readers may see
  for (const Known& known : branch_) {
    for (size_t i = 0; i < known.records.size(); ++i) {
      const Offset offset = known.header.base_offset + static_cast<int64_t>(i);
      if (offset < visible_end_) last[known.records[i].key] = offset;
    }
  }
  for (Offset offset = std::max(from, ends_.log_start); offset < end; offset = offset + 1) {
    const KnownRecord* record = RecordAt(offset);
    if (seen.contains(offset) || record == nullptr) continue;
    const bool may_go = last[record->key] > offset || (record->value == 0 && MayGo(*record));
    // The offset of a batch lies outside of its checksum.
    if (!may_go && damaged_batches_ == 0)
      Fail("the last record of a key, at ", offset, ", is not served");
    Gone& gone = gone_[record->key];
    if (offset > gone.offset) gone = {offset, reads_};
  }
}

void LogChecker::OnRead(Offset from, Offset limit, const LogRead& read, uint64_t cuts,
                        uint64_t reads) {
  ++reads_;
  const bool is_current = cuts == cuts_ && cut_ == Cut::kNone;
  if (read.batches.empty()) {
    if (!is_current || from >= limit) return;
    if (!is_compacted_) return Fail("nothing to read at ", from, ", below ", limit);
    return CheckMissing(from, limit, {});
  }
  std::optional<Offset> next;
  std::set<Offset> seen;
  for (size_t at = 0; at < read.batches.size();) {
    const Bytes rest = read.batches.Sub(at, read.batches.size() - at);
    const auto header = PeekHeader(rest, rest.size());
    if (!header.ok()) return Fail("served at ", from, " what is no batch: ", header.error());
    const auto batch = CheckBatch(rest.Sub(0, header->size()));
    if (!batch.ok()) return Fail("served a damaged batch at ", from, ": ", batch.error());
    if (is_compacted_) {
      CheckRecords(*batch, &seen);
    } else {
      CheckServed(*header, is_current);
    }
    if (header->base_offset >= limit) Fail("served ", Describe(*header), " above ", limit);
    const bool begins = next.has_value() || header->base_offset == read.base_offset;
    const bool has_gap = header->base_offset > next.value_or(from);
    const bool repeats =
        next.has_value() ? header->base_offset < *next : header->next_offset() <= from;
    if (!begins || repeats || (has_gap && !is_compacted_))
      Fail("read at ", from, " has a gap before ", Describe(*header));
    next = header->next_offset();
    at += header->size();
  }
  if (read.next_offset != *next) Fail("read at ", from, " goes on at ", read.next_offset);
  if (!is_compacted_ || !is_current) return;
  CheckNoneIsBack(seen, reads);
  CheckMissing(from, *next, seen);
}

void LogChecker::OnReadFailed(Offset from, const Error& error) {
  if (!damaged_) Fail("cannot be read at ", from, ", and nothing is wrong with it: ", error);
}

void LogChecker::OnFoundByTime(Timestamp time, Offset limit,
                               const std::optional<TimedOffset>& found, uint64_t cuts) {
  const bool has_forgotten = marks_lost_ && ends_.log_start < branch_begin_;
  if (cuts != cuts_ || cut_ != Cut::kNone || has_forgotten) return;
  std::optional<Offset> expected;
  for (const Known& known : branch_) {
    for (size_t i = 0; i < known.records.size() && !expected.has_value(); ++i) {
      const Offset offset = known.header.base_offset + static_cast<int64_t>(i);
      if (offset >= ends_.log_start && offset < limit && known.records[i].time >= time.value)
        expected = offset;
    }
  }
  const auto got = found.has_value() ? std::optional(found->offset) : std::nullopt;
  if (got == expected) return;
  Fail("time ", time, " was looked for below ", limit, ": found ", got.value_or(Offset{-1}),
       ", it is ", expected.value_or(Offset{-1}));
}

void LogChecker::OnDuplicate(const BatchHeader& header, const ProducerState::Batch& batch) {
  const size_t index = IndexOf(batch.base_offset);
  const auto is_it = [&](const Known& known) {
    const BatchHeader& other = known.header;
    return other.producer_id == header.producer_id &&
           other.producer_epoch == header.producer_epoch &&
           other.base_sequence == header.base_sequence && other.crc == header.crc &&
           other.base_offset == batch.base_offset && other.last_offset() == batch.last_offset;
  };
  if (index < branch_.size()) {
    const BatchHeader& known = branch_[index].header;
    if (!is_it(branch_[index])) Fail(Describe(header), " is said to be ", Describe(known));
  } else if (std::none_of(former_.begin(), former_.end(), is_it)) {
    Fail(Describe(header), " is said to be at ", batch.base_offset, ", which is not there");
  }
}

void LogChecker::OnOutOfOrder(const BatchHeader& header, const Error& error) {
  const Known* last = LastOf(header.producer_id);
  const bool is_former = std::any_of(former_.begin(), former_.end(), [&](const Known& known) {
    return known.header.producer_id == header.producer_id;
  });
  const bool follows = (last == nullptr && !is_former && header.base_sequence == Sequence{0}) ||
                       (last != nullptr && last->header.producer_epoch == header.producer_epoch &&
                        Advance(last->header.last_sequence(), 1) == header.base_sequence) ||
                       (last != nullptr && last->header.producer_epoch < header.producer_epoch &&
                        header.base_sequence == Sequence{0});
  if (producers_damaged_ && error.reason == Reason::kUnknownProducerId) return;
  if (follows) Fail("a producer is refused in spite of its order: ", Describe(header), ": ", error);
}

}  // namespace gregor
