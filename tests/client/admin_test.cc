#include "client/admin.h"

#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "tests/client/fake_server.h"

namespace gregor {
namespace {

std::vector<std::pair<int32_t, int64_t>> Deletions(int32_t count) {
  std::vector<std::pair<int32_t, int64_t>> before;
  for (int32_t partition = 0; partition < count; ++partition)
    before.emplace_back(partition, partition);
  return before;
}

TEST(Admin, RecordsOfMorePartitionsThanACallTakesAreDeleted) {
  FakeServer server;
  const Admin admin(server.address());
  for (const int32_t count : {0, 1, 1000, 1001, 2500}) {
    server.CreateTopic("orders", count);
    const auto response = admin.DeleteRecords("orders", Deletions(count));
    ASSERT_TRUE(response.ok()) << response.error();
    ASSERT_EQ(response->results_size(), count);
    for (int32_t i = 0; i < count; ++i) EXPECT_EQ(response->results(i).log_start_offset(), i);
  }
}

// It may be that it was done, and only its answer was lost: records have come since.
TEST(Admin, ADeletionOfAllThatIsRepeatedLeavesWhatHasComeSince) {
  FakeServer server;
  server.CreateTopic("orders", 2);
  const auto append = [&] {
    BatchBuilder builder;
    NewRecord record;
    record.value = "v";
    for (int i = 0; i < 10; ++i) builder.Add(record);
    server.Append("orders", 0, builder.Build());
  };
  append();
  bool was_asked = false;
  server.on_deleted = [&]() -> std::optional<google::rpc::Status> {
    if (std::exchange(was_asked, true)) return std::nullopt;
    append();
    return MakeStatus(Reason::kServerDraining, "it stops", v1::WriteOutcome::OUTCOME_UNKNOWN);
  };
  const auto response = Admin(server.address()).DeleteRecords("orders", {{0, -1}, {1, 0}});
  ASSERT_TRUE(response.ok()) << response.error();
  EXPECT_TRUE(was_asked);
  EXPECT_EQ(response->results(0).log_start_offset(), 10);
  EXPECT_EQ(response->results(1).log_start_offset(), 0);
}

TEST(Admin, ADeletionThatIsRefusedIsAnError) {
  FakeServer server;
  const Admin admin(server.address());
  const auto response = admin.DeleteRecords("missing", Deletions(3));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().reason, Reason::kTopicNotFound);
}

}  // namespace
}  // namespace gregor
