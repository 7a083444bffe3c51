// A controller on its own whose files give it another state than its records make.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/image/snapshot.h"
#include "tests/controller/controller_harness.h"

namespace gregor {
namespace {

using std::chrono::seconds;

constexpr NodeId kNobody{77};
constexpr char kSnapshots[] = "/data/metadata/snapshots";

ImagePtr Altered(const MetadataImage& image) {
  auto altered = std::make_shared<MetadataImage>(image);
  const ConfigMap configs{{"log.retention.ms", "666"}};
  altered->broker_configs.Set(kNobody, std::make_shared<const ConfigMap>(configs));
  altered->state_hash = StateHashOf(*altered);
  return altered;
}

class ControllerStateTest : public testing::Test {
 protected:
  ControllerStateTest() : node_(61) {
    node_.metrics = metrics_.get();
    node_.behavior.hash_interval = seconds(1);
    node_.snapshot_record_bytes = 3000;
    node_.segment_bytes = 2000;
  }
  ~ControllerStateTest() override { node_.Kill(); }

  void Create(int topics) {
    for (int i = 0; i < topics; ++i) {
      const auto made = node_.Create("topic-" + std::to_string(++number_), 3);
      ASSERT_TRUE(made.ok()) << made.error();
    }
  }
  void Wait(Duration duration) { node_.scheduler().RunFor(duration); }
  bool IsAltered() { return node_.image()->broker_configs.Find(kNobody) != nullptr; }
  void AlterStore(const MetadataImage& image) {
    const ImagePtr altered = Altered(image);
    node_.store().rows.clear();
    for (const RowChange& row : DiffRows(nullptr, *altered))
      node_.store().rows[row.key] = *row.record;
    node_.store().position = PositionOf(*altered);
  }
  std::vector<SnapshotFile> Snapshots() { return *ListSnapshots(node_.files(), kSnapshots); }
  void AlterSnapshots() {
    for (const SnapshotFile& file : Snapshots()) {
      const std::string path = JoinPath(kSnapshots, file.name);
      const auto image = ReadSnapshot(node_.files(), path);
      ASSERT_TRUE(image.ok()) << image.error();
      ASSERT_TRUE(WriteSnapshot(node_.files(), path, *Altered(**image)).ok());
    }
  }
  int64_t Metric(const std::string& name) {
    const std::string text = metrics_->Render();
    const size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stoll(text.substr(at + name.size() + 2));
  }

  std::unique_ptr<Metrics> metrics_ = Metrics::Create();
  ControllerHarness node_;
  int number_ = 0;
};

TEST_F(ControllerStateTest, AStoreThatIsWrongIsFoundByTheLogBeforeItLeads) {
  ASSERT_TRUE(node_.Start());
  Create(5);
  Wait(seconds(3));
  const ImagePtr stored = node_.image();
  ASSERT_EQ(node_.store().position.version, stored->version);
  Create(1);
  Wait(seconds(3));
  const Rows rows = RowsOf(*node_.image());
  node_.Kill();
  AlterStore(*stored);
  ASSERT_TRUE(node_.Open()) << *node_.error();
  EXPECT_EQ(RowsOf(*node_.image()), rows);
  EXPECT_GE(Metric("gregor_metadata_hash_mismatches_total"), 1);
  EXPECT_EQ(Metric("gregor_metadata_state_differs"), 0);
  // What it keeps from now on is right.
  Create(1);
  Wait(seconds(3));
  const Rows after = RowsOf(*node_.image());
  node_.Kill();
  ASSERT_TRUE(node_.Open());
  EXPECT_EQ(RowsOf(*node_.image()), after);
  EXPECT_EQ(Metric("gregor_metadata_hash_mismatches_total"), 0);
}

TEST_F(ControllerStateTest, WithNobodyToAskItServesOnAndSaysSo) {
  node_.has_store = false;
  ASSERT_TRUE(node_.Start());
  Create(60);
  Wait(seconds(3));
  // Until there is a hash behind the last snapshot.
  Offset before{0};
  do {
    Create(1);
    before = node_.image()->version;
    Wait(seconds(2));
  } while (Snapshots().empty() || Snapshots().back().end_offset > before);
  ASSERT_GT(node_.image()->version, before);
  node_.Kill();
  AlterSnapshots();
  ASSERT_TRUE(node_.Open()) << *node_.error();
  EXPECT_TRUE(IsAltered());
  EXPECT_EQ(Metric("gregor_metadata_state_differs"), 1);
  // It leads, so what it has counts, and is kept as any other state.
  const auto snapshots = Snapshots();
  Create(60);
  Wait(seconds(5));
  EXPECT_NE(Snapshots(), snapshots);
  EXPECT_EQ(Metric("gregor_metadata_state_differs"), 1);
  const Rows rows = RowsOf(*node_.image());
  node_.Kill();
  ASSERT_TRUE(node_.Open()) << *node_.error();
  EXPECT_EQ(RowsOf(*node_.image()), rows);
  EXPECT_EQ(Metric("gregor_metadata_state_differs"), 0);
}

// Its image store lacks a topic that is deleted afterwards.
TEST_F(ControllerStateTest, AStoreThatContradictsTheLogIsMadeAgain) {
  ASSERT_TRUE(node_.Start());
  Create(5);
  Wait(seconds(3));
  const ImagePtr stored = node_.image();
  ASSERT_EQ(node_.store().position.version, stored->version);
  ASSERT_TRUE(node_.Delete("topic-1").ok());
  const Rows rows = RowsOf(*node_.image());
  node_.Kill();
  node_.store().rows.clear();
  for (const RowChange& row : DiffRows(nullptr, *stored)) {
    if (row.key.find("topic-1") == std::string::npos) node_.store().rows[row.key] = *row.record;
  }
  node_.store().position = PositionOf(*stored);
  ASSERT_TRUE(node_.Open()) << *node_.error();
  EXPECT_EQ(RowsOf(*node_.image()), rows);
  Create(1);
}

}  // namespace
}  // namespace gregor
