#include "controller/metadata_dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "raft/host/raft_log.h"
#include "storage/segment.h"
#include "tests/controller/controller_harness.h"

namespace gregor {
namespace {

using testing::HasSubstr;
using testing::Not;

class MetadataDumpTest : public testing::Test {
 protected:
  MetadataDumpTest() : node_(31) {
    node_.segment_bytes = 2000;
    EXPECT_TRUE(node_.Start());
    EXPECT_TRUE(node_.Create("orders", 2, {{"retention.ms", "77"}}).ok());
    EXPECT_TRUE(node_.Create("gone").ok());
    EXPECT_TRUE(node_.Delete("gone").ok());
  }
  std::string Dump(const MetadataDumpOptions& options = {}) {
    std::ostringstream out;
    result_ = DumpMetadata(node_.files(), ControllerHarness::kDataDir, options, out);
    return out.str();
  }

  ControllerHarness node_;
  Result<void> result_;
};

TEST_F(MetadataDumpTest, RecordsAndImageAreShownAndSecretsAreNot) {
  node_.Kill();
  const std::string text = Dump();
  EXPECT_TRUE(result_.ok()) << result_.error();
  EXPECT_THAT(text, HasSubstr("node 1 of cluster"));
  EXPECT_THAT(text, HasSubstr("offset=0 term=1"));
  EXPECT_THAT(text, HasSubstr("leader_change: \"1/"));
  EXPECT_THAT(text, HasSubstr("name: \"gone\""));
  EXPECT_THAT(text, HasSubstr("request_id_key: \"<secret>\""));
  EXPECT_THAT(text, HasSubstr("image at offset"));
  EXPECT_THAT(text, HasSubstr("1 topics, 2 partitions, 1 brokers"));
  EXPECT_THAT(text, HasSubstr("set: [{name: \"retention.ms\", value: \"77\"}]"));
}

TEST_F(MetadataDumpTest, JsonIsOneDocumentALine) {
  node_.Kill();
  MetadataDumpOptions options;
  options.format = DumpFormat::kJson;
  const std::string text = Dump(options);
  EXPECT_THAT(text, HasSubstr("{\"node\":{\"format\":1,"));
  EXPECT_THAT(text, HasSubstr("\"record\":{\"topic\":{\"name\":\"orders\",\"topic_id\":\""));
  EXPECT_THAT(text, HasSubstr("\"topics\":1,\"partitions\":2,\"brokers\":1}}\n"));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_EQ(line.front(), '{') << line;
    EXPECT_EQ(line.back(), '}') << line;
  }
}

TEST_F(MetadataDumpTest, UntilShowsThePast) {
  const Offset now = node_.image()->version;
  node_.Kill();
  MetadataDumpOptions options;
  options.until = now - 1;
  options.records = false;
  const std::string text = Dump(options);
  EXPECT_THAT(text, HasSubstr("2 topics, 3 partitions"));
  EXPECT_THAT(text, Not(HasSubstr("offset=0")));
}

TEST_F(MetadataDumpTest, ATrimmedLogIsShownFromItsSnapshotOn) {
  node_.snapshot_record_bytes = 2000;
  ASSERT_TRUE(node_.Start());
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(node_.SetConfig("orders", "segment.ms", std::to_string(100 + i)).ok());
    node_.scheduler().RunFor(std::chrono::milliseconds(100));
  }
  node_.scheduler().RunFor(std::chrono::seconds(5));
  node_.Kill();
  const std::string text = Dump();
  EXPECT_TRUE(result_.ok()) << result_.error();
  EXPECT_THAT(text, Not(HasSubstr("offset=0 ")));
  EXPECT_THAT(text, HasSubstr("value: \"159\""));
  EXPECT_THAT(text, HasSubstr("1 topics, 2 partitions"));
}

// The last bytes that were written become others.
void DamageLastSegment(FileSystem& files) {
  const std::string folder = JoinPath(MetadataLogPath(MetadataPath(ControllerHarness::kDataDir)),
                                      MetadataLogId().ToString());
  std::string path;
  const auto entries = *files.List(folder);
  for (const DirectoryEntry& entry : entries) {
    if (SegmentName::Parse(entry.name, "log").has_value()) path = JoinPath(folder, entry.name);
  }
  const FilePtr file = *files.Open(path, OpenMode::kReadWrite);
  std::string bytes(*file->Size(), '\0');
  ASSERT_EQ(*file->Read(0, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}), bytes.size());
  const size_t last = bytes.find_last_not_of('\0');
  ASSERT_NE(last, std::string::npos);
  bytes[last] = static_cast<char>(bytes[last] ^ 0x55);
  ASSERT_TRUE(file->Write(last, {Slice::Own(bytes.substr(last, 1))}).ok());
}

TEST_F(MetadataDumpTest, DamageAtTheEndOfTheLogIsReportedBehindWhatIsReadable) {
  node_.Kill();
  DamageLastSegment(node_.files());
  const std::string text = Dump();
  ASSERT_FALSE(result_.ok());
  EXPECT_EQ(result_.error().reason, Reason::kStorageError);
  EXPECT_THAT(result_.error().message, HasSubstr(" at position "));
  EXPECT_THAT(text, HasSubstr("offset=0 term=1"));
  EXPECT_THAT(text, HasSubstr("image at offset"));
}

TEST_F(MetadataDumpTest, WhatIsNoDataDirectoryIsNamed) {
  std::ostringstream out;
  const auto result = DumpMetadata(node_.files(), "/nowhere", {}, out);
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().message, HasSubstr("/nowhere: it is no node's data directory"));
}

}  // namespace
}  // namespace gregor
