#ifndef GREGOR_TESTS_CONTROLLER_FAKE_CONTROLLER_H_
#define GREGOR_TESTS_CONTROLLER_FAKE_CONTROLLER_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/event_loop.h"
#include "controller/controller.h"
#include "controller/image/replay.h"
#include "controller/image/rows.h"
#include "controller/operations.h"

namespace gregor {

// The id of the cluster that the fakes are of.
inline ClusterId FakeCluster(uint8_t number = 1) {
  ClusterId cluster;
  cluster.bytes[0] = number;
  return cluster;
}

// A controller without a quorum: a test says who leads. Where it leads, operations are committed as
// they come; elsewhere a test hands it the leader's batches. Brokers 1, 2 and 3 are registered.
// Thread: the loop, save what Controller says.
class FakeController final : public Controller {
 public:
  using Batch = std::vector<pb::MetadataRecord>;

  FakeController(EventLoop& loop, int32_t node) : loop_(loop), node_(NodeId{node}) {
    Batch first;
    first.emplace_back().mutable_feature_level()->set_level(kFeatureLevel);
    auto& cluster = *first.emplace_back().mutable_cluster();
    cluster.set_cluster_id(ToBytes(FakeCluster().bytes));
    cluster.set_request_id_key(ToBytes(std::array<uint8_t, 16>{7}));
    for (int32_t broker = 1; broker <= 3; ++broker)
      first.push_back(MakeBrokerRecord(MakeBroker(broker), false));
    Apply(first);
    batches.clear();
  }

  static BrokerImage MakeBroker(int32_t node) {
    BrokerImage broker;
    broker.id = NodeId{node};
    broker.incarnation[0] = static_cast<uint8_t>(node);
    broker.directories.emplace_back().bytes[0] = static_cast<uint8_t>(node);
    broker.listeners["grpc"] = {"127.0.0.1", static_cast<uint16_t>(9000 + node)};
    broker.rack = "rack-" + std::to_string(node);
    return broker;
  }

  std::vector<Batch> batches;        // everything committed, but for what it began with
  int asked = 0;                     // how many operations
  std::optional<Error> refusal;      // of every operation
  std::optional<Error> unconfirmed;  // the answer to the next DescribeQuorum()
  bool holds = false;                // operations are not answered, nor committed, until Release()
  Task on_held;                      // runs when one is
  OperationContext last_context;
  std::vector<QuorumMember> voters;

  // Thread: any.
  void SetLeader(int32_t leader, int32_t term) {
    leader_ = QuorumLeader{NodeId{leader}, Term{term}};
  }
  void Fail(const Error& error) { failure_ = error; }
  void Release() {
    holds = false;
    for (Task& each : std::exchange(held_, {})) each();
  }
  // What is held is never answered.
  void Drop() { held_.clear(); }
  // Commits a batch, as on a follower.
  void Apply(const Batch& batch) {
    Replay replay(image());
    Offset offset = image()->version;
    for (const pb::MetadataRecord& record : batch) {
      const auto applied = replay.Apply(offset, record);
      CHECK(applied.ok()) << applied.error();
      offset = offset + 1;
    }
    batches.push_back(batch);
    Publish(replay.Finish({offset, LeaderEpoch{1}, Timestamp{1}}));
  }
  // Commits what `leader` has more.
  void CatchUp(const FakeController& leader) {
    while (batches.size() < leader.batches.size()) Apply(leader.batches[batches.size()]);
  }

  void Execute(MetadataOperation operation, const OperationContext& context,
               OperationDone done) override {
    loop_.Post("fake.operation", [this, operation = std::move(operation), context,
                                  done = std::move(done)]() mutable {
      ++asked;
      last_context = context;
      Task settle = [this, operation = std::move(operation), done = std::move(done)]() mutable {
        Settle(operation, std::move(done));
      };
      if (!holds) return settle();
      held_.push_back(std::move(settle));
      if (on_held) on_held();
    });
  }

