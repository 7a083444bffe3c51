// One contract for both stores; and what only RocksDB's files can suffer.
#include "controller/image/image_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>

#include "controller/image/snapshot.h"
#include "tests/controller/image/image_maker.h"

namespace gregor {
namespace {

// A store that is closed and opened again; in memory, or in a folder.
class Place {
 public:
  virtual ~Place() = default;
  virtual std::unique_ptr<ImageStore> Open() = 0;
};

class MemoryPlace final : public Place {
 public:
  std::unique_ptr<ImageStore> Open() override { return NewMemoryStore(rows_); }

 private:
  std::shared_ptr<MemoryRows> rows_ = std::make_shared<MemoryRows>();
};

class FolderPlace final : public Place {
 public:
  FolderPlace() {
    std::string path = testing::TempDir() + "/image-store-XXXXXX";
    CHECK(mkdtemp(path.data()) != nullptr);
    folder_ = path;
  }
  ~FolderPlace() override { CHECK(RemoveTree(*files_, folder_).ok()); }
  std::unique_ptr<ImageStore> Open() override { return NewRocksDbStore(*files_, path()); }

  FileSystem& files() { return *files_; }
  std::string path() const { return folder_ + "/image"; }
  std::vector<std::string> FilesWith(std::string_view part) {
    std::vector<std::string> found;
    const auto entries = files_->List(path());
    for (const DirectoryEntry& entry : *entries) {
      if (entry.name.find(part) != std::string::npos) found.push_back(JoinPath(path(), entry.name));
    }
    return found;
  }

 private:
  std::unique_ptr<FileSystem> files_ = NewPosixFileSystem(1);
  std::string folder_;
};

enum class Kind { kMemory, kRocksDb };

class ImageStoreTest : public testing::TestWithParam<Kind> {
 protected:
  ImageStoreTest() {
    if (GetParam() == Kind::kMemory) {
      place_ = std::make_unique<MemoryPlace>();
    } else {
      place_ = std::make_unique<FolderPlace>();
    }
  }
  static void Write(ImageStore& store, const ImagePtr& before, const ImagePtr& after) {
    const auto written = store.Write(DiffRows(before.get(), *after), PositionOf(*after), false);
    ASSERT_TRUE(written.ok()) << written.error();
  }

