// What a start makes of the files that a crash left (scenarios A3, A4, A5, A12).
#include "storage/log_recovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/epoch_cache.h"
#include "storage/file_cache.h"
#include "storage/log_checkpoint.h"
#include "storage/log_files.h"
#include "storage/producer_state.h"
#include "tests/storage/log_harness.h"

namespace gregor {
namespace {

using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

constexpr size_t kBatch = 200;  // about

LogConfig SmallSegments() {
  LogConfig config;
  config.segment_bytes = 1000;
  config.index_interval_bytes = 200;
  return config;
}

std::string Folder(LogHarness& harness) { return "/data/" + harness.id().ToString(); }

bool AppendSome(LogHarness& harness, int batches) {
  for (int i = 0; i < batches; ++i) {
    if (!harness.Append(1, kBatch - 70)) return false;
  }
  return true;
}
bool WriteUnsynced(LogHarness& harness, int batches) {
  harness.config().durability = Durability::kReplicated;
  harness.loop().Run([&] { harness.log().SetConfig(harness.config()); });
  if (!AppendSome(harness, batches)) return false;
  return harness.loop().RunUntil(
      [] {}, [&] { return harness.log().ends().written_end == harness.log().ends().log_end; },
      std::chrono::minutes(1));
}
void Overwrite(LogHarness& harness, const std::string& path, uint64_t position,
               std::string_view bytes) {
  const auto file = harness.files().Open(path, OpenMode::kReadWrite);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Write(position, Slice::Copy(bytes)).ok());
}
// Where each batch of the first segment begins.
std::vector<uint64_t> Positions(LogHarness& harness) {
  const auto text = *ReadWholeFile(harness.files(), harness.Path(0), 1 << 20);
  std::vector<uint64_t> positions;
  for (size_t at = 0; at + kBatchHeaderBytes < text.size();) {
    const auto header = BatchHeader::Decode(reinterpret_cast<const uint8_t*>(text.data()) + at);
    if (header.length <= 0) break;
    positions.push_back(at);
    at += header.size();
  }
  return positions;
}

TEST(LogRecovery, AStaleBatchBehindATearNeverComesBack) {
  LogHarness harness(1);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 2));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(WriteUnsynced(harness, 4));
  harness.Kill();
  const std::vector<uint64_t> positions = Positions(harness);
  ASSERT_THAT(positions, SizeIs(6));
  // The third never reached the disk; those behind it did.
  Overwrite(harness, harness.Path(0), positions[2], std::string(positions[3] - positions[2], '\0'));
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_end, Offset{2});
  // A batch of the same size in its place, and those behind it would go on from it.
  ASSERT_TRUE(AppendSome(harness, 1));
  ASSERT_TRUE(harness.Sync());
  for (const bool power : {false, true}) {
    power ? harness.LosePower() : harness.Kill();
    ASSERT_TRUE(harness.Start()) << *harness.error();
    EXPECT_EQ(harness.log().ends().log_end, Offset{3});
    EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(3));
  }
}

TEST(LogRecovery, WhatWasFoundIsDurableBeforeItIsServed) {
  for (const uint64_t seed : {1u, 2u, 3u, 4u}) {
    LogHarness harness(seed, SmallSegments());
    ASSERT_TRUE(harness.Start());
    ASSERT_TRUE(WriteUnsynced(harness, 13));
    harness.Kill();
    ASSERT_TRUE(harness.Start()) << *harness.error();
    ASSERT_EQ(harness.log().ends().log_end, Offset{13});
    ASSERT_EQ(harness.log().ends().synced_end, Offset{13});
    harness.LosePower();
    ASSERT_TRUE(harness.Start()) << *harness.error();
    EXPECT_EQ(harness.log().ends().log_end, Offset{13});
    EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(13));
  }
}

