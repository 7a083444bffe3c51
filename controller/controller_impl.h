#ifndef GREGOR_CONTROLLER_CONTROLLER_IMPL_H_
#define GREGOR_CONTROLLER_CONTROLLER_IMPL_H_

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_annotations.h"
#include "controller/commit_queue.h"
#include "controller/controller.h"
#include "controller/format.h"
#include "controller/image/log_replay.h"
#include "controller/image_keeper.h"
#include "controller/operation_turns.h"
#include "controller/operations.h"
#include "raft/host/metadata_log.h"

namespace gregor {

// Controller as it is. Members without a note belong to the loop.
class ControllerImpl final : public Controller, private MetadataLog::Listener {
 public:
  explicit ControllerImpl(Options options);
  ~ControllerImpl() override;

  // `self` is this object; it goes to `opened`, or away. Thread: the loop.
  void Start(std::unique_ptr<ControllerImpl> self, Opened opened);

  void Execute(MetadataOperation operation, const OperationContext& context,
               OperationDone done) override;

  ImagePtr image() const override { return std::atomic_load(&image_); }
  std::shared_ptr<void> Watch(UniqueFunction<void(const MetadataDelta&)> observer) override;
  QuorumLeader leader() const override { return leader_.load(); }
  std::optional<Error> failure() const override;
  QuorumStatus quorum() const override;
  void DescribeQuorum(Done<QuorumStatus> done) override;
  void AddVoter(Voter voter, MetadataLog::Changed changed) override;
  void RemoveVoter(VoterKey voter, MetadataLog::Changed changed) override;
  void Transfer(std::optional<NodeId> to, Done<NodeId> done) override;
  void Close(UniqueFunction<void(Result<void>)> done) override;

 private:
  struct Observer {
    UniqueFunction<void(const MetadataDelta&)> call;
  };
  // What is on the disk beside log and image.
  struct Found {
    NodeIdentity identity;
    std::vector<std::string> first_records;  // of bootstrap; none: the file is not there
  };
  static Error Refused(const std::string& data_dir, const std::string& what);
  static Result<Found> FindFiles(FileSystem& files, const std::string& data_dir, NodeId node_id);

  // The steps of opening, one after the other.
  void OpenLog(Found found);
  void LoadImage();
  Result<bool> FitsLog(const ImagePosition& position) const;
  Result<void> FollowLog(ImagePtr loaded);
  Result<void> AppendFirstRecords();
  void EndLeading(const Error& error);
  void EndFollowing();
  void RemoveBootstrap();
  // Applies what is committed where this node does not lead, and publishes what counts of it.
  void TakeCommitted(CommittedRecords batch);
  // Applies it to what PublishFollowed() will show.
  Result<void> Follow(const CommittedRecords& batch);
  // Unless a transaction is open.
  void PublishFollowed();
  // The same of what was committed while this node led, and did not count yet.
  Result<void> FollowLed();
  void EndOpening(const Result<void>& result);

  // MetadataLog::Listener
  void OnCommitted(std::vector<CommittedRecords> batches) override;
  void OnLeader(const QuorumLeader& leader) override;
  void Lead(Term term);
  void LogLeader(const QuorumLeader& leader) const;
  void OnConnection(NodeId node, bool is_there) override;
  void OnSnapshotOffered(NodeId leader, const raft::SnapshotId& snapshot) override;
  void OnFailure(const Error& error) override;

  // --- controller_snapshots.cc
  void OnFetched(Result<TravellingSnapshot> fetched);
  // Reads a snapshot that came. `checked` only while this node runs.
  void CheckFetched(TravellingSnapshot fetched,
                    UniqueFunction<void(Result<DecodedSnapshot>)> checked);
  void InstallSnapshot(DecodedSnapshot snapshot, const raft::SnapshotId& id,
                       std::optional<raft::VotersAt> voters);
  // For SnapshotSource::SetReader().
  void ReadSnapshot(const SnapshotWish& wish, SnapshotSource::Opened opened);
  void ServeSnapshot(Offset end_min, Result<ImageKeeper::OpenSnapshot> found,
                     SnapshotSource::Opened opened);
  void EndInstall(const Result<void>& result);