  ImagePtr image() const override { return std::atomic_load(&image_); }
  std::shared_ptr<void> Watch(UniqueFunction<void(const MetadataDelta&)> observer) override {
    auto shared = std::make_shared<Observer>(Observer{std::move(observer)});
    loop_.Post("fake.watch", [this, weak = std::weak_ptr<Observer>(shared)] {
      const auto observer = weak.lock();
      if (observer == nullptr) return;
      MetadataDelta all;
      all.after = image();
      observers_.push_back(weak);
      observer->call(all);
    });
    return shared;
  }
  QuorumLeader leader() const override { return leader_.load(); }
  std::optional<Error> failure() const override { return failure_; }
  QuorumStatus quorum() const override {
    QuorumStatus status;
    status.leader = leader_.load();
    status.voters = voters;
    return status;
  }
  void DescribeQuorum(Done<QuorumStatus> done) override {
    if (unconfirmed.has_value()) return done(*std::exchange(unconfirmed, std::nullopt));
    done(quorum());
  }
  void AddVoter(Voter voter, MetadataLog::Changed changed) override {
    if (const auto refused = RefusedChange()) return changed(*refused);
    voters.push_back({voter.key, voter.endpoints, {}, {}, {}, 0, 0});
    changed({});
  }
  void RemoveVoter(VoterKey voter, MetadataLog::Changed changed) override {
    if (const auto refused = RefusedChange()) return changed(*refused);
    std::erase_if(voters, [&](const QuorumMember& each) { return each.key.node == voter.node; });
    changed({});
  }
  void Transfer(std::optional<NodeId> to, Done<NodeId> done) override {
    if (const auto refused = RefusedChange()) return done(*refused);
    SetLeader(to.value_or(NodeId{2}).value, leader_.load().term.value + 1);
    done(leader_.load().leader);
  }
  void Close(UniqueFunction<void(Result<void>)> done) override {
    loop_.Post("fake.close", [done = std::move(done)]() mutable { done({}); });
  }

 private:
  struct Observer {
    UniqueFunction<void(const MetadataDelta&)> call;
  };

  std::optional<Error> RefusedChange() {
    ++asked;
    if (refusal.has_value()) return refusal;
    if (leader_.load().leader == node_) return {};
    return Error(Reason::kNotController, "not here").With("outcome", "NOT_APPLIED");
  }

  void Publish(const MetadataDelta& delta) {
    std::atomic_store(&image_, delta.after);
    for (size_t i = 0; i < observers_.size(); ++i) {
      if (const auto observer = observers_[i].lock()) observer->call(delta);
    }
  }

  void Settle(const MetadataOperation& operation, OperationDone done) {
    if (failure_.has_value()) return done(*failure_);
    if (refusal.has_value()) return done(*refusal);
    if (leader_.load().leader != node_)
      return done(Error(Reason::kNotController, "not here").With("outcome", "NOT_APPLIED"));
    const ImagePtr before = image();
    options_.node_id = node_;
    BrokerSessions sessions{{}};
    const PlanContext context{*before, options_, random_, sessions, loop_.clock().Now()};
    auto planned = std::visit([&](const auto& each) { return Plan(each, context); }, operation);
    if (!planned.ok()) return done(std::move(planned).error());
    if (!std::visit([](const auto& each) { return IsValidateOnly(each); }, operation)) {
      if (!planned->records.empty()) Apply(planned->records);
      return done(planned->answer(*image(), before->version));
    }
    Replay replay(before);
    for (const auto& record : planned->records) CHECK(replay.Apply(before->version, record).ok());
    done(planned->answer(*replay.Finish({}).after, before->version));
  }

  EventLoop& loop_;
  const NodeId node_;
  ControllerOptions options_;
  Random random_{1};
  ImagePtr image_ = std::make_shared<const MetadataImage>();
  std::atomic<QuorumLeader> leader_{QuorumLeader{}};
  std::optional<Error> failure_;
  std::vector<std::weak_ptr<Observer>> observers_;
  std::vector<Task> held_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_CONTROLLER_FAKE_CONTROLLER_H_