TEST(LogRecovery, ARecordIsNotLostWithTheNameOfAFolderThatWasEmpty) {
  LogHarness harness(5);
  ASSERT_TRUE(harness.Start());
  const uint64_t capacity = harness.files().faults().capacity_bytes;
  harness.files().faults().capacity_bytes = 1;  // so its file stays empty
  ASSERT_TRUE(AppendSome(harness, 1));
  harness.scheduler().RunFor(std::chrono::seconds(1));
  harness.Kill();
  ASSERT_TRUE(harness.Start()) << *harness.error();
  harness.files().faults().capacity_bytes = capacity;
  ASSERT_TRUE(AppendSome(harness, 1));
  ASSERT_TRUE(harness.Sync());
  harness.LosePower(SimSurvival::kNothing);
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(1));
}

TEST(LogRecovery, NorWithThatOfALogThatWasEmptiedBeforeItHadOne) {
  LogConfig config;
  config.durability = Durability::kReplicated;
  LogHarness harness(6, config);
  harness.directory_options().flush_interval = std::chrono::minutes(1);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(
      harness.Await<void>([&](auto done) { harness.log().ResetTo(Offset{0}, std::move(done)); })
          .ok());
  ASSERT_TRUE(AppendSome(harness, 1));
  harness.scheduler().RunFor(std::chrono::seconds(1));
  harness.Kill();
  const uint64_t capacity = harness.files().faults().capacity_bytes;
  harness.files().faults().capacity_bytes = 1;  // so no new journal makes the name durable
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().synced_end, Offset{1});
  harness.files().faults().capacity_bytes = capacity;
  harness.LosePower(SimSurvival::kNothing);
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(1));
}

TEST(LogRecovery, ATornWriteAboveTheMarkIsCutOff) {
  LogHarness harness(2);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 3));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(WriteUnsynced(harness, 3));
  harness.Kill();
  const std::vector<uint64_t> positions = Positions(harness);
  ASSERT_TRUE(harness.files().FlipBit(harness.Path(0), positions[4] + 100, 0));
  std::vector<uint64_t> torn;
  harness.directory_options().on_torn = [&](uint64_t bytes) { torn.push_back(bytes); };
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_end, Offset{4});
  // It is told, once.
  EXPECT_THAT(torn, SizeIs(1));
  EXPECT_GT(torn.empty() ? 0 : torn[0], 100u);
  harness.Kill();
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_THAT(torn, SizeIs(1));
}

TEST(LogRecovery, TheSameDamageBelowTheMarkIsNot) {
  LogHarness harness(2);
  harness.directory_options().marks_trail = Duration(0);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 6));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(AppendSome(harness, 1));
  ASSERT_TRUE(harness.Sync());  // has the journal follow
  harness.Kill();
  const std::vector<uint64_t> positions = Positions(harness);
  const std::string before = *ReadWholeFile(harness.files(), harness.Path(0), 1 << 20);
  ASSERT_TRUE(harness.files().FlipBit(harness.Path(0), positions[4] + 100, 0));
  EXPECT_FALSE(harness.Start());
  EXPECT_THAT(harness.error()->message,
              HasSubstr("00000000000000000000.log at position " + std::to_string(positions[4])));
  EXPECT_EQ(ReadWholeFile(harness.files(), harness.Path(0), 1 << 20)->size(), before.size());
}

LogConfig RolledWhileIdle() {
  LogConfig config;
  config.cleanup_compact = true;
  config.max_compaction_lag_ms = 1;
  config.retention_ms = LogConfig::kNever;
  return config;
}
// Ten records, and behind them a segment that was begun and has no file yet.
void BeginSegmentAndDie(LogHarness& harness) {
  harness.directory_options().marks_trail = Duration(0);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 10));
  ASSERT_TRUE(harness.Sync());
  harness.loop().Run([&] { harness.log().ApplyRetention(Offset{10}); });
  harness.scheduler().RunFor(std::chrono::milliseconds(100));
  ASSERT_EQ(harness.log().segment_count(), 2u);
  harness.Kill();
}

