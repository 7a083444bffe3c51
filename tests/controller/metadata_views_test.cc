#include "controller/metadata_views.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "controller/image/snapshot.h"
#include "controller/metadata_diff.h"
#include "tests/controller/controller_harness.h"
#include "tests/controller/image/image_maker.h"

namespace gregor {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

MetadataMoment At(Offset offset) { return {offset, {}}; }

class MetadataViewsTest : public testing::Test {
 protected:
  MetadataViewsTest() : node_(61) {
    node_.segment_bytes = 2000;
    node_.behavior.hash_interval = std::chrono::hours(1000);  // one at the beginning
  }

  std::string ShowAt(const MetadataMoment& moment, DumpFormat format = DumpFormat::kText,
                     const std::string& path = ControllerHarness::kDataDir) {
    std::ostringstream out;
    result_ = PrintMetadataAt(node_.files(), {path, moment}, format, out);
    return out.str();
  }
  std::string ShowDiff(const MetadataMoment& from, const MetadataMoment& to, bool records = false,
                       DumpFormat format = DumpFormat::kText) {
    std::ostringstream out;
    result_ = PrintMetadataDiff(node_.files(), {ControllerHarness::kDataDir, from},
                                {ControllerHarness::kDataDir, to}, records, format, out);
    return out.str();
  }
  void ExpectFailure(Reason reason, const std::string& text) {
    ASSERT_FALSE(result_.ok());
    EXPECT_EQ(result_.error().reason, reason);
    EXPECT_THAT(result_.error().message, HasSubstr(text));
  }
  void FillAndTrim() {
    node_.snapshot_record_bytes = 2000;
    ASSERT_TRUE(node_.Start());
    ASSERT_TRUE(node_.Create("orders", 2).ok());
    for (int i = 0; i < 60; ++i) {
      ASSERT_TRUE(node_.SetConfig("orders", "segment.ms", std::to_string(100 + i)).ok());
      node_.scheduler().RunFor(std::chrono::milliseconds(100));
    }
    node_.scheduler().RunFor(std::chrono::seconds(5));
  }

