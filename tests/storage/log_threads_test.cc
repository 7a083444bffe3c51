// Logs on threads and real files, as in a node: what the simulator, in which a job is one step,
// cannot show. Run it in the tsan preset, too.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <future>

#include "base/random.h"
#include "storage/log.h"

namespace gregor {
namespace {

constexpr int kLogs = 6;
constexpr int64_t kBatches = 400;  // of each log

class LogThreadsTest : public testing::Test {
 protected:
  LogThreadsTest() {
    std::string folder = (std::filesystem::temp_directory_path() / "gregor-logs-XXXXXX").string();
    CHECK(mkdtemp(folder.data()) != nullptr);
    folder_ = folder;
    options_.path = folder_;
    options_.cluster_id = Random(1).NewUuid<ClusterId>();
    options_.node_id = NodeId{1};
    options_.open_files_max = 4;  // files are opened again all the time
    options_.checkpoint_bytes = 10'000;
    options_.file_step_bytes_max = 4096;
  }
  ~LogThreadsTest() override { std::filesystem::remove_all(folder_); }

  // A log, and the loop that it belongs to.
  struct Member {
    std::unique_ptr<Log> log;
    EventLoop* loop;
    std::optional<Random> random;
    TopicIdPartition id;
    int64_t appended = 0;
    std::optional<std::promise<void>> finished;
  };

  void Open() {
    files_ = NewPosixFileSystem(2);
    disk_ = NewThreadDisk(*files_, {.read_threads = 2, .background_threads = 3});
    for (int i = 0; i < 2; ++i) loops_.push_back(NewThreadLoop("loop"));
    auto directory = LogDirectory::Open(*disk_, *loops_[0], options_);
    ASSERT_TRUE(directory.ok()) << directory.error();
    directory_ = *std::move(directory);
    Random random(2);
    const auto topic = random.NewUuid<TopicId>();
    members_ = std::vector<Member>(kLogs);
    for (int i = 0; i < kLogs; ++i) {
      Member& member = members_[static_cast<size_t>(i)];
      member.id = {topic, PartitionIndex{i}};
      member.loop = loops_[static_cast<size_t>(i % 2)].get();
      member.random.emplace(static_cast<uint64_t>(i));
      member.finished.emplace();
      OnLoop(member, [&](auto done) {
        Log::Options options;
        options.id = member.id;
        options.config = ConfigOf(i);
        options.on_progress = [this, &member] { Continue(member); };
        Log::Open(*directory_, *member.loop, std::move(options),
                  [&member, done = std::move(done)](Result<std::unique_ptr<Log>> log) mutable {
                    CHECK(log.ok()) << log.error();
                    member.log = *std::move(log);
                    done();
                  });
      });
    }
  }

  static LogConfig ConfigOf(int i) {
    LogConfig config;
    config.segment_bytes = 3000;
    config.index_interval_bytes = 200;
    config.file_delete_delay_ms = 0;
    config.cleanup_compact = i % 3 != 0;
    config.min_cleanable_dirty_ratio = 0;
    config.retention_bytes = 20'000;
    if (i % 2 == 1) config.durability = Durability::kReplicated;
    return config;
  }

  // Calls start(done) on the member's loop; returns once done() was called.
  template <typename Start>
  static void OnLoop(Member& member, Start start) {
    auto promise = std::make_shared<std::promise<void>>();
    member.loop->Post("test", [&start, promise] { start([promise] { promise->set_value(); }); });
    promise->get_future().wait();
  }

  // Each time something is done a little more is begun, until all is appended. Thread: the loop's.
  void Continue(Member& member) {
    if (member.log == nullptr || member.appended > kBatches) return;
    if (member.appended == kBatches) {
      if (member.log->ends().synced_end < member.log->ends().log_end) {
        return member.log->RequestSync();
      }
      ++member.appended;
      return member.finished->set_value();
    }
    const LogEnds ends = member.log->ends();
    if (ends.log_end - ends.written_end > 8) return;
    if (ends.log_end - ends.synced_end > 50) return member.log->RequestSync();
    AppendSome(member);
    ReadSome(member);
    if (member.appended % 20 == 0) {
      const int64_t left = ends.synced_end - ends.log_start;
      member.log->DeleteBefore(ends.log_start + left / 4,
                               [](const Result<void>& done) { CHECK(done.ok()) << done.error(); });
      member.log->ApplyRetention(ends.synced_end);
    }
  }