// A segment without a file, of which only the mark knows: what is appended must not lie before it.
TEST(LogRecovery, WhatIsAppendedAfterABegunSegmentIsNotTakenForDeleted) {
  LogHarness harness(12, RolledWhileIdle());
  ASSERT_NO_FATAL_FAILURE(BeginSegmentAndDie(harness));
  const Offset end{10};
  // The name of the checkpoint was not durable.
  ASSERT_TRUE(harness.files().Remove("/data/" + harness.id().ToString() + "/checkpoint").ok());
  harness.config().max_compaction_lag_ms = LogConfig::kNever;
  ASSERT_TRUE(harness.Start()) << *harness.error();
  ASSERT_TRUE(WriteUnsynced(harness, 1));
  ASSERT_TRUE(
      harness.Await<void>([&](auto done) { harness.log().DeleteBefore(end, std::move(done)); })
          .ok());
  harness.Kill();
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_start, end);
  EXPECT_THAT(harness.ReadAll(end), SizeIs(1));
}

// ... and where nothing is left of the log, it is not an empty one.
TEST(LogRecovery, ALogOfWhichABegunSegmentIsAllThatIsKnownIsDamaged) {
  LogHarness harness(13, RolledWhileIdle());
  ASSERT_NO_FATAL_FAILURE(BeginSegmentAndDie(harness));
  ASSERT_TRUE(RemoveTree(harness.files(), "/data/" + harness.id().ToString()).ok());
  EXPECT_FALSE(harness.Start());
  EXPECT_THAT(harness.error()->message, HasSubstr("no segment files"));
}

// Another log's segment, or an older state of this one, is sound in itself.
TEST(LogRecovery, SoundBatchesThatWereNotTheSyncedOnesAreDamage) {
  LogHarness harness(3);
  harness.directory_options().marks_trail = Duration(0);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 3));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(AppendSome(harness, 1));
  ASSERT_TRUE(harness.Sync());
  harness.Kill();
  RecordBatch other = LogHarness::Make(Offset{1}, LeaderEpoch{1}, 1, kBatch - 70, Timestamp{77});
  const std::vector<uint64_t> positions = Positions(harness);
  ASSERT_EQ(other.bytes.size(), positions[2] - positions[1]);
  Overwrite(harness, harness.Path(0), positions[1], other.bytes.ToString());
  EXPECT_FALSE(harness.Start());
  EXPECT_THAT(harness.error()->message, HasSubstr("not those that were synced"));
}

TEST(LogRecovery, IsTheSameWithoutTheCheckpointAndWithADamagedOne) {
  enum class What { kWhole, kMissing, kFlipped, kShort, kEmpty, kTemporary };
  for (const What what : {What::kWhole, What::kMissing, What::kFlipped, What::kShort, What::kEmpty,
                          What::kTemporary}) {
    LogHarness harness(4, SmallSegments());
    ASSERT_TRUE(harness.Start());
    ASSERT_TRUE(AppendSome(harness, 12));
    ASSERT_TRUE(harness.Sync());
    ASSERT_TRUE(harness.CloseCleanly());
    ASSERT_TRUE(harness.Start());
    ASSERT_TRUE(AppendSome(harness, 2));
    ASSERT_TRUE(harness.Sync());
    harness.Kill();
    const std::string path = Folder(harness) + "/checkpoint";
    ASSERT_TRUE(*harness.files().Exists(path));
    if (what == What::kMissing) {
      ASSERT_TRUE(harness.files().Remove(path).ok());
    }
    if (what == What::kFlipped) {
      ASSERT_TRUE(harness.files().FlipBit(path, 40, 3));
    }
    const auto file = harness.files().Open(path, OpenMode::kReadWrite);
    if (what == What::kShort) {
      ASSERT_TRUE((*file)->Truncate(*(*file)->Size() - 1).ok());
    }
    if (what == What::kEmpty) {
      ASSERT_TRUE((*file)->Truncate(0).ok());
    }
    if (what == What::kTemporary) {
      ASSERT_TRUE((*harness.files().Open(path + ".tmp", OpenMode::kCreate))
                      ->Write(0, Slice::Static("half a checkp"))
                      .ok());
    }
    ASSERT_TRUE(harness.Start()) << *harness.error();
    EXPECT_EQ(harness.log().ends().log_end, Offset{14});
    EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(14));
    const auto& epochs = harness.log().epochs().entries();
    ASSERT_THAT(epochs, SizeIs(2));
    EXPECT_EQ(epochs[1].start, Offset{12});
    EXPECT_FALSE(*harness.files().Exists(path + ".tmp"));
  }
}