  ControllerHarness node_;
  Result<void> result_;
};

TEST_F(MetadataViewsTest, AnOffsetShowsWhatWasBeforeIt) {
  ASSERT_TRUE(node_.Start());
  ASSERT_TRUE(node_.Create("orders", 2).ok());
  const Offset then = node_.image()->version;
  ASSERT_TRUE(node_.Create("later", 3).ok());
  ASSERT_TRUE(node_.Delete("orders").ok());
  node_.Kill();
  const std::string text = ShowAt(At(then));
  EXPECT_TRUE(result_.ok()) << result_.error();
  EXPECT_THAT(text, HasSubstr("at offset " + std::to_string(then.value) + " (term 1, "));
  EXPECT_THAT(text, HasSubstr("1 topics, 2 partitions, 1 brokers"));
  EXPECT_THAT(text, HasSubstr("name: \"orders\""));
  EXPECT_THAT(text, HasSubstr("request_id_key: \"<secret>\""));
  EXPECT_THAT(ShowAt({}), HasSubstr("1 topics, 3 partitions, 1 brokers"));
  EXPECT_THAT(
      ShowAt(At(then), DumpFormat::kJson),
      ContainsRegex("^.\"at\":.\"offset\":[0-9]+,\"term\":1,\"time_ms\":[0-9]+,\"time\":\""));
}

TEST_F(MetadataViewsTest, ATimeShowsWhatWasWrittenUpToIt) {
  ASSERT_TRUE(node_.Start());
  ASSERT_TRUE(node_.Create("orders").ok());
  const Timestamp then = node_.image()->last_timestamp;
  node_.scheduler().RunFor(std::chrono::seconds(10));
  ASSERT_TRUE(node_.Create("later").ok());
  node_.Kill();
  for (const int64_t ms : {0, 9000}) {
    EXPECT_THAT(ShowAt({{}, then + ms}), HasSubstr("1 topics")) << ms;
    EXPECT_TRUE(result_.ok()) << result_.error();
  }
  EXPECT_THAT(ShowAt({{}, then + 11'000}), HasSubstr("2 topics"));
  ShowAt({{}, Timestamp{0}});
  ExpectFailure(Reason::kOffsetOutOfRange, "before the cluster's first records");
}

TEST_F(MetadataViewsTest, WhatIsTrimmedAndWhatIsAheadIsSaid) {
  FillAndTrim();
  const Offset end = node_.image()->version;
  node_.Kill();
  ShowAt(At(Offset{3}));
  ExpectFailure(Reason::kOffsetOutOfRange, "offset 3 lies before what is left: the earliest state");
  ShowAt({{}, Timestamp{0}});
  ExpectFailure(Reason::kOffsetOutOfRange, "lies before what is left");
  ShowAt(At(end + 1));
  ExpectFailure(Reason::kOffsetOutOfRange,
                "the log ends at offset " + std::to_string(end.value) + ", before offset ");
  EXPECT_THAT(ShowAt(At(end)), HasSubstr("value: \"159\""));
  EXPECT_THAT(ShowAt(At(end - 1)), HasSubstr("value: \"158\""));
}

TEST_F(MetadataViewsTest, ASnapshotIsShownAtItsOffset) {
  FillAndTrim();
  node_.Kill();
  const std::string folder = MetadataPath(ControllerHarness::kDataDir) + "/snapshots";
  const auto snapshots = ListSnapshots(node_.files(), folder);
  ASSERT_TRUE(snapshots.ok() && snapshots->size() == 2);
  const std::string path = JoinPath(folder, snapshots->front().name);
  const Offset end = snapshots->front().end_offset;
  for (const MetadataMoment& moment : {MetadataMoment(), At(end)}) {
    EXPECT_EQ(ShowAt(moment, DumpFormat::kText, path), ShowAt(At(end)));
    EXPECT_TRUE(result_.ok()) << result_.error();
  }
  ShowAt(At(end + 1), DumpFormat::kText, path);
  ExpectFailure(Reason::kOffsetOutOfRange, "the snapshot is of offset");
  std::ostringstream out;
  result_ = PrintMetadataDiff(node_.files(), {path, {}}, {ControllerHarness::kDataDir, At(end)},
                              false, DumpFormat::kText, out);
  EXPECT_TRUE(result_.ok()) << result_.error();
  EXPECT_THAT(out.str(), HasSubstr("no differences"));
  result_ = PrintMetadataDiff(node_.files(), {path, {}}, {ControllerHarness::kDataDir, {}}, true,
                              DumpFormat::kText, out);
  ExpectFailure(Reason::kInvalidArgument, "leave out --records");
}

TEST_F(MetadataViewsTest, WhatIsNeitherIsNamed) {
  ShowAt({}, DumpFormat::kText, "/nowhere");
  ExpectFailure(Reason::kStorageError, "/nowhere: it is neither a node's data directory nor a");
  ASSERT_TRUE(node_.files().MakeDirectory("/empty").ok());
  ShowAt({}, DumpFormat::kText, "/empty");
  ExpectFailure(Reason::kStorageError, "/empty: it is no node's data directory");
}

TEST_F(MetadataViewsTest, WhatLiesInsideOfAnOperationIsTheStateBeforeIt) {
  ASSERT_TRUE(node_.Start());
  const Offset before = node_.image()->version;
  ASSERT_TRUE(node_.Create("one_batch", 2500).ok());
  const Offset between = node_.image()->version;
  node_.Kill();
  node_.behavior.transaction_batch_bytes = 300;
  ASSERT_TRUE(node_.Open());
  ASSERT_TRUE(node_.Create("transaction", 2500).ok());
  node_.Kill();
  std::string text = ShowAt(At(before + 2));
  EXPECT_TRUE(result_.ok()) << result_.error();
  EXPECT_THAT(text, HasSubstr("the operation whose records begin at offset " +
                              std::to_string(before.value) + " is not complete there"));
  EXPECT_THAT(text, HasSubstr("at offset " + std::to_string(before.value) + " (term 1"));
  EXPECT_THAT(text, HasSubstr("0 topics"));
  // Behind it come two control records of the next term.
  text = ShowAt(At(between + 5));
  EXPECT_TRUE(result_.ok()) << result_.error();
  EXPECT_THAT(text, HasSubstr("is not complete there"));
  EXPECT_THAT(text, HasSubstr("at offset " + std::to_string(between.value) + " (term 1"));
  EXPECT_THAT(text, HasSubstr("1 topics, 2500 partitions"));
}

TEST_F(MetadataViewsTest, ADiffNamesObjectsAndFieldsAndRecords) {
  ASSERT_TRUE(node_.Start());
  ASSERT_TRUE(node_.Create("orders", 2, {{"retention.ms", "5"}}).ok());
  ASSERT_TRUE(node_.Create("old", 3).ok());
  const Offset from = node_.image()->version;
  ASSERT_TRUE(node_.Delete("old").ok());
  ASSERT_TRUE(node_.Create("new", 4).ok());
  ASSERT_TRUE(node_.SetConfig("orders", "retention.ms", "7").ok());
  ASSERT_TRUE(node_.SetConfig("orders", "segment.ms", "9").ok());
  ASSERT_TRUE(node_.Register(2).ok());
  node_.Kill();
  ASSERT_TRUE(node_.Start());  // broker 1 is another process
  node_.Kill();
  const std::string text = ShowDiff(At(from), {});
  EXPECT_TRUE(result_.ok()) << result_.error();
  EXPECT_THAT(text, HasSubstr("from offset " + std::to_string(from.value) + " (term 1, "));
  EXPECT_THAT(text, ContainsRegex("\n\\+ topic new .topic_id: \"[^\"]*\", partition_count: 4.\n"));
  EXPECT_THAT(text, ContainsRegex("\n- topic old .topic_id: \"[^\"]*\", partition_count: 3.\n"));
  EXPECT_THAT(text, HasSubstr("\n~ config topic orders {retention.ms: \"5\" -> \"7\", "
                              "segment.ms: none -> \"9\"}\n"));
  EXPECT_THAT(text, HasSubstr("\n+ broker 2 {"));
  EXPECT_THAT(text, HasSubstr("\n~ partition orders-1 {leader_epoch: 0 -> 1, "));
  EXPECT_THAT(text, Not(HasSubstr("partition new-")));
  EXPECT_THAT(text, Not(HasSubstr("records:")));
  // And back.
  EXPECT_THAT(ShowDiff({}, At(from)), HasSubstr("segment.ms: \"9\" -> none"));
  const std::string records = ShowDiff(At(from), {}, true);
  EXPECT_TRUE(result_.ok()) << result_.error();
  EXPECT_THAT(records, HasSubstr("records:\noffset=" + std::to_string(from.value) + " "));
  EXPECT_THAT(records, HasSubstr("remove_topic"));
  ShowDiff({}, At(from), true);
  ExpectFailure(Reason::kInvalidArgument, "leave out --records");
  const std::string json = ShowDiff(At(from), {}, true, DumpFormat::kJson);
  EXPECT_THAT(json,
              HasSubstr("{\"change\":\"changed\",\"type\":\"config\",\"name\":\"topic orders\","
                        "\"fields\":{\"retention.ms\":{\"before\":\"5\",\"after\":\"7\"},"
                        "\"segment.ms\":{\"after\":\"9\"}}}\n"));
  std::istringstream lines(json);
  for (std::string line; std::getline(lines, line);) EXPECT_EQ(line.front(), '{') << line;
  EXPECT_THAT(ShowDiff(At(from), At(from)), HasSubstr("no differences"));
}

TEST(ParseMomentTest, MomentsAreOffsetsTimesAndTheEnd) {
  EXPECT_EQ(ParseMoment("12")->offset, Offset{12});
  EXPECT_EQ(ParseMoment("@1769860800000")->time, Timestamp{1'769'860'800'000});
  EXPECT_EQ(ParseMoment("@2026-01-31T12:00:00Z")->time, Timestamp{1'769'860'800'000});
  EXPECT_EQ(ParseMoment("2026-01-31T12:00:00Z")->time, Timestamp{1'769'860'800'000});
  const auto end = ParseMoment("end");
  EXPECT_TRUE(end.ok() && !end->offset.has_value() && !end->time.has_value());
  for (const char* const text : {"", "-1", "12x", "@", "yesterday"})
    EXPECT_EQ(ParseMoment(text).error().reason, Reason::kInvalidArgument) << text;
}

const ObjectChange* Find(const std::vector<ObjectChange>& changes, const std::string& type) {
  const auto found = std::find_if(changes.begin(), changes.end(),
                                  [&](const ObjectChange& change) { return change.type == type; });
  return found == changes.end() ? nullptr : &*found;
}

TEST(DiffObjectsTest, RulesUsersAndQuotasAreNamedAndSecretsAreNot) {
  ImageMaker maker(8);
  RecordMaker make(8);
  const ImagePtr before = maker.image();
  QuotaEntity entity;
  entity.user = "alice";
  entity.client_id = "";
  auto credential = make.Credential("alice", ScramMechanism::kSha512);
  maker.Commit({make.Acl("orders", "User:alice"), credential,
                make.Quota(entity, {{"producer_byte_rate", 1024}}, {})});
  const ImagePtr made = maker.image();
  const auto added = DiffObjects(*before, *made, true);
  ASSERT_EQ(added.size(), 3u);
  EXPECT_THAT(added[0].name, ContainsRegex("^allow [a-z_]+ of topic \"orders\" literal from .* "
                                           "for User:alice$"));
  EXPECT_EQ(added[1].type + " " + added[1].name, "user alice sha_512");
  EXPECT_EQ(added[2].type + " " + added[2].name, "quota user \"alice\", client_id \"\"");
  ASSERT_EQ(added[2].fields.size(), 1u);
  EXPECT_EQ(added[2].fields[0].name, "producer_byte_rate");
  EXPECT_EQ(added[2].fields[0].after, "1024");
  for (const auto& field : added[1].fields)
    EXPECT_TRUE(field.name == "iterations" || field.name == "credential") << field.name;

  // Another password is a change, whatever it is.
  credential.mutable_user_credential()->mutable_salt()->at(0) ^= 1;
  maker.Commit({credential});
  const auto changed = DiffObjects(*made, *maker.image(), false);
  ASSERT_EQ(changed.size(), 1u);
  const ObjectChange* const user = Find(changed, "user");
  ASSERT_TRUE(user != nullptr && user->fields.size() == 1);
  EXPECT_EQ(user->fields[0].name, "credential");
  EXPECT_NE(user->fields[0].before, user->fields[0].after);
}

// Whatever changes at random: the difference is empty where nothing differs only, and turns around.
TEST(DiffObjectsTest, BothWaysNameTheSameObjects) {
  ImageMaker maker(7);
  ImagePtr before = maker.image();
  for (int i = 0; i < 300; ++i) {
    const ImagePtr after = i % 2 == 0 ? maker.Step() : maker.ChangeSecurity();
    const auto there = DiffObjects(*before, *after, true);
    const auto back = DiffObjects(*after, *before, true);
    EXPECT_TRUE(DiffObjects(*after, *after, true).empty());
    EXPECT_EQ(there.empty(), RowsOf(*before) == RowsOf(*after)) << i;
    ASSERT_EQ(there.size(), back.size());
    for (size_t j = 0; j < there.size(); ++j) {
      EXPECT_EQ(there[j].type + there[j].name, back[j].type + back[j].name);
      ASSERT_EQ(there[j].fields.size(), back[j].fields.size()) << there[j].type << there[j].name;
    }
    if (i % 3 == 0) before = after;
  }
}

}  // namespace
}  // namespace gregor
