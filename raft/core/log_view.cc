#include "raft/core/log_view.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core/mutant.h"

namespace gregor::raft {

LogView::LogView(RestoredLog log)
    : start_(log.start),
      end_(log.end),
      durable_(log.end),
      commit_(log.commit),
      term_before_start_(log.term_before_start),
      terms_(std::move(log.terms)),
      voters_(std::move(log.voters)) {
  CHECK(start_ <= commit_ && commit_ <= end_) << start_ << " " << commit_ << " " << end_;
}

std::optional<Term> LogView::TermBefore(Offset offset) const {
  if (offset < start_ || offset > end_) return std::nullopt;
  // The last term that begins before it.
  const auto after = std::partition_point(
      terms_.begin(), terms_.end(), [&](const TermStart& each) { return each.start < offset; });
  if (after != terms_.begin()) return std::prev(after)->term;
  return offset == start_ ? term_before_start_ : std::nullopt;
}

TermEnd LogView::EndOf(Term term) const {
  const auto after = std::partition_point(terms_.begin(), terms_.end(),
                                          [&](const TermStart& each) { return each.term <= term; });
  const Offset end = after == terms_.end() ? end_ : after->start;
  if (after != terms_.begin()) return {std::prev(after)->term, end};
  if (term_before_start_.has_value() && *term_before_start_ <= term)
    return {*term_before_start_, start_};
  return {};
}

bool LogView::IsUpToDate(Term last_term, Offset end) const {
  if (IsMutant(7)) return true;
  if (IsMutant(7, 'b') && end != end_) return end > end_;
  if (last_term != this->last_term()) return last_term > this->last_term();
  return end >= end_;
}

const VotersAt* LogView::VotersBefore(Offset offset) const {
  const auto after = std::partition_point(voters_.begin(), voters_.end(),
                                          [&](const VotersAt& each) { return each.end <= offset; });
  return after == voters_.begin() ? nullptr : &*std::prev(after);
}

bool LogView::MayBeVoter(const VoterKey& key) const {
  return std::any_of(voters_.begin(), voters_.end(),
                     [&](const VotersAt& each) { return each.voters.Has(key); });
}

void LogView::Append(const BatchInfo& batch) {
  CHECK_EQ(batch.base, end_);
  CHECK(batch.next > batch.base && batch.term >= last_term());
  if (terms_.empty() || terms_.back().term < batch.term) terms_.push_back({batch.term, batch.base});
  end_ = batch.next;
  if (batch.voters.has_value()) voters_.push_back({batch.next, *batch.voters});
}

void LogView::Truncate(Offset end) {
  if (IsMutant(10)) commit_ = std::min(commit_, end);
  CHECK(end >= commit_ && end <= end_) << end << " of " << end_ << ", committed " << commit_;
  end_ = end;
  durable_ = std::min(durable_, end);
  ++cuts_under_way_;
  while (!terms_.empty() && terms_.back().start >= end) terms_.pop_back();
  while (!voters_.empty() && voters_.back().end > end) voters_.pop_back();
}

void LogView::OnTruncated() {
  CHECK_GT(cuts_under_way_, 0);
  --cuts_under_way_;
}

void LogView::OnSynced(Offset end) {
  if (cuts_under_way_ > 0) return;
  CHECK_LE(end, end_);
  durable_ = std::max(durable_, end);
}

bool LogView::CommitUpTo(Offset offset) {
  CHECK_LE(offset, end_);
  if (offset <= commit_) return false;
  commit_ = offset;
  // Older sets can come back no more.
  while (voters_.size() > 1 && voters_[1].end <= commit_) voters_.erase(voters_.begin());
  return true;
}

void LogView::TrimBefore(Offset start) {
  if (start <= start_) return;
  CHECK_LE(start, commit_);
  term_before_start_ = TermBefore(start);
  start_ = start;
  while (!terms_.empty() && (terms_.size() == 1 ? end_ : terms_[1].start) <= start_)
    terms_.erase(terms_.begin());
  if (!terms_.empty()) terms_.front().start = std::max(terms_.front().start, start_);
}

void LogView::Reset(const SnapshotId& snapshot, const VoterSet& voters) {
  CHECK(snapshot.end >= commit_) << "a snapshot goes back";
  start_ = end_ = durable_ = commit_ = snapshot.end;
  term_before_start_ = snapshot.term;
  terms_.clear();
  voters_.clear();
  if (!voters.voters.empty()) voters_.push_back({snapshot.end, voters});
}

}  // namespace gregor::raft