TEST(LogRecovery, ACheckpointOfFilesThatAreGoneIsLostData) {
  LogHarness harness(5, SmallSegments());
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 20));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(harness.CloseCleanly());
  ASSERT_TRUE(harness.files().Remove(harness.Path(5)).ok());
  ASSERT_FALSE(harness.Start());
  EXPECT_THAT(harness.error()->message, HasSubstr("00000000000000000005.log is missing"));
}

TEST(LogRecovery, RoomThatComesBackInACompleteSegmentEndsNoLog) {
  for (const bool with_marks : {true, false}) {
    LogHarness harness(15, SmallSegments());
    ASSERT_TRUE(harness.Start());
    ASSERT_TRUE(AppendSome(harness, 12));
    ASSERT_TRUE(harness.Sync());
    harness.Kill();
    ASSERT_TRUE(harness.files().Remove(Folder(harness) + "/checkpoint").ok());
    if (!with_marks) {
      ASSERT_TRUE(harness.files().Remove("/data/synced-marks").ok());
    }
    const auto first = harness.files().Open(harness.Path(0), OpenMode::kReadWrite);
    const uint64_t size = *(*first)->Size();
    ASSERT_TRUE((*first)->Truncate(size + 500).ok());
    ASSERT_TRUE(harness.Start()) << *harness.error();
    EXPECT_EQ(harness.log().ends().log_end, Offset{12});
    EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(12));
    if (!with_marks) {
      EXPECT_EQ(*(*first)->Size(), size);
    }
  }
}

TEST(LogRecovery, ACutOfAnOlderSegmentIsDurableBeforeTheNextStartAppends) {
  LogHarness harness(16, SmallSegments());
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 5));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(WriteUnsynced(harness, 1));  // in the next segment; the room of the first one goes
  harness.Kill();
  ASSERT_TRUE(harness.Start()) << *harness.error();
  ASSERT_TRUE(AppendSome(harness, 2));
  ASSERT_TRUE(harness.Sync());
  const auto first = harness.files().Open(harness.Path(0), OpenMode::kReadWrite);
  const uint64_t size = *(*first)->Size();
  harness.LosePower(SimSurvival::kNothing);
  EXPECT_EQ(*(*harness.files().Open(harness.Path(0), OpenMode::kRead))->Size(), size);
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_end, Offset{8});
}

TEST(LogRecovery, ACheckpointThatCannotBeReadDoesNotComeBack) {
  LogHarness harness(17, SmallSegments());
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 12));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(harness.CloseCleanly());
  const std::string path = Folder(harness) + "/checkpoint";
  ASSERT_TRUE(*harness.files().Exists(path));
  harness.files().FailNext(SimOperation::kRead, "/checkpoint");
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_end, Offset{12});
  harness.LosePower();
  EXPECT_FALSE(*harness.files().Exists(path));
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_end, Offset{12});
}

TEST(LogRecovery, MarksTrailAndNeverRunAheadWhenTheirJournalIsDamaged) {
  for (const bool torn : {false, true}) {
    LogHarness harness(6);
    harness.directory_options().marks_trail = Duration(0);
    ASSERT_TRUE(harness.Start());
    for (int i = 0; i < 6; ++i) {
      ASSERT_TRUE(AppendSome(harness, 1));
      ASSERT_TRUE(harness.Sync());
    }
    harness.Kill();
    const std::string journal = "/data/synced-marks";
    const auto file = harness.files().Open(journal, OpenMode::kReadWrite);
    // Of the records; room of zeros follows.
    const std::string text = *ReadWholeFile(harness.files(), journal, 1 << 20);
    const uint64_t size = (text.find_last_not_of('\0') / 64 + 1) * 64;
    ASSERT_GE(size, 5 * 64u);
    if (torn) {
      ASSERT_TRUE((*file)->Truncate(size - 10).ok());
    } else {
      ASSERT_TRUE(harness.files().FlipBit(journal, size - 10, 1));
    }
    // What no mark covers is found by its checksums.
    ASSERT_TRUE(harness.Start()) << *harness.error();
    EXPECT_EQ(harness.log().ends().log_end, Offset{6});
    harness.scheduler().RunFor(std::chrono::seconds(1));
    EXPECT_EQ(harness.directory().MarkOf(harness.id())->end_offset, Offset{6});
  }
}