  std::unique_ptr<Place> place_;
};

TEST_P(ImageStoreTest, AnEmptyOneHasNoImage) {
  const auto image = place_->Open()->Load();
  ASSERT_TRUE(image.ok()) << image.error();
  EXPECT_EQ(*image, nullptr);
}

TEST_P(ImageStoreTest, WhatIsWrittenIsLoaded) {
  ImageMaker maker(11);
  ImagePtr stored;
  for (int round = 0; round < 12; ++round) {
    const auto store = place_->Open();
    const auto loaded = store->Load();
    ASSERT_TRUE(loaded.ok()) << loaded.error();
    ASSERT_EQ(*loaded == nullptr, stored == nullptr);
    if (stored != nullptr) {
      EXPECT_EQ(EncodeSnapshot(**loaded), EncodeSnapshot(*stored));
    }
    // Several writes, from images that come from the store and from the log alike.
    stored = *loaded;
    for (int i = 0; i < 5; ++i) {
      for (int step = 0; step < 5; ++step) maker.Step();
      Write(*store, stored, maker.image());
      stored = maker.image();
    }
  }
}

TEST_P(ImageStoreTest, AWriteWithoutChangesMovesThePosition) {
  const auto store = place_->Open();
  ASSERT_TRUE(store->Load().ok());
  ImageMaker maker(12);
  Write(*store, nullptr, maker.image());
  const ImagePosition later{maker.image()->version + 5, LeaderEpoch{9}, Timestamp{77},
                            maker.image()->state_hash};
  ASSERT_TRUE(store->Write({}, later, false).ok());
  EXPECT_EQ(PositionOf(**store->Load()), later);
}

TEST_P(ImageStoreTest, AfterAResetItIsEmptyAndUsable) {
  ImageMaker maker(13);
  auto store = place_->Open();
  ASSERT_TRUE(store->Load().ok());
  Write(*store, nullptr, maker.image());
  for (int i = 0; i < 2; ++i) {
    const auto reset = store->Reset();
    ASSERT_TRUE(reset.ok()) << reset.error();
    EXPECT_EQ(*store->Load(), nullptr);
    maker.Step();
    Write(*store, nullptr, maker.image());
  }
  store = nullptr;
  store = place_->Open();
  EXPECT_EQ(EncodeSnapshot(**store->Load()), EncodeSnapshot(*maker.image()));
}

INSTANTIATE_TEST_SUITE_P(Both, ImageStoreTest, testing::Values(Kind::kMemory, Kind::kRocksDb),
                         [](const auto& tested) {
                           return tested.param == Kind::kMemory ? "Memory" : "RocksDb";
                         });

TEST_P(ImageStoreTest, WhatIsDurableIsSaid) {
  const auto store = place_->Open();
  ASSERT_TRUE(store->Load().ok());
  ImageMaker maker(16);
  ImagePtr stored;
  Offset durable_end{0};
  for (int i = 0; i < 20; ++i) {
    maker.Step();
    const auto written = store->Write(DiffRows(stored.get(), *maker.image()),
                                      PositionOf(*maker.image()), i % 4 == 3);
    ASSERT_TRUE(written.ok()) << written.error();
    stored = maker.image();
    EXPECT_GE(*written, durable_end);
    EXPECT_LE(*written, stored->version);
    if (i % 4 == 3) {
      EXPECT_EQ(*written, stored->version);
    }
    durable_end = *written;
  }
}

// As AKilledProcess... below, of what tests take for RocksDB.
TEST(MemoryStore, AnEndTakesBackWhatIsNotDurable) {
  const auto rows = std::make_shared<MemoryRows>();
  rows->keeps_all = false;
  ImageMaker maker(17);
  ImagePtr stored;
  std::string durable;
  for (int life = 0; life < 20; ++life) {
    const auto store = NewMemoryStore(rows);
    const auto loaded = store->Load();
    ASSERT_TRUE(loaded.ok()) << loaded.error();
    ASSERT_EQ(*loaded == nullptr ? "" : EncodeSnapshot(**loaded), durable);
    stored = *loaded;
    for (int i = 0; i < 3; ++i) {
      maker.Step();
      const bool is_durable = i == life % 4;
      const auto written = store->Write(DiffRows(stored.get(), *maker.image()),
                                        PositionOf(*maker.image()), is_durable);
      ASSERT_TRUE(written.ok()) << written.error();
      stored = maker.image();
      if (!is_durable) continue;
      EXPECT_EQ(*written, stored->version);
      durable = EncodeSnapshot(*stored);
    }
  }
}

// What a bad disk leaves of a file; says how.
std::string Damage(Random& random, std::string& content) {
  if (content.empty()) {
    content = "damage!";
    return "bytes";
  }
  const auto at = random.Below(content.size());
  const auto in = [&](uint64_t page) { return std::min(page, content.size() - at / page * page); };
  switch (random.Below(4)) {
    case 0:
      content[at] = static_cast<char>(content[at] ^ 1 << random.Below(8));
      return "bit " + std::to_string(at);
    case 1:
      content.resize(at);
      return "end " + std::to_string(at);
    case 2:
      content.replace(at / 4096 * 4096, in(4096), std::string(in(4096), '\0'));
      return "page " + std::to_string(at / 4096);
    default:
      for (uint64_t i = 0; i < in(512); ++i)
        content[at / 512 * 512 + i] = static_cast<char>(random.Below(256));
      return "sector " + std::to_string(at / 512);
  }
}

// What a store in a folder may have: the image of any of its writes, or nothing.
class RocksDbStore : public testing::Test {
 protected:
  // Returns what Write() says to be durable.
  Offset Write(ImageStore& store, int steps = 20, bool durable = false) {
    for (int i = 0; i < steps; ++i) maker_.Step();
    const auto written =
        store.Write(DiffRows(stored_.get(), *maker_.image()), PositionOf(*maker_.image()), durable);
    EXPECT_TRUE(written.ok()) << written.error();
    stored_ = maker_.image();
    written_.push_back(EncodeSnapshot(*stored_));
    return written.ok() ? *written : Offset{-1};
  }
  // ... by lives of several writes each, so that there are several tables.
  void Live(int lives) {
    for (int life = 0; life < lives; ++life) {
      const auto store = place_.Open();
      const auto loaded = store->Load();
      ASSERT_TRUE(loaded.ok()) << loaded.error();
      for (int i = 0; i < 3; ++i) Write(*store);
    }
  }
  // As earlier releases did: with a write-ahead log.
  void WriteWithLog() {
    for (int i = 0; i < 20; ++i) maker_.Step();
    rocksdb::Options options;
    options.create_if_missing = true;
    options.avoid_flush_during_shutdown = true;
    rocksdb::DB* opened = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, place_.path(), &opened).ok());
    const std::unique_ptr<rocksdb::DB> db(opened);
    const std::vector<RowChange> rows = DiffRows(nullptr, *maker_.image());
    rocksdb::WriteBatch batch;
    for (const RowChange& row : rows) ASSERT_TRUE(batch.Put(row.key, *row.record).ok());
    pb::StoredPosition position;
    position.set_end_offset(maker_.image()->version.value);
    position.set_row_count(static_cast<int64_t>(rows.size()));
    ASSERT_TRUE(batch.Put(std::string(1, '\0'), position.SerializeAsString()).ok());
    ASSERT_TRUE(db->Write(rocksdb::WriteOptions(), &batch).ok());
  }
  // It never has a wrong image; one that is damaged is set aside, and can be made anew. Returns
  // whether it was.
  bool ExpectWholeOrSetAside(const std::string& what) {
    auto store = place_.Open();
    const auto loaded = store->Load();
    EXPECT_FALSE(*place_.files().Exists(place_.path() + ".opening")) << what;
    if (loaded.ok()) {
      EXPECT_TRUE(*loaded == nullptr ||
                  testing::Value(written_, testing::Contains(EncodeSnapshot(**loaded))))
          << what;
      return false;
    }
    EXPECT_EQ(loaded.error().reason, Reason::kStorageError) << what;
    EXPECT_TRUE(store->Reset().ok()) << what;
    EXPECT_EQ(*store->Load(), nullptr) << what;
    EXPECT_TRUE(*place_.files().Exists(place_.path() + ".damaged")) << what;
    stored_ = nullptr;
    Write(*store);
    return true;
  }

