// What docs/client.md shows to begin with, compiled and run.
#include <gtest/gtest.h>

#include <fstream>
#include <iostream>
#include <sstream>

#include "base/clock.h"
#include "client/consumer.h"
#include "client/producer.h"
#include "client/record_cursor.h"
#include "tests/client/fake_server.h"

namespace gregor {
namespace {

// --- the page has this ---
Result<void> WriteAndRead(const std::string& server) {
  ProducerOptions to;
  to.server = server;
  ASSIGN_OR_RETURN(const auto producer, Producer::Create(to, nullptr));
  NewRecord record;
  record.key = "42";
  record.value = "paid";
  record.timestamp = SystemClock().WallNow();
  RETURN_IF_ERROR(producer->Send("orders", std::nullopt, record));
  producer->Flush();  // waits until everything so far is delivered, or has failed
  if (const auto error = producer->first_error()) return *error;

  ConsumerOptions from;
  from.server = server;
  const auto consumer = Consumer::Create(from);
  consumer->Assign("orders", PartitionIndex{0}, {StartPosition::Kind::kEarliest});
  while (true) {
    ASSIGN_OR_RETURN(const auto consumed, consumer->Poll(std::chrono::seconds(1)));
    if (!consumed.has_value()) continue;  // nothing came in that second
    RecordCursor cursor(*consumed);
    while (true) {
      ASSIGN_OR_RETURN(const auto next, cursor.Next());
      if (!next.has_value()) break;
      std::cout << next->offset << ": " << next->value.value_or("null") << "\n";
    }
    if (consumed->caught_up) return {};
  }
}
// --- up to here ---

std::string TextOf(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(FirstProgram, WritesARecordAndReadsIt) {
  FakeServer server;
  server.CreateTopic("orders", 1);
  testing::internal::CaptureStdout();
  const auto done = WriteAndRead(server.address());
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "0: paid\n");
  EXPECT_TRUE(done.ok()) << done.error();
}

TEST(FirstProgram, IsTheOneThatThePageShows) {
  const std::string source = TextOf("tests/client/first_program_test.cc");
  const std::string first = "// --- the page has this ---\n", last = "// --- up to here ---\n";
  const size_t begin = source.find(first) + first.size();
  const std::string program = source.substr(begin, source.find(last) - begin);
  ASSERT_GT(program.size(), 500u);
  EXPECT_NE(TextOf("docs/client.md").find("```cpp\n" + program + "```\n"), std::string::npos);
}

}  // namespace
}  // namespace gregor