TEST(LogRecovery, ABatchOfAnEpochThatNoLeaderHadIsNeitherBelievedNorCut) {
  LogHarness harness(7);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 2));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(WriteUnsynced(harness, 2));
  const TopicIdPartition id = harness.id();
  RecoveryOptions options;
  options.id = id;
  options.epoch_max = LeaderEpoch{1};
  harness.Kill();
  const std::vector<uint64_t> positions = Positions(harness);
  // The epoch is not under the checksum.
  ASSERT_TRUE(harness.files().FlipBit(harness.Path(0), positions[3] + 15, 3));
  ASSERT_TRUE(harness.Start()) << *harness.error();  // any epoch will do
  EXPECT_EQ(harness.log().ends().log_end, Offset{4});
  EXPECT_EQ(harness.log().last_epoch(), LeaderEpoch{1 ^ 8});
  const SyncedMark mark{Offset{0}, Offset{0}, Offset{0}, 0, 0};
  options.mark = mark;
  const std::string before = *ReadWholeFile(harness.files(), harness.Path(0), 1 << 20);
  const auto recovered = RecoverLog(harness.directory(), options);
  ASSERT_FALSE(recovered.ok());
  EXPECT_EQ(recovered.error().reason, Reason::kStorageError);
  EXPECT_THAT(recovered.error().message, HasSubstr("metadata are older than the log"));
  EXPECT_EQ(*ReadWholeFile(harness.files(), harness.Path(0), 1 << 20), before);
}

// As a metadata directory from a backup makes it.
TEST(LogRecovery, ALogOfLaterEpochsThanTheMetadataKnowIsRefusedAndKept) {
  enum class What { kCheckpointed, kAboveTheMark, kNoMark };
  for (const What what : {What::kCheckpointed, What::kAboveTheMark, What::kNoMark}) {
    LogHarness harness(19, SmallSegments());
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(harness.Start()) << *harness.error();
      ASSERT_TRUE(AppendSome(harness, 2));
      ASSERT_TRUE(harness.Sync());
      if (what == What::kCheckpointed) {
        ASSERT_TRUE(harness.CloseCleanly());
      }
      harness.Kill();
    }
    if (what == What::kNoMark) {
      ASSERT_TRUE(harness.files().Remove("/data/synced-marks").ok());
    }
    const std::string before = *ReadWholeFile(harness.files(), harness.Path(0), 1 << 20);
    harness.set_epoch_max(LeaderEpoch{2});
    for (int i = 0; i < 2; ++i) {
      ASSERT_FALSE(harness.Start());
      EXPECT_EQ(harness.error()->reason, Reason::kStorageError);
      EXPECT_THAT(harness.error()->message, HasSubstr("leader epoch 3"));
      EXPECT_THAT(harness.error()->message, HasSubstr("Restore newer metadata"));
      harness.Kill();
    }
    EXPECT_EQ(*ReadWholeFile(harness.files(), harness.Path(0), 1 << 20), before);
    harness.set_epoch_max(LeaderEpoch{3});
    ASSERT_TRUE(harness.Start()) << *harness.error();
    EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(6));
  }
}