  using Files = std::map<std::string, std::string>;
  // All files of the store that is there, by their names; nullopt: some went meanwhile, as a store
  // that is open merges its tables.
  std::optional<Files> Look() {
    Files contents;
    for (const std::string& path : place_.FilesWith("")) {
      auto content = ReadWholeFile(place_.files(), path, 1 << 26);
      if (!content.ok()) return std::nullopt;
      contents[path.substr(path.rfind('/') + 1)] = *std::move(content);
    }
    return contents;
  }
  // ... of one moment; and other ones in their place.
  Files Contents() {
    std::optional<Files> contents;
    while (!contents.has_value() || contents != Look()) contents = Look();
    return *contents;
  }
  void PutContents(const std::map<std::string, std::string>& contents) {
    PutContents(contents, place_.path());
  }
  void PutContents(const std::map<std::string, std::string>& contents, const std::string& folder) {
    ASSERT_TRUE(RemoveTree(place_.files(), folder).ok());
    ASSERT_TRUE(place_.files().MakeDirectory(folder).ok());
    for (const auto& [name, content] : contents)
      std::ofstream(JoinPath(folder, name), std::ios::binary) << content;
  }

  FolderPlace place_;
  ImageMaker maker_{14};
  ImagePtr stored_;
  std::vector<std::string> written_;
};

// Any file, in any way.
TEST_F(RocksDbStore, DamageIsSeenAndSetAside) {
  Live(5);
  const auto whole = Contents();
  Random random(14);
  int seen = 0;
  for (int round = 0; round < 80; ++round) {
    auto damaged = whole;
    const auto file =
        std::next(damaged.begin(), static_cast<ptrdiff_t>(random.Below(damaged.size())));
    const std::string what = Damage(random, file->second) + " of " + file->first;
    if (random.Chance(0.1)) damaged.erase(file);
    PutContents(damaged);
    if (ExpectWholeOrSetAside(what)) ++seen;
  }
  EXPECT_GE(seen, 10);
}

