// ControllerImpl: elections by the clock.
#include <algorithm>
#include <utility>

#include "controller/controller_impl.h"
#include "controller/image/topic_configs.h"
#include "controller/leadership.h"

namespace gregor {
namespace {

// In one batch; others have their turn between two of them.
constexpr size_t kElectionsMax = 1000;
constexpr Duration kPause = std::chrono::milliseconds(50);
// A changed interval counts after so long.
constexpr Duration kLookEvery = std::chrono::seconds(1);

}  // namespace

void ControllerImpl::WatchLeaders() {
  balance_.last = unclean_.last = options_.loop->clock().Now();
  if (!balance_.timer.has_value()) BalanceLeaders();
  if (!unclean_.timer.has_value()) ElectUncleanly();
}

void ControllerImpl::BalanceLeaders() {
  balance_.timer.reset();
  if (!leading_.has_value()) return;
  const ConfigMap& configs = options_.behavior.static_configs;
  const ElectionSchedule schedule = ResolveElectionSchedule(*speculative_, configs);
  const Duration left = TimeLeft(balance_, schedule.balance_interval);
  if (schedule.balances && left <= Duration::zero()) {
    std::vector<pb::MetadataRecord> records;
    PlanLeaderBalance(*speculative_, configs, schedule.imbalance_percent_max, kElectionsMax,
                      records);
    LOG_IF(INFO, !records.empty())
        << records.size() << " partitions are led by the first of their replicas again";
    Elect(balance_, std::move(records));
  }
  balance_.timer = LookAgain(schedule.balances ? left : kLookEvery, "controller.balance_leaders",
                             &ControllerImpl::BalanceLeaders);
}

void ControllerImpl::ElectUncleanly() {
  unclean_.timer.reset();
  if (!leading_.has_value()) return;
  const ConfigMap& configs = options_.behavior.static_configs;
  const Duration left =
      TimeLeft(unclean_, ResolveElectionSchedule(*speculative_, configs).unclean_interval);
  if (left <= Duration::zero()) {
    std::vector<pb::MetadataRecord> records;
    PlanUncleanElections(*speculative_, configs, kElectionsMax, records);
    LOG_IF(WARNING, !records.empty())
        << records.size()
        << " partitions get a leader that may lack records: unclean.leader.election.enable";
    Elect(unclean_, std::move(records));
  }
  unclean_.timer = LookAgain(left, "controller.elect_uncleanly", &ControllerImpl::ElectUncleanly);
}

Duration ControllerImpl::TimeLeft(const Periodic& periodic, Duration interval) const {
  return periodic.last + interval - options_.loop->clock().Now();
}

// Where the batch is full there may be more to do: it is due again at once.
void ControllerImpl::Elect(Periodic& periodic, std::vector<pb::MetadataRecord> records) {
  const MonotonicTime now = options_.loop->clock().Now();
  if (records.size() < kElectionsMax) periodic.last = now;
  if (records.empty()) return;
  Planned planned{std::move(records),
                  [](const MetadataImage&, Offset) { return std::monostate(); }};
  Settle("elect_by_clock", std::move(planned), false,
         [&periodic, now](Result<OperationAnswer> answer) {
           if (answer.ok()) return;
           LOG(WARNING) << "Leaders could not be elected: " << answer.error();
           periodic.last = now;
         });
}

TimerId ControllerImpl::LookAgain(Duration left, const char* name, void (ControllerImpl::*look)()) {
  return options_.loop->After(std::clamp(left, kPause, kLookEvery), name,
                              [this, alive = alive_, look] {
                                if (*alive) (this->*look)();
                              });
}

}  // namespace gregor