  // --- controller_operations.cc
  // Nobody waits for the answer after `deadline`.
  void Take(const MetadataOperation& operation, MonotonicTime deadline, OperationDone done);
  std::optional<Error> WhyNotNow(MonotonicTime deadline) const;
  Error TooManyWait() const;
  // Writes what was planned by the operation `name`, and answers when it is committed.
  void Settle(const char* name, Result<Planned> plan, bool validate_only, OperationDone done);
  // Fences brokers that are not heard of any more; again and again while this node leads.
  void WatchBrokers();
  void FenceSilent();

  // --- controller_records.cc
  // What was appended: `base` is the offset of the first record, and the delta's image the new one.
  struct Appended {
    Offset base{0};
    MetadataDelta delta;
  };
  // Applies `records` to the speculative image and appends them, as a transaction where they are
  // too much for one batch. Where it fails nothing of them will ever count.
  Result<Appended> Append(const char* name, const std::vector<pb::MetadataRecord>& records);
  // The batches that write `records`: several are a transaction. Fails where one would be too
  // large, and where a record could not be read again.
  Result<std::vector<std::vector<std::string>>> MakeBatches(
      const char* name, const std::vector<pb::MetadataRecord>& records) const;
  Result<AppendedRecords> AppendBatches(std::vector<std::vector<std::string>> batches);
  MetadataDelta Replayed(const std::vector<pb::MetadataRecord>& records) const;
  // Where the log ends inside of a transaction nobody will write its end any more: ends it by an
  // abort. Nothing else may be appended before that.
  Result<void> AbortTransaction();
  void CountTransactions(const char* outcome, uint64_t count);

  // --- controller_elections.cc
  // What happens by the clock while this node leads.
  struct Periodic {
    MonotonicTime last;
    std::optional<TimerId> timer;
  };
  void WatchLeaders();
  void BalanceLeaders();
  void ElectUncleanly();
  Duration TimeLeft(const Periodic& periodic, Duration interval) const;
  void Elect(Periodic& periodic, std::vector<pb::MetadataRecord> records);
  TimerId LookAgain(Duration left, const char* name, void (ControllerImpl::*look)());

  void AnswerWhenCommitted(Offset end, std::optional<MetadataDelta> delta,
                           CommitQueue::Answer answer);
  void AnswerCommitted(Offset committed);
  void Publish(const MetadataDelta& delta, size_t record_bytes);
  void Resign(const Error& error);
  Result<void> CheckVoterLevel(NodeId node) const;
  // nullptr: before and after its life.
  MetadataLog* UsableLog() const { return closing_ || failure() ? nullptr : log_.get(); }

  // --- controller_state.cc
  // Writes the state's hash, again and again while this node leads.
  void WatchHash();
  void WriteHashAfter(Duration delay);
  void WriteHash();
  void OnHashCheck(const StateHashCheck& check);
  void OnDamagedImage(const ImagePtr& image, uint64_t actual);
  void HandOverDamaged();
  // What is of this node's own up to `right_until` is believed, for the time being.
  // `behind` says why what is served cannot follow meanwhile, where it cannot.
  void HealFromOwn(Offset right_until, std::optional<Error> behind = std::nullopt);
  void HealFromLeader();
  void FetchState();
  void OnState(Result<DecodedSnapshot> snapshot);
  void FetchStateLater();
  void ReplayFrom(ImagePtr base);
  void ReplayAgain(const CommittedRecords& batch);
  void EndHealing();
  void GiveUpHealing();
  void DropHealing();
  // What is committed contradicts this node's state, which does not follow any more.
  void OnContradiction(const Error& error);
  // Elected while its state is made again.
  void LeadOnceHealed(Term term);
  void HandOverUnhealed(Term term);
  void LeadSoon();
  bool IsHealing(uint64_t number) const {
    return healing_.has_value() && healing_->number == number;
  }
  void ExportState();