// The journal of marks is gone, or has lost some.
class LogRecoveryInDoubt : public testing::TestWithParam<bool> {
 protected:
  static constexpr char kJournal[] = "/data/synced-marks";
  void LoseMarks(LogHarness& harness) {
    if (GetParam()) {
      ASSERT_TRUE(harness.files().FlipBit(kJournal, 70, 3));
    } else {
      ASSERT_TRUE(harness.files().Remove(kJournal).ok());
    }
  }
  static bool IsKeptAside(LogHarness& harness) {
    return *harness.files().Exists(std::string(kJournal) + ".damaged");
  }
};

TEST_P(LogRecoveryInDoubt, DamageWithSoundBatchesBehindItIsRefusedAtEveryStart) {
  for (const bool in_last_segment : {false, true}) {
    LogHarness harness(20, SmallSegments());
    ASSERT_TRUE(harness.Start());
    ASSERT_TRUE(AppendSome(harness, 13));
    ASSERT_TRUE(harness.Sync());
    ASSERT_TRUE(harness.CloseCleanly());
    ASSERT_TRUE(harness.files().Remove(Folder(harness) + "/checkpoint").ok());
    LoseMarks(harness);
    const std::string path = harness.Path(in_last_segment ? 10 : 5);
    const std::string before = *ReadWholeFile(harness.files(), path, 1 << 20);
    ASSERT_TRUE(harness.files().FlipBit(path, 100, 3));
    for (int i = 0; i < 2; ++i) {
      ASSERT_FALSE(harness.Start());
      EXPECT_THAT(harness.error()->message, HasSubstr("how much of this log was synced"));
      EXPECT_EQ(ReadWholeFile(harness.files(), path, 1 << 20)->size(), before.size());
      EXPECT_EQ(IsKeptAside(harness), GetParam());
      harness.Kill();
    }
    ASSERT_TRUE(harness.files().FlipBit(path, 100, 3));  // restored
    ASSERT_TRUE(harness.Start()) << *harness.error();
    EXPECT_THAT(harness.ReadAll(Offset{0}), SizeIs(13));
    // From here on its mark is known again.
    harness.scheduler().RunFor(std::chrono::seconds(2));
    EXPECT_FALSE(harness.directory().MarkOf(harness.id())->is_doubtful);
    EXPECT_EQ(harness.directory().MarkOf(harness.id())->end_offset, Offset{13});
  }
}

TEST_P(LogRecoveryInDoubt, TheCheckpointStandsInForTheMark) {
  LogHarness harness(21, SmallSegments());
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 13));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(harness.CloseCleanly());
  LoseMarks(harness);
  // The end of what was synced, which looks like a torn write but for the checkpoint.
  const auto file = harness.files().Open(harness.Path(10), OpenMode::kReadWrite);
  ASSERT_TRUE((*file)->Truncate(*(*file)->Size() - 1).ok());
  ASSERT_FALSE(harness.Start());
  EXPECT_THAT(harness.error()->message, HasSubstr("were synced"));
}

TEST_P(LogRecoveryInDoubt, ATornEndIsCutOff) {
  LogHarness harness(22, SmallSegments());
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 12));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(WriteUnsynced(harness, 1));
  harness.Kill();
  ASSERT_TRUE(harness.files().Remove(Folder(harness) + "/checkpoint").ok());
  LoseMarks(harness);
  ASSERT_EQ(Positions(harness).size(), 5u);
  const std::string last = *ReadWholeFile(harness.files(), harness.Path(10), 1 << 20);
  ASSERT_TRUE(harness.files().FlipBit(harness.Path(10), last.find_last_not_of('\0') - 3, 0));
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_end, Offset{12});
}

TEST_P(LogRecoveryInDoubt, DeletedRecordsStayDeleted) {
  LogHarness harness(23);
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 10));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(
      harness
          .Await<void>([&](auto done) { harness.log().DeleteBefore(Offset{9}, std::move(done)); })
          .ok());
  harness.Kill();
  // What only the journal knows is in a checkpoint after any clean stop.
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(harness.CloseCleanly());
  LoseMarks(harness);
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_start, Offset{9});
  EXPECT_THAT(harness.ReadAll(Offset{9}), SizeIs(1));
}

