#include "storage/disk.h"

#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <mutex>
#include <vector>

namespace gregor {
namespace {

class ThreadDiskTest : public testing::Test {
 protected:
  std::unique_ptr<FileSystem> files_ = NewPosixFileSystem(1);
  std::unique_ptr<Disk> disk_ =
      NewThreadDisk(*files_, {.name = "test", .read_threads = 2, .background_threads = 2});
};

TEST_F(ThreadDiskTest, JobsOfTheWriteLaneRunInOrder) {
  std::vector<int> order;
  for (int i = 0; i < 1000; ++i) {
    disk_->Submit(Lane::kWrite, "append", [&order, i] { order.push_back(i); });
  }
  disk_.reset();
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST_F(ThreadDiskTest, LanesRunBesideEachOther) {
  // Each waits for the others: one lane that held up another would never end.
  auto all = std::make_shared<std::latch>(4);
  for (Lane lane : {Lane::kWrite, Lane::kSync, Lane::kRead, Lane::kBackground}) {
    disk_->Submit(lane, "meet", [all] { all->arrive_and_wait(); });
  }
  all->wait();
}

TEST_F(ThreadDiskTest, ReadsRunBesideEachOther) {
  auto both = std::make_shared<std::latch>(2);
  for (int i = 0; i < 2; ++i) {
    disk_->Submit(Lane::kRead, "meet", [both] { both->arrive_and_wait(); });
  }
  both->wait();
}

TEST_F(ThreadDiskTest, TheResultArrivesOnTheLoop) {
  std::unique_ptr<EventLoop> loop = NewThreadLoop("test");
  auto done = std::make_shared<std::latch>(1);
  std::unique_ptr<int> answer;
  bool in_loop = false;
  disk_->Submit(
      Lane::kRead, "answer", *loop, [] { return std::make_unique<int>(42); },
      [&, done](std::unique_ptr<int> result) {
        in_loop = loop->InLoop();
        answer = std::move(result);
        done->count_down();
      });
  done->wait();
  EXPECT_TRUE(in_loop);
  EXPECT_EQ(*answer, 42);
  disk_.reset();  // before the loop, which its thread may still be waking
}

TEST_F(ThreadDiskTest, TheDestructorRunsWhatJobsStillSubmit) {
  int finished = 0;
  disk_->Submit(Lane::kSync, "first", [&] {
    disk_->Submit(Lane::kWrite, "second",
                  [&] { disk_->Submit(Lane::kBackground, "third", [&] { ++finished; }); });
  });
  Disk* disk = disk_.get();
  disk->Submit(Lane::kWrite, "other", [] {});
  disk_.get_deleter()(disk);
  (void)disk_.release();
  EXPECT_EQ(finished, 1);
}

}  // namespace
}  // namespace gregor