  // Applies a batch of the log.
  Result<void> Apply(const CommittedRecords& batch, LogReplay& replay) const;
  void ExportSnapshots();
  void NoteSnapshot(Offset end, uint64_t size_bytes);
  void CloseNow(UniqueFunction<void(Result<void>)> done);

  Options options_;
  std::optional<Found> found_;
  std::unique_ptr<ControllerImpl> self_;  // while it is opened
  Opened opened_;
  std::unique_ptr<ImageKeeper> keeper_;
  std::unique_ptr<MetadataLog> log_;

  // Of the newest snapshot; any thread.
  struct SnapshotNumbers {
    std::atomic<int64_t> end{0};
    std::atomic<int64_t> timestamp{-1};  // when it was written, or found
    std::atomic<int64_t> bytes{0};
  };
  const std::shared_ptr<SnapshotNumbers> snapshot_ = std::make_shared<SnapshotNumbers>();

  // Of the state, by its hash; any thread.
  struct StateNumbers {
    std::atomic<uint64_t> hash{0};
    std::atomic<int64_t> bytes{0};
    std::atomic<int64_t> checked{0};  // after the last record that was compared
    std::atomic<int64_t> mismatches{0};
    std::atomic<bool> differs{false};
  };
  const std::shared_ptr<StateNumbers> state_ = std::make_shared<StateNumbers>();
  // A state that is made again, as this node's is wrong.
  struct Healing {
    enum class From { kOwn, kLeader };  // snapshot and log; the leader's snapshot, and the log
    From from = From::kOwn;
    uint64_t number = 0;              // of all
    ImagePtr image;                   // as far as it is made; nullptr: its beginning is awaited
    std::optional<LogReplay> replay;  // of what came behind `image`, while that is in a transaction
    std::optional<bool> agrees;       // with the last record that it was compared with
    std::optional<Error> behind;      // why what is served could not follow meanwhile
    int hand_overs = 0;               // that were tried, as it was elected
    int useless_count = 0;            // snapshots that were fetched, and could not be read
    Term from_term{-1};               // of the leader whose snapshot it begins with
  };
  std::optional<Healing> healing_;
  uint64_t healings_ = 0;
  // Term of the leader whose snapshot the last one began with, if no record has agreed since: it is
  // not asked again. -1: none.
  Term healed_in_{-1};
  Offset hashed_{0};  // after the last hash that this leader wrote
  std::optional<TimerId> hash_timer_;

  // What is committed and counts: never the inside of a transaction. std::atomic_load /
  // atomic_store; any thread.
  ImagePtr image_;
  // End of what OnCommitted() has seen. `image_` lies behind it while a transaction is open.
  Offset committed_{0};
  // What is committed behind `image_`, which is the inside of a transaction: the replay of it, as
  // far as this node did not lead; then batches that came while it leads, whose meaning it knows.
  std::optional<LogReplay> following_;
  size_t following_bytes_ = 0;
  std::vector<CommittedRecords> led_;
  std::optional<Term> leading_;
  std::optional<Term> elected_;     // in which it is to lead once its state is made again
  int64_t producer_ids_from_ = 0;   // of the term
  ImagePtr speculative_;            // with everything appended, while leading
  bool is_in_transaction_ = false;  // at the log's end, while leading: see AbortTransaction()
  OperationTurns turns_;
  CommitQueue waiting_;
  BrokerSessions sessions_;
  std::set<NodeId> lost_;  // nodes to which there was a connection
  std::optional<TimerId> sessions_timer_;
  Periodic balance_;                                  // of leaders
  Periodic unclean_;                                  // elections
  std::atomic<QuorumLeader> leader_{QuorumLeader{}};  // any thread
  std::atomic<size_t> queued_count_{0};  // operations between call and answer; any thread
  std::vector<std::weak_ptr<Observer>> observers_;
  bool installing_ = false;  // a snapshot of another node's
  bool closing_ = false;

  mutable Mutex mutex_;
  std::optional<Error> failure_ TS_GUARDED_BY(mutex_);
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_CONTROLLER_IMPL_H_