INSTANTIATE_TEST_SUITE_P(All, LogRecoveryInDoubt, testing::Bool(), [](const auto& info) {
  return info.param ? "JournalDamaged" : "JournalMissing";
});

TEST(LogRecovery, ALogThatHasNothingNewIsNeitherWrittenNorSynced) {
  for (const bool clean : {true, false}) {
    LogHarness harness(8, SmallSegments());
    ASSERT_TRUE(harness.Start());
    ASSERT_TRUE(AppendSome(harness, 12));
    ASSERT_TRUE(harness.Sync());
    ASSERT_TRUE(harness.CloseCleanly());
    if (!clean) {
      // The second kill: what the first start found out is in the journal now.
      for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(harness.Start());
        harness.scheduler().RunFor(std::chrono::seconds(5));
        harness.Kill();
      }
    }
    ASSERT_TRUE(harness.Start());
    RecoveryOptions options;
    options.id = harness.id();
    harness.scheduler().RunFor(std::chrono::seconds(5));
    const uint64_t before = harness.files().mutation_count();
    const auto recovered = RecoverLog(harness.directory(), options);
    ASSERT_TRUE(recovered.ok()) << recovered.error();
    EXPECT_EQ(recovered->log_end, Offset{12});
    EXPECT_EQ(harness.files().mutation_count(), before);
    EXPECT_EQ(harness.directory().file_cache().size(), 0u);
  }
}

// Its removal was not durable: after a power loss a file is back of which the log needs nothing.
TEST(LogRecovery, DamageInWhatWasDeletedIsNone) {
  const auto flip = [](size_t at, char bits) {
    return [=](std::string& file) { file[at] = static_cast<char>(file[at] ^ bits); };
  };
  struct Damage {
    std::string what;
    std::function<void(std::string&)> make;
    bool is_noticed = false;  // what a checkpoint lists is not read at a start
    bool is_listed = true;    // by a checkpoint
  };
  const Damage damages[] = {
      {"none", [](std::string&) {}, false},
      {"a record", flip(100, 1), true, false},
      {"a record of a listed one", flip(100, 1), false},
      {"the first offset", flip(4, 4), true, false},
      {"the first leader epoch", flip(12, 4), true, false},
      {"half is missing", [](std::string& file) { file.resize(file.size() / 2); }, true, false},
      {"half of a listed one is missing", [](std::string& file) { file.resize(500); }, true},
      {"a listed one is empty", [](std::string& file) { file.clear(); }, true},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.what);
    LogHarness harness(24, SmallSegments());
    ASSERT_TRUE(harness.Start());
    ASSERT_TRUE(AppendSome(harness, 14));
    ASSERT_TRUE(harness.CloseCleanly());
    ASSERT_TRUE(harness.Start());
    std::string first = *ReadWholeFile(harness.files(), harness.Path(0), 1 << 20);
    const std::string checkpoint = Folder(harness) + "/checkpoint";
    const std::string listing = *ReadWholeFile(harness.files(), checkpoint, 1 << 20);
    ASSERT_TRUE(
        harness
            .Await<void>([&](auto done) { harness.log().DeleteBefore(Offset{7}, std::move(done)); })
            .ok());
    ASSERT_TRUE(harness.loop().RunUntil(
        [] {}, [&] { return !*harness.files().Exists(harness.Path(0)); }, std::chrono::minutes(1)));
    harness.Kill();
    damage.make(first);
    const auto write = [&](const std::string& path, const std::string& text) {
      const auto file = harness.files().Open(path, OpenMode::kCreate);
      return file.ok() && (*file)->Truncate(0).ok() && (*file)->Write(0, Slice::Copy(text)).ok();
    };
    ASSERT_TRUE(write(harness.Path(0), first));
    if (damage.is_listed) {
      ASSERT_TRUE(write(checkpoint, listing));
    } else {
      ASSERT_TRUE(harness.files().Remove(checkpoint).ok());
    }
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(harness.Start()) << *harness.error();
      EXPECT_EQ(harness.log().ends().log_start, Offset{7});
      EXPECT_EQ(harness.log().ends().log_end, Offset{14});
      EXPECT_THAT(harness.ReadAll(Offset{7}), SizeIs(7));
      EXPECT_EQ(*harness.files().Exists(harness.Path(0)), !damage.is_noticed);
      harness.Kill();
    }
  }
}