  static void AppendSome(Member& member) {
    const int64_t count = std::min<int64_t>(3, kBatches - member.appended);
    for (int64_t i = 0; i < count; ++i) {
      BatchBuilder::Options options;
      options.producer_id = ProducerId{7};
      options.producer_epoch = ProducerEpoch{0};
      options.base_sequence = Sequence{static_cast<int32_t>(member.appended)};
      BatchBuilder builder(options);
      NewRecord record;
      const std::string key = "key" + std::to_string(member.random->Below(20));
      const std::string value(20 + member.random->Below(200), 'v');
      record.key = key;
      record.value = value;
      record.timestamp = Timestamp{1000};
      builder.Add(record);
      RecordBatch batch = builder.Build();
      StampBatch(batch, member.log->ends().log_end, LeaderEpoch{0}, TimestampType::kCreateTime,
                 Timestamp{1000});
      const auto appended = member.log->Append(std::move(batch));
      CHECK(appended.ok()) << appended.error();
      ++member.appended;
    }
  }

  static void ReadSome(Member& member) {
    const LogEnds ends = member.log->ends();
    const auto span = static_cast<uint64_t>(ends.written_end - ends.log_start);
    if (span == 0) return;
    ReadSpec spec;
    spec.from = ends.log_start + static_cast<int64_t>(member.random->Below(span));
    spec.bytes_max = 1000;
    member.log->Read(spec, [](const Result<LogRead>& read) {
      // Its records may have been deleted since.
      CHECK(read.ok() || read.error().reason == Reason::kOffsetOutOfRange) << read.error();
    });
  }

  void Close() {
    for (Member& member : members_) {
      OnLoop(member, [&](auto done) {
        member.log->Close([done = std::move(done)](const Result<void>& closed) mutable {
          CHECK(closed.ok()) << closed.error();
          done();
        });
      });
      OnLoop(member, [&](auto done) {
        member.log.reset();
        done();
      });
    }
    std::promise<Result<void>> closed;
    disk_->Submit(Lane::kSync, "close", [&] { closed.set_value(directory_->CloseCleanly()); });
    const Result<void> result = closed.get_future().get();
    EXPECT_TRUE(result.ok()) << result.error();
    disk_.reset();
    directory_.reset();
    loops_.clear();
  }

  std::string folder_;
  LogDirectory::Options options_;
  std::unique_ptr<FileSystem> files_;
  std::unique_ptr<Disk> disk_;
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::unique_ptr<LogDirectory> directory_;
  std::vector<Member> members_;
};

TEST_F(LogThreadsTest, AppendReadDeleteAndCompactBesideEachOther) {
  ASSERT_NO_FATAL_FAILURE(Open());
  for (Member& member : members_) {
    member.loop->Post("begin", [this, &member] { Continue(member); });
  }
  for (Member& member : members_) member.finished->get_future().wait();
  EXPECT_FALSE(directory_->failure().has_value());
  std::vector<LogEnds> before;
  for (Member& member : members_) {
    OnLoop(member, [&](auto done) {
      EXPECT_FALSE(member.log->failure().has_value()) << *member.log->failure();
      EXPECT_EQ(member.log->ends().log_end, Offset{kBatches});
      EXPECT_GT(member.log->ends().log_start, Offset{0});
      before.push_back(member.log->ends());
      done();
    });
  }
  Close();
  // And all of it is found again.
  ASSERT_NO_FATAL_FAILURE(Open());
  EXPECT_TRUE(directory_->was_clean());
  for (size_t i = 0; i < members_.size(); ++i) {
    OnLoop(members_[i], [&](auto done) {
      EXPECT_EQ(members_[i].log->ends().log_end, before[i].log_end);
      EXPECT_GE(members_[i].log->ends().log_start, before[i].log_start);
      members_[i].appended = kBatches + 1;
      done();
    });
  }
  Close();
}

}  // namespace
}  // namespace gregor
