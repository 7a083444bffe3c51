#include "controller/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/image/snapshot.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {
namespace {

using testing::HasSubstr;

constexpr char kDir[] = "/data";
constexpr char kMeta[] = "/data/meta.properties";

FormatOptions Options() {
  FormatOptions options;
  options.node_id = NodeId{4};
  options.request_id_key[5] = 9;
  return options;
}

TEST(Format, AFormattedDirectoryIsRead) {
  SimFileSystem files(1, nullptr);
  Random random(1);
  EXPECT_FALSE(ReadIdentity(files, kDir)->has_value());
  const auto formatted = FormatDirectory(files, kDir, Options(), random);
  ASSERT_TRUE(formatted.ok()) << formatted.error();
  EXPECT_EQ(formatted->node_id, NodeId{4});
  EXPECT_FALSE(formatted->cluster_id.IsZero());
  EXPECT_EQ(**ReadIdentity(files, kDir), *formatted);
  const auto bootstrap = ReadSnapshot(files, BootstrapPath(kDir));
  ASSERT_TRUE(bootstrap.ok());
  EXPECT_EQ((*bootstrap)->cluster_id, formatted->cluster_id);
  EXPECT_EQ((*bootstrap)->request_id_key[5], 9);
  EXPECT_EQ((*bootstrap)->feature_level, kFeatureLevel);
}

TEST(Format, AnOlderFeatureLevelIsTaken) {
  SimFileSystem files(1, nullptr);
  Random random(1);
  FormatOptions options = Options();
  options.feature_level = 1;
  ASSERT_TRUE(FormatDirectory(files, kDir, options, random).ok());
  EXPECT_EQ((*ReadSnapshot(files, BootstrapPath(kDir)))->feature_level, 1);
}

TEST(Format, KeysAndIdsDifferFromClusterToCluster) {
  SimFileSystem files(1, nullptr);
  Random random(1);
  ASSERT_TRUE(FormatDirectory(files, "/a", {}, random).ok());
  ASSERT_TRUE(FormatDirectory(files, "/b", {}, random).ok());
  const auto a = ReadSnapshot(files, BootstrapPath("/a"));
  const auto b = ReadSnapshot(files, BootstrapPath("/b"));
  EXPECT_NE((*a)->request_id_key, (*b)->request_id_key);
  EXPECT_NE((*a)->cluster_id, (*b)->cluster_id);
}

TEST(Format, AGivenClusterIdIsTaken) {
  SimFileSystem files(1, nullptr);
  Random random(1);
  FormatOptions options = Options();
  options.cluster_id = random.NewUuid<ClusterId>();
  EXPECT_EQ(FormatDirectory(files, kDir, options, random)->cluster_id, options.cluster_id);
}

TEST(Format, AFormattedDirectoryIsNotFormattedAgain) {
  SimFileSystem files(1, nullptr);
  Random random(1);
  ASSERT_TRUE(FormatDirectory(files, kDir, Options(), random).ok());
  const auto again = FormatDirectory(files, kDir, Options(), random);
  ASSERT_FALSE(again.ok());
  EXPECT_THAT(again.error().message, HasSubstr("belongs to node 4"));
}

TEST(Format, AFolderWithOtherFilesIsRefused) {
  SimFileSystem files(1, nullptr);
  Random random(1);
  ASSERT_TRUE(files.MakeDirectory(kDir).ok());
  ASSERT_TRUE(ReplaceFile(files, "/data/photo.jpg", "x").ok());
  EXPECT_FALSE(ReadIdentity(files, kDir).ok());
  const auto formatted = FormatDirectory(files, kDir, Options(), random);
  ASSERT_FALSE(formatted.ok());
  EXPECT_THAT(formatted.error().message, HasSubstr("is it the right folder?"));
}

TEST(Format, AFolderThatLostItsIdentityIsRefused) {
  SimFileSystem files(1, nullptr);
  Random random(1);
  ASSERT_TRUE(FormatDirectory(files, kDir, Options(), random).ok());
  ASSERT_TRUE(ReplaceFile(files, "/data/metadata/vote", "x").ok());
  ASSERT_TRUE(files.Remove(kMeta).ok());
  EXPECT_FALSE(ReadIdentity(files, kDir).ok());
}

TEST(Format, DamagedAndNewerIdentitiesAreRefused) {
  SimFileSystem files(1, nullptr);
  Random random(1);
  ASSERT_TRUE(FormatDirectory(files, kDir, Options(), random).ok());
  const std::string whole = *ReadWholeFile(files, kMeta, 1 << 20);
  for (const std::string& damaged :
       {std::string(), std::string("version=1\n"), whole.substr(0, whole.size() - 10),
        "version=1\ncluster.id=x\nnode.id=4\ndirectory.id=y\n" + std::string()}) {
    ASSERT_TRUE(ReplaceFile(files, kMeta, damaged).ok());
    const auto identity = ReadIdentity(files, kDir);
    ASSERT_FALSE(identity.ok()) << damaged;
    EXPECT_THAT(identity.error().message, HasSubstr("damaged meta.properties"));
  }
  std::string newer = whole;
  newer.replace(newer.find("version=1"), 9, "version=2");
  ASSERT_TRUE(ReplaceFile(files, kMeta, newer).ok());
  EXPECT_THAT(ReadIdentity(files, kDir).error().message,
              HasSubstr("has format version 2, and this release knows 1"));
}

TEST(Format, AnotherNodeOrClusterIsNamed) {
  Random random(1);
  NodeIdentity identity;
  identity.node_id = NodeId{4};
  identity.cluster_id = random.NewUuid<ClusterId>();
  EXPECT_TRUE(CheckIdentity(identity, kDir, NodeId{4}, ClusterId{}).ok());
  EXPECT_TRUE(CheckIdentity(identity, kDir, NodeId{4}, identity.cluster_id).ok());
  EXPECT_THAT(CheckIdentity(identity, kDir, NodeId{5}, ClusterId{}).error().message,
              HasSubstr("belongs to node 4, and this is node 5"));
  EXPECT_EQ(CheckIdentity(identity, kDir, NodeId{4}, random.NewUuid<ClusterId>()).error().reason,
            Reason::kInconsistentClusterId);
}

// The power fails at each step of the formatting: the directory is formatted, or can be.
TEST(Format, APowerLossLeavesItFormattedOrReadyForIt) {
  bool ended = false;
  int formatted_count = 0;
  for (uint64_t step = 1; !ended; ++step) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      SimFileSystem files(seed, nullptr);
      Random random(seed);
      files.FailPowerAt(step);
      const auto formatted = FormatDirectory(files, kDir, Options(), random);
      ended = !files.is_powerless();
      files.LosePower();
      const auto identity = ReadIdentity(files, kDir);
      ASSERT_TRUE(identity.ok()) << "step " << step << ": " << identity.error();
      if (formatted.ok()) {
        EXPECT_EQ(**identity, *formatted);
      }
      if (identity->has_value()) {
        ++formatted_count;
        EXPECT_TRUE(ReadSnapshot(files, BootstrapPath(kDir)).ok());
      } else {
        EXPECT_TRUE(FormatDirectory(files, kDir, Options(), random).ok());
      }
    }
  }
  EXPECT_GT(formatted_count, 10);
}

}  // namespace
}  // namespace gregor