TEST(LogRecovery, AnErrorOfTheDiskIsNoDamage) {
  LogHarness harness(9, SmallSegments());
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 12));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(WriteUnsynced(harness, 2));
  harness.Kill();
  harness.files().FailNext(SimOperation::kRead, ".log");
  EXPECT_FALSE(harness.Start());
  EXPECT_EQ(harness.error()->reason, Reason::kStorageError);
  harness.Kill();
  harness.files().Disarm();
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_end, Offset{14});
}

TEST(LogRecovery, SegmentsOfWhichOneIsMissingAboveTheMarkEndBeforeIt) {
  LogHarness harness(10, SmallSegments());
  ASSERT_TRUE(harness.Start());
  ASSERT_TRUE(AppendSome(harness, 2));
  ASSERT_TRUE(harness.Sync());
  ASSERT_TRUE(WriteUnsynced(harness, 22));
  harness.Kill();
  std::vector<std::string> segments;
  const auto entries = harness.files().List(Folder(harness));
  for (const DirectoryEntry& entry : *entries) {
    if (entry.name.ends_with(".log")) segments.push_back(entry.name);
  }
  ASSERT_GT(segments.size(), 4u);
  const auto lost = SegmentName::Parse(segments[2], "log");
  ASSERT_TRUE(harness.files().Remove(Folder(harness) + "/" + segments[2]).ok());
  ASSERT_TRUE(harness.files().Remove(Folder(harness) + "/checkpoint").ok());
  ASSERT_TRUE(harness.Start()) << *harness.error();
  EXPECT_EQ(harness.log().ends().log_end, lost->base);
  // What lay behind it is gone for good.
  ASSERT_TRUE(AppendSome(harness, 18));
  ASSERT_TRUE(harness.Sync());
  harness.LosePower();
  ASSERT_TRUE(harness.Start()) << *harness.error();
  const auto values = harness.ReadAll(Offset{0});
  ASSERT_EQ(Offset{static_cast<int64_t>(values.size())}, harness.log().ends().log_end);
  for (size_t i = static_cast<size_t>(lost->base.value); i < values.size(); ++i)
    EXPECT_THAT(values[i], StartsWith(std::to_string(i) + "/2/"));
}

TEST(LogRecovery, HowMuchACrashLeavesToReadIsBounded) {
  LogHarness harness(11);
  harness.directory_options().checkpoint_bytes = 4000;
  ASSERT_TRUE(harness.Start());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(AppendSome(harness, 1));
    ASSERT_TRUE(harness.Sync());
  }
  harness.scheduler().RunFor(std::chrono::seconds(5));
  harness.Kill();
  ASSERT_TRUE(harness.Start());
  // The checkpoint in the folder is not long ago.
  const auto text = ReadWholeFile(harness.files(), Folder(harness) + "/checkpoint", 1 << 20);
  ASSERT_TRUE(text.ok());
  const auto checkpoint = LogCheckpoint::Decode(*text, {});
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_GT(checkpoint->end, Offset{60});
}

TEST(LogRecovery, NorDoManyCrashesLeaveMore) {
  LogHarness harness(18);
  harness.directory_options().checkpoint_bytes = 4000;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(harness.Start());
    ASSERT_TRUE(AppendSome(harness, 5));
    ASSERT_TRUE(harness.Sync());
    harness.scheduler().RunFor(std::chrono::seconds(5));
    harness.Kill();
  }
  ASSERT_TRUE(harness.Start());
  const auto text = ReadWholeFile(harness.files(), Folder(harness) + "/checkpoint", 1 << 20);
  ASSERT_TRUE(text.ok());
  const auto checkpoint = LogCheckpoint::Decode(*text, {});
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_GT(checkpoint->end, Offset{60});
}

}  // namespace
}  // namespace gregor
