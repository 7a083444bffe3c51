// What of the metadata log is read from memory, and what from its files.
#include "raft/host/log_store.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "raft/host/raft_log.h"
#include "storage/log_directory.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {
namespace {

constexpr size_t kRecent = 1000;
constexpr size_t kValueBytes = 600;
constexpr Term kFirst{1};
constexpr Term kSecond{2};

class LogStoreTest : public testing::Test {
 protected:
  LogStoreTest()
      : scheduler_(1),
        files_(1, &scheduler_.trace()),
        loop_(scheduler_, "loop"),
        disk_(scheduler_, files_) {
    Random random(1);
    LogDirectory::Options options;
    options.path = "/log";
    options.cluster_id = random.NewUuid<ClusterId>();
    options.node_id = NodeId{1};
    EXPECT_TRUE(files_.MakeDirectory("/log").ok());
    EXPECT_TRUE(ReplaceFile(files_, "/log/meta.properties",
                            "version=1\ncluster.id=" + options.cluster_id.ToString() +
                                "\nnode.id=1\ndirectory.id=" +
                                random.NewUuid<DirectoryId>().ToString() + "\n")
                    .ok());
    auto directory = LogDirectory::Open(disk_, loop_, options);
    EXPECT_TRUE(directory.ok()) << directory.error();
    directory_ = std::move(*directory);
    loop_.RunUntil([&] { Open(); }, [&] { return store_ != nullptr; }, std::chrono::minutes(1));
  }
  ~LogStoreTest() override {
    disk_.Kill();
    loop_.Kill();
  }

  void Append(Term term, int count) {
    const std::string value(kValueBytes, '.');
    loop_.Run([&] {
      for (int i = 0; i < count; ++i) {
        BatchBuilder builder;
        NewRecord record;
        record.value = value;
        builder.Add(record);
        RecordBatch batch = builder.Build();
        StampBatch(batch, store_->end(), LeaderEpoch{term.value}, TimestampType::kCreateTime,
                   Timestamp{1});
        ASSERT_TRUE(store_->Append(std::move(batch)).ok());
      }
    });
  }
  bool WaitForSynced() {
    return scheduler_.RunUntil([&] { return store_->SyncedEnd() == store_->end(); },
                               std::chrono::seconds(10));
  }
  // The terms of all batches from `next` on; less of them where something is not there.
  std::vector<Term> Terms(Offset next = Offset{0}) {
    std::vector<Term> terms;
    bool ended = false;
    while (!ended && next < store_->end()) {
      ended = true;
      const auto read = std::make_shared<std::optional<Result<LogStore::Read>>>();
      loop_.RunUntil(
          [&] {
            store_->ReadFrom(next, store_->end(), 1u << 20,
                             [read](Result<LogStore::Read> given) { *read = std::move(given); });
          },
          [&] { return read->has_value(); }, std::chrono::seconds(10));
      if (!read->has_value() || !(*read)->ok()) break;
      for (const raft::BatchInfo& batch : (**read)->batches) {
        EXPECT_EQ(batch.base, next);
        terms.push_back(batch.term);
        next = batch.next;
        ended = false;
      }
    }
    return terms;
  }

  Scheduler scheduler_;
  SimFileSystem files_;
  SimLoop loop_;
  SimDisk disk_;
  std::unique_ptr<LogDirectory> directory_;
  std::unique_ptr<LogStore> store_;
  std::optional<Error> failure_;

  void Open() {
    Log::Options options;
    options.id = MetadataLogId();
    options.on_progress = [this] {
      if (store_ != nullptr) store_->OnProgress();
    };
    Log::Open(*directory_, loop_, std::move(options), [this](Result<std::unique_ptr<Log>> log) {
      ASSERT_TRUE(log.ok()) << log.error();
      LogStore::Options store;
      store.recent_bytes_max = kRecent;
      store.on_progress = [] {};
      store.on_cut = [] {};
      store.on_failure = [this](const Error& error) { failure_ = error; };
      store_ = std::make_unique<LogStore>(std::move(*log), std::move(store));
    });
  }
};

TEST_F(LogStoreTest, WhatIsNotWrittenIsReadFromMemory) {
  disk_.Hang();
  Append(kFirst, 5);
  EXPECT_EQ(Terms(), std::vector<Term>(5, kFirst));
  disk_.Resume();
  ASSERT_TRUE(WaitForSynced());
  EXPECT_EQ(Terms(), std::vector<Term>(5, kFirst));
  EXPECT_FALSE(failure_.has_value());
}

TEST_F(LogStoreTest, BehindACutThatIsNotDoneNothingIsReadThatWasThereBefore) {
  Append(kFirst, 6);
  ASSERT_TRUE(WaitForSynced());
  const std::vector<Term> expected{kFirst, kFirst, kSecond, kSecond, kSecond, kSecond, kSecond};
  disk_.Hang();
  loop_.Run([&] { store_->TruncateTo(Offset{2}); });
  Append(kSecond, 5);
  EXPECT_EQ(Terms(), expected);
  disk_.Resume();
  ASSERT_TRUE(WaitForSynced());
  EXPECT_EQ(Terms(), expected);
  // ... and once more, where the cut is another one's behind it.
  disk_.Hang();
  loop_.Run([&] { store_->TruncateTo(Offset{6}); });
  loop_.Run([&] { store_->TruncateTo(Offset{1}); });
  Append(Term{3}, 5);
  const std::vector<Term> third{kFirst, Term{3}, Term{3}, Term{3}, Term{3}, Term{3}};
  EXPECT_EQ(Terms(Offset{1}), std::vector<Term>(5, Term{3}));
  disk_.Resume();
  ASSERT_TRUE(WaitForSynced());
  EXPECT_EQ(Terms(), third);
  EXPECT_FALSE(failure_.has_value());
}

TEST_F(LogStoreTest, ACloseDropsWhatWaitsForACut) {
  Append(kFirst, 6);
  ASSERT_TRUE(WaitForSynced());
  disk_.Hang();
  loop_.Run([&] { store_->TruncateTo(Offset{2}); });
  Append(kSecond, 5);
  loop_.Run([&] { store_->TruncateTo(Offset{3}); });
  Append(Term{3}, 1);
  std::optional<Result<void>> closed;
  loop_.Run(
      [&] { store_->Close([&](Result<void> result) { closed.emplace(std::move(result)); }); });
  disk_.Resume();
  ASSERT_TRUE(scheduler_.RunUntil([&] { return closed.has_value(); }, std::chrono::seconds(10)));
  EXPECT_TRUE(closed->ok()) << closed->error();
  store_ = nullptr;
  loop_.RunUntil([&] { Open(); }, [&] { return store_ != nullptr; }, std::chrono::minutes(1));
  EXPECT_EQ(Terms(), std::vector<Term>(2, kFirst));
  EXPECT_FALSE(failure_.has_value());
}

}  // namespace
}  // namespace gregor
