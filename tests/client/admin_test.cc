#include "client/admin.h"

#include <gtest/gtest.h>

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

TEST(Admin, ADeletionThatIsRefusedIsAnError) {
  FakeServer server;
  const Admin admin(server.address());
  const auto response = admin.DeleteRecords("missing", Deletions(3));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().reason, Reason::kTopicNotFound);
}

}  // namespace
}  // namespace gregor
