// The known bugs, and which of those in the product's code is switched in.
#include "raft/core/mutant.h"
#include "tests/sim/mutants.h"

namespace gregor {
namespace {

constexpr MutantInfo kMutants[] = {
    {Mutant::kAckBeforeSync, "ack-before-sync", "storage"},
    {Mutant::kFolderNotSynced, "folder-not-synced", "storage"},
    {Mutant::kMarkBeforeSync, "mark-before-sync", "storage"},
    {Mutant::kMarksNotSynced, "marks-not-synced", "storage"},
    {Mutant::kFailedSyncRepeated, "failed-sync-repeated", "storage", 31},
    {Mutant::kWriteErrorIgnored, "write-error-ignored", "storage"},
    {Mutant::kCutBelowMark, "cut-below-mark", "storage", 32},
    {Mutant::kServedUnsynced, "served-unsynced", "storage", 33},
    {Mutant::kStaleAccepted, "stale-accepted", "storage", 34},
    {Mutant::kCutNotSynced, "cut-not-synced", "storage"},
    {Mutant::kDeletionNotJournaled, "deletion-not-journaled", "storage"},
    {Mutant::kCompactedNotSynced, "compacted-not-synced", "storage"},
    {Mutant::kTombstonesDropped, "tombstones-dropped", "storage"},
    {Mutant::kOldValueKept, "old-value-kept", "storage"},
    {Mutant::kMarksLost, "marks-lost", "storage"},
    {Mutant::kGivenUpWhenFull, "given-up-when-full", "storage"},
    {Mutant::kDamageServed, "damage-served", "storage"},
    {Mutant::kEpochKept, "epoch-kept", "storage", 4},
    {Mutant::kProducersForgotten, "producers-forgotten", "storage", 35},
    {Mutant::kAckBeforeSync, "ack-before-sync", "broker"},
    {Mutant::kCutBelowMark, "cut-below-mark", "broker", 32},
    {Mutant::kServedUnsynced, "served-unsynced", "broker", 33},
    {Mutant::kLeaderEpochKept, "leader-epoch-kept", "broker", 4},
    {Mutant::kMetadataNotSynced, "metadata-not-synced", "broker", 18},
    {Mutant::kFilesReused, "files-reused", "broker", 40},
    {Mutant::kEarlierTermCommitted, "earlier-term-committed", "raft", 1, 'a'},
    {Mutant::kVoteNotSaved, "vote-not-saved", "raft", 2, 'a'},
    {Mutant::kVoteForgotten, "vote-forgotten", "raft", 3, 'a'},
    {Mutant::kLedOnAfterRestart, "led-on-after-restart", "raft", 4, 'a'},
    {Mutant::kOwnLogCounted, "own-log-counted", "raft", 5, 'a'},
    {Mutant::kAcknowledgedEarly, "acknowledged-early", "raft", 6, 'a'},
    {Mutant::kLogsNotCompared, "logs-not-compared", "raft", 7, 'a'},
    {Mutant::kEndsComparedFirst, "ends-compared-first", "raft", 7, 'b'},
    {Mutant::kHalfIsMajority, "half-is-majority", "raft", 8, 'a'},
    {Mutant::kRemovedLeaderCounted, "removed-leader-counted", "raft", 8, 'b'},
    {Mutant::kOlderLeaderBelieved, "older-leader-believed", "raft", 9, 'a'},
    {Mutant::kSentAfterLeadership, "sent-after-leadership", "raft", 9, 'b'},
    {Mutant::kCommittedCut, "committed-cut", "raft", 10, 'a'},
    {Mutant::kRefusalIsMatch, "refusal-is-match", "raft", 11, 'a'},
    {Mutant::kTwoVoterChanges, "two-voter-changes", "raft", 12, 'a'},
    {Mutant::kVotersOnCommit, "voters-on-commit", "raft", 12, 'b'},
    {Mutant::kVotersBeforeTerm, "voters-before-term", "raft", 12, 'c'},
    {Mutant::kDirectoryIgnored, "directory-ignored", "raft", 13, 'a'},
    {Mutant::kNoCheckQuorum, "no-check-quorum", "raft", 14, 'a'},
    {Mutant::kNoPreVote, "no-pre-vote", "raft", 14, 'b'},
    {Mutant::kSnapshotMisplaced, "snapshot-misplaced", "raft", 15, 'a'},
    {Mutant::kTrimmedTooEarly, "trimmed-too-early", "raft", 16, 'a'},
    {Mutant::kEarlierTermCommitted, "earlier-term-committed", "quorum", 1, 'a'},
    {Mutant::kVoteNotSaved, "vote-not-saved", "quorum", 2, 'a'},
    {Mutant::kVoteForgotten, "vote-forgotten", "quorum", 3, 'a'},
    {Mutant::kLedOnAfterRestart, "led-on-after-restart", "quorum", 4, 'a'},
    {Mutant::kOwnLogCounted, "own-log-counted", "quorum", 5, 'a'},
    {Mutant::kAcknowledgedEarly, "acknowledged-early", "quorum", 6, 'a'},
    {Mutant::kLogsNotCompared, "logs-not-compared", "quorum", 7, 'a'},
    {Mutant::kEndsComparedFirst, "ends-compared-first", "quorum", 7, 'b'},
    {Mutant::kHalfIsMajority, "half-is-majority", "quorum", 8, 'a'},
    {Mutant::kRemovedLeaderCounted, "removed-leader-counted", "quorum", 8, 'b'},
    {Mutant::kOlderLeaderBelieved, "older-leader-believed", "quorum", 9, 'a'},
    {Mutant::kSentAfterLeadership, "sent-after-leadership", "quorum", 9, 'b'},
    {Mutant::kCommittedCut, "committed-cut", "quorum", 10, 'a'},
    {Mutant::kRefusalIsMatch, "refusal-is-match", "quorum", 11, 'a'},
    {Mutant::kTwoVoterChanges, "two-voter-changes", "quorum", 12, 'a'},
    {Mutant::kVotersOnCommit, "voters-on-commit", "quorum", 12, 'b'},
    {Mutant::kDirectoryIgnored, "directory-ignored", "quorum", 13, 'a'},
    {Mutant::kNoCheckQuorum, "no-check-quorum", "quorum", 14, 'a'},
    {Mutant::kNoPreVote, "no-pre-vote", "quorum", 14, 'b'},
    {Mutant::kSnapshotMisplaced, "snapshot-misplaced", "quorum", 15, 'a'},
    {Mutant::kTrimmedTooEarly, "trimmed-too-early", "quorum", 16, 'a'},
    {Mutant::kVoteNameNotSynced, "vote-name-not-synced", "quorum", 2, 'b'},
    {Mutant::kRenamedUnsynced, "renamed-unsynced", "quorum", 16, 'b'},
    {Mutant::kSnapshotMisplaced, "snapshot-misplaced", "controllers", 15, 'a'},
    {Mutant::kTrimmedTooEarly, "trimmed-too-early", "controllers", 16, 'a'},
    {Mutant::kRenamedUnsynced, "renamed-unsynced", "controllers", 16, 'b'},
    {Mutant::kStoreNotAwaited, "store-not-awaited", "controllers", 16, 'c'},
    {Mutant::kFooterIgnored, "footer-ignored", "controllers", 17, 'a'},
    {Mutant::kAnsweredEarly, "answered-early", "controllers", 18, 'a'},
    {Mutant::kTransactionShown, "transaction-shown", "controllers", 18, 'b'},
    {Mutant::kSpeculationKept, "speculation-kept", "controllers", 19, 'a'},
    {Mutant::kTransactionShown, "transaction-shown", "cluster", 18, 'b'},
    {Mutant::kSpeculationShown, "speculation-shown", "cluster", 18, 'c'},
    {Mutant::kSessionsNotRenewed, "sessions-not-renewed", "cluster", 20, 'a'},
    {Mutant::kDifferenceIgnored, "difference-ignored", "controllers", 21, 'b'},
    {Mutant::kEarlierLifeInSync, "earlier-life-in-sync", "cluster", 21, 'a'},
    {Mutant::kFencedInSync, "fenced-in-sync", "cluster", 22, 'a'},
    {Mutant::kLostInSync, "lost-in-sync", "cluster", 24, 'b'},
};

// 0: none.
int active_number = 0;
char active_variant = 'a';

// Those that are switches in the product's code (raft/core/mutant.h).
bool IsSwitch(Mutant mutant) { return mutant >= Mutant::kEarlierTermCommitted; }

std::vector<MutantInfo> MakeMutants() {
  std::vector<MutantInfo> mutants(std::begin(kMutants), std::end(kMutants));
#ifndef GREGOR_MUTANTS
  mutants.clear();
#endif
  return mutants;
}

}  // namespace

const std::vector<MutantInfo>& AllMutants() {
  static const std::vector<MutantInfo> mutants = MakeMutants();
  return mutants;
}

std::string_view NameOf(Mutant mutant) {
  for (const MutantInfo& info : AllMutants()) {
    if (info.mutant == mutant) return info.name;
  }
  return "none";
}

void ActivateMutant(Mutant mutant) {
  active_number = 0;
  if (!IsSwitch(mutant)) return;
  for (const MutantInfo& info : AllMutants()) {
    if (info.mutant != mutant) continue;
    active_number = info.number;
    active_variant = info.variant;
  }
}

#ifdef GREGOR_MUTANTS
bool raft::IsMutant(int number, char variant) {
  return active_number == number && active_variant == variant;
}
#endif

}  // namespace gregor