TEST_F(RocksDbStore, OneOfAnEarlierReleaseHasWhatItHadInTables) {
  Live(2);
  WriteWithLog();
  ASSERT_GT(ReadWholeFile(place_.files(), place_.FilesWith(".log").back(), 1 << 24)->size(), 0u);
  const auto loaded = place_.Open()->Load();
  ASSERT_TRUE(loaded.ok()) << loaded.error();
  EXPECT_EQ(EncodeSnapshot(**loaded), written_.back());
}

TEST_F(RocksDbStore, NoDamageOfAWriteAheadLogIsRead) {
  Live(2);
  WriteWithLog();
  const auto whole = Contents();
  const std::string path = place_.FilesWith(".log").back();
  const std::string log = path.substr(path.rfind('/') + 1);
  Random random(15);
  for (int round = 0; round < 40; ++round) {
    auto damaged = whole;
    std::string what = "twice";  // as where one comes back that was lost: RocksDB aborts
    if (round == 0) {
      damaged["999999.log"] = whole.at(log);
    } else {
      what = Damage(random, damaged[log]);
    }
    PutContents(damaged);
    const auto loaded = place_.Open()->Load();
    ASSERT_TRUE(loaded.ok()) << what << ": " << loaded.error();
    ASSERT_EQ(EncodeSnapshot(**loaded), written_.back()) << what;
  }
}

TEST_F(RocksDbStore, AKilledProcessLosesWholeWritesAndNoneThatWasLargeOrDurable) {
  FolderPlace killed;
  auto store = place_.Open();
  ASSERT_TRUE(store->Load().ok());
  for (int i = 0; i < 15; ++i) {
    const bool is_large = i % 5 == 4;
    const bool is_durable = i % 5 == 2;
    if (is_large) maker_.CreateTopic("wide" + std::to_string(i), 100'000);
    const Offset durable_end = Write(*store, is_large ? 0 : 20, is_durable);
    PutContents(Contents(), killed.path());
    const auto loaded = killed.Open()->Load();
    ASSERT_TRUE(loaded.ok()) << loaded.error();
    ASSERT_EQ(*loaded == nullptr ? Offset{0} : (*loaded)->version, durable_end);
    if (is_large || is_durable) {
      ASSERT_NE(*loaded, nullptr);
      ASSERT_EQ(EncodeSnapshot(**loaded), written_.back());
    } else if (*loaded != nullptr) {
      ASSERT_THAT(written_, testing::Contains(EncodeSnapshot(**loaded)));
    }
  }
}

TEST_F(RocksDbStore, WhatTheProcessDidNotSurviveOpeningIsNotOpenedAgain) {
  Live(1);
  const std::string mark = place_.path() + ".opening";
  ASSERT_TRUE(ReplaceFile(place_.files(), mark, "").ok());
  auto store = place_.Open();
  for (int start = 0; start < 2; ++start) {
    const auto loaded = store->Load();
    ASSERT_FALSE(loaded.ok());
    EXPECT_EQ(loaded.error().reason, Reason::kStorageError);
    EXPECT_THAT(loaded.error().message, testing::HasSubstr("while it was being opened"));
  }
  ASSERT_TRUE(store->Reset().ok());
  EXPECT_FALSE(*place_.files().Exists(mark));
  EXPECT_TRUE(*place_.files().Exists(place_.path() + ".damaged"));
  stored_ = nullptr;
  Write(*store);
  store = nullptr;
  EXPECT_EQ(EncodeSnapshot(**place_.Open()->Load()), written_.back());
}

TEST_F(RocksDbStore, AMissingTableIsSeen) {
  maker_.CreateTopic("wide", 5000);
  {
    auto store = place_.Open();
    ASSERT_TRUE(store->Load().ok());
    const auto written =
        store->Write(DiffRows(nullptr, *maker_.image()), PositionOf(*maker_.image()), false);
    ASSERT_TRUE(written.ok()) << written.error();
  }
  ASSERT_TRUE(place_.Open()->Load().ok());
  const auto tables = place_.FilesWith(".sst");
  ASSERT_FALSE(tables.empty());
  ASSERT_TRUE(place_.files().Remove(tables.front()).ok());
  EXPECT_FALSE(place_.Open()->Load().ok());
}

}  // namespace
}  // namespace gregor
