#include "controller/image/rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/controller/image/image_maker.h"

namespace gregor {
namespace {

using Rows = std::map<std::string, std::string>;

Rows RowsOf(const MetadataImage& image) {
  Rows rows;
  std::string last;
  EXPECT_TRUE(VisitRows(image, [&](std::string_view key, const std::string& record) {
                EXPECT_LT(last, key) << "keys must rise";
                last = key;
                rows.emplace(key, record);
                return Result<void>();
              }).ok());
  return rows;
}

void Apply(const std::vector<RowChange>& changes, Rows& rows) {
  for (const RowChange& change : changes) {
    EXPECT_EQ(change.replaces, rows.count(change.key) != 0);
    rows.erase(change.key);
    if (change.record.has_value()) rows[change.key] = *change.record;
  }
}

ImagePtr Load(const Rows& rows, const ImagePosition& position) {
  ImageLoader loader;
  for (const auto& [key, record] : rows) {
    const auto added = loader.Add(key, record);
    EXPECT_TRUE(added.ok()) << added.error();
  }
  auto image = loader.Finish(position);
  EXPECT_TRUE(image.ok());
  return image.ok() ? *image : nullptr;
}

TEST(Rows, NothingHasNoRows) {
  EXPECT_TRUE(RowsOf(MetadataImage()).empty());
  EXPECT_TRUE(DiffRows(nullptr, MetadataImage()).empty());
}

TEST(Rows, DifferencesLeadFromImageToImage) {
  ImageMaker maker(1);
  Rows rows;
  ImagePtr before;
  for (int round = 0; round < 300; ++round) {
    const ImagePtr after = maker.Step();
    Apply(DiffRows(before.get(), *after), rows);
    ASSERT_EQ(rows, RowsOf(*after)) << "round " << round;
    before = after;
  }
  EXPECT_GT(rows.size(), 20u);
}

TEST(Rows, DifferencesOverManyStepsAreRightToo) {
  ImageMaker maker(2);
  ImagePtr before = maker.Step();
  for (int round = 0; round < 30; ++round) {
    Rows rows = RowsOf(*before);
    for (int step = 0; step < 20; ++step) maker.Step();
    Apply(DiffRows(before.get(), *maker.image()), rows);
    ASSERT_EQ(rows, RowsOf(*maker.image()));
    before = maker.image();
  }
}

TEST(Rows, LoadedRowsMakeTheSameImage) {
  ImageMaker maker(3);
  for (int round = 0; round < 200; ++round) maker.Step();
  const MetadataImage& image = *maker.image();
  const ImagePtr loaded = Load(RowsOf(image), PositionOf(image));
  EXPECT_EQ(RowsOf(*loaded), RowsOf(image));
  EXPECT_EQ(PositionOf(*loaded), PositionOf(image));
  EXPECT_EQ(loaded->partition_count, image.partition_count);
  EXPECT_EQ(loaded->topics.size(), image.topics.size());
  EXPECT_EQ(loaded->request_topics.size(), image.request_topics.size());
  EXPECT_EQ(*loaded->Broker(NodeId{1}), *image.Broker(NodeId{1}));
}

TEST(Rows, AChangeOfOnePartitionIsOneRow) {
  ImageMaker maker(4);
  const TopicId id = maker.CreateTopic("wide", 1000);
  const ImagePtr before = maker.image();
  maker.ChangeLeader(id, 500);
  const auto changes = DiffRows(before.get(), *maker.image());
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_TRUE(changes[0].replaces);
}

TEST(Rows, RowsOutOfOrderAreRefused) {
  ImageMaker maker(5);
  ImageLoader loader;
  const Rows rows = RowsOf(*maker.image());
  ASSERT_GE(rows.size(), 2u);
  const auto second = std::next(rows.begin());
  EXPECT_TRUE(loader.Add(rows.begin()->first, rows.begin()->second).ok());
  EXPECT_TRUE(loader.Add(second->first, second->second).ok());
  EXPECT_FALSE(loader.Add(second->first, second->second).ok());
}

}  // namespace
}  // namespace gregor
