#include "broker/controller_session.h"

#include <gtest/gtest.h>

#include <optional>
#include <variant>
#include <vector>

#include "tests/base/log_lines.h"
#include "tests/sim/scheduler.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Whoever is the active controller.
class FakeController final : public ControllerApi {
 public:
  explicit FakeController(SimLoop& loop) : loop_(loop) {}

  bool is_cut_off = false;       // it gets nothing, and answers nothing
  std::optional<Error> error;    // of every heartbeat
  std::optional<Error> refusal;  // of every registration
  std::vector<MonotonicTime> heard;
  int asked = 0;  // heartbeats, heard or not

  void Execute(MetadataOperation operation, const OperationContext& context,
               OperationDone done) override {
    if (std::holds_alternative<RegisterBroker>(operation)) {
      if (refusal.has_value()) return Answer(std::move(done), *refusal);
      return Answer(std::move(done), OperationAnswer(BrokerEpoch{7}));
    }
    ASSERT_EQ(std::get<BrokerHeartbeat>(operation).epoch, BrokerEpoch{7});
    ++asked;
    if (is_cut_off) {
      loop_.After(context.timeout, "fake.timeout", [done = std::move(done)]() mutable {
        done(Error(Reason::kCommitTimedOut, "no answer").With("outcome", "UNKNOWN"));
      });
      return;
    }
    heard.push_back(loop_.clock().Now());
    if (error.has_value()) return Answer(std::move(done), *error);
    Answer(std::move(done), OperationAnswer(BrokerStatus()));
  }

 private:
  void Answer(OperationDone done, Result<OperationAnswer> answer) {
    loop_.Post("fake.answer", [done = std::move(done), answer = std::move(answer)]() mutable {
      done(std::move(answer));
    });
  }

  SimLoop& loop_;
};

class ControllerSessionTest : public testing::Test {
 protected:
  ControllerSessionTest() {
    ControllerSession::Options options;
    options.loop = &loop_;
    options.controller = &controller_;
    options.image = [] { return std::make_shared<const MetadataImage>(); };
    options.broker.id = NodeId{1};
    options.heartbeat_interval = kInterval;
    options.session_timeout = seconds(6);
    session_ = std::make_unique<ControllerSession>(std::move(options));
    controller_.refusal = Error(Reason::kNotController, "nobody leads");
    session_->Start([](Result<BrokerEpoch> registered) { EXPECT_TRUE(registered.ok()); });
    scheduler_.RunFor(milliseconds(1500));
    EXPECT_TRUE(controller_.heard.empty());
    controller_.refusal.reset();
    scheduler_.RunFor(seconds(3));
    EXPECT_EQ(controller_.heard.size(), 5u);
  }
  ~ControllerSessionTest() override {
    loop_.Kill();
    session_.reset();
  }

  static constexpr Duration kInterval = milliseconds(500);
  const LogLines lines_;
  Scheduler scheduler_{1};
  SimLoop loop_{scheduler_, "controller"};
  FakeController controller_{loop_};
  std::unique_ptr<ControllerSession> session_;
};

TEST_F(ControllerSessionTest, OneThatIsCutOffIsGivenUpAfterTwoHeartbeats) {
  const MonotonicTime last = controller_.heard.back();
  controller_.is_cut_off = true;
  scheduler_.RunFor(kInterval);
  ASSERT_EQ(controller_.asked, 6);
  // Another one leads now; what was asked of the first hangs.
  controller_.is_cut_off = false;
  scheduler_.RunFor(seconds(2));
  ASSERT_GT(controller_.heard.size(), 5u);
  const Duration silence = controller_.heard[5] - last;
  EXPECT_GE(silence, 3 * kInterval);
  EXPECT_LE(silence, 3 * kInterval + milliseconds(60));
}

TEST_F(ControllerSessionTest, OneThatRefusesIsNotAskedMoreOften) {
  controller_.error = Error(Reason::kQuotaExceeded, "later").With("outcome", "NOT_APPLIED");
  scheduler_.RunFor(seconds(3));
  EXPECT_GE(controller_.asked, 10);
  EXPECT_LE(controller_.asked, 11);
}

TEST_F(ControllerSessionTest, WhyItIsNotRegisteredIsToldAndNotTooOften) {
  const auto is_told = [&](int count) {
    return lines_.CountOf(
               "This broker serves once the active controller has registered it; trying again: "
               "NOT_CONTROLLER: nobody leads") == count;
  };
  EXPECT_TRUE(is_told(2)) << lines_.With("This broker");
  // Somebody unregisters it.
  controller_.error = Error(Reason::kBrokerIdNotRegistered, "broker 1 is not registered");
  controller_.refusal = Error(Reason::kNotController, "nobody leads any more");
  scheduler_.RunFor(seconds(3));
  EXPECT_EQ(lines_.CountOf("unregistered though it runs, and registers again"), 1);
  EXPECT_GE(
      lines_.CountOf(
          "until it is registered again; trying again: NOT_CONTROLLER: nobody leads any more"),
      2);
  EXPECT_LE(
      lines_.CountOf(
          "until it is registered again; trying again: NOT_CONTROLLER: nobody leads any more"),
      3);
  controller_.error.reset();
  controller_.refusal.reset();
  scheduler_.RunFor(seconds(3));
  EXPECT_LE(
      lines_.CountOf(
          "until it is registered again; trying again: NOT_CONTROLLER: nobody leads any more"),
      3);
  EXPECT_TRUE(is_told(2));
}

}  // namespace
}  // namespace gregor
