// One contract for both stores; and what only RocksDB's files can suffer.
#include "controller/image/image_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

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
    const auto written = store.Write(DiffRows(before.get(), *after), PositionOf(*after));
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
  const ImagePosition later{maker.image()->version + 5, LeaderEpoch{9}, Timestamp{77}};
  ASSERT_TRUE(store->Write({}, later).ok());
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

// Damages one file after the other, in its middle: the store says so, or has an older whole image;
// it never has a wrong one.
TEST(RocksDbStore, DamageIsSeenAndSetAside) {
  int seen = 0;
  for (const char* kind : {".sst", ".log", "MANIFEST", "CURRENT"}) {
    FolderPlace place;
    ImageMaker maker(14);
    std::vector<std::string> written;
    {
      auto store = place.Open();
      ASSERT_TRUE(store->Load().ok());
      ImagePtr stored;
      for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < 20; ++i) maker.Step();
        ASSERT_TRUE(
            store->Write(DiffRows(stored.get(), *maker.image()), PositionOf(*maker.image())).ok());
        stored = maker.image();
        written.push_back(EncodeSnapshot(*stored));
      }
    }
    // Opening it once more leaves tables beside the log.
    ASSERT_TRUE(place.Open()->Load().ok());
    const auto paths = place.FilesWith(kind);
    for (const std::string& path : paths) {
      const auto file = place.files().Open(path, OpenMode::kReadWrite);
      const uint64_t middle = *(*file)->Size() / 2;
      ASSERT_TRUE((*file)->Write(middle, Slice::Static("damage!")).ok());
    }
    auto store = place.Open();
    const auto loaded = store->Load();
    if (loaded.ok()) {
      const bool is_older = *loaded == nullptr ||
                            testing::Value(written, testing::Contains(EncodeSnapshot(**loaded)));
      EXPECT_TRUE(is_older) << kind;
      continue;
    }
    ++seen;
    EXPECT_EQ(loaded.error().reason, Reason::kStorageError);
    ASSERT_TRUE(store->Reset().ok());
    EXPECT_EQ(*store->Load(), nullptr);
    EXPECT_TRUE(store->Write(DiffRows(nullptr, *maker.image()), PositionOf(*maker.image())).ok());
    EXPECT_TRUE(*place.files().Exists(place.path() + ".damaged"));
  }
  EXPECT_GE(seen, 2);
}

TEST(RocksDbStore, AMissingTableIsSeen) {
  FolderPlace place;
  ImageMaker maker(15);
  maker.CreateTopic("wide", 5000);
  {
    auto store = place.Open();
    ASSERT_TRUE(store->Load().ok());
    ASSERT_TRUE(store->Write(DiffRows(nullptr, *maker.image()), PositionOf(*maker.image())).ok());
  }
  ASSERT_TRUE(place.Open()->Load().ok());
  const auto tables = place.FilesWith(".sst");
  ASSERT_FALSE(tables.empty());
  ASSERT_TRUE(place.files().Remove(tables.front()).ok());
  EXPECT_FALSE(place.Open()->Load().ok());
}

}  // namespace
}  // namespace gregor
