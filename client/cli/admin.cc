#include "client/cli/admin.h"

#include <algorithm>
#include <numeric>

#include "base/types.h"
#include "gregor/v1/topic.pb.h"

namespace gregor {
namespace {

constexpr int32_t kPartitionsPerPage = 5000;

}  // namespace

Result<v1::TopicMetadata> GetTopic(Channel& channel, const std::string& topic) {
  v1::GetTopicRequest request;
  request.set_topic(topic);
  request.mutable_page()->set_page_size(kPartitionsPerPage);
  v1::TopicMetadata metadata;
  do {
    ASSIGN_OR_RETURN(
        const auto page,
        channel.Call<v1::GetTopicResponse>("/gregor.v1.TopicService/GetTopic", request));
    metadata.MergeFrom(page.topic());  // appends the partitions of this page
    request.mutable_page()->set_page_token(page.next_page_token());
  } while (!request.page().page_token().empty());
  return metadata;
}

Result<std::vector<int32_t>> PartitionsOf(Channel& channel, const std::string& topic,
                                          int32_t partition) {
  ASSIGN_OR_RETURN(const v1::TopicMetadata metadata, GetTopic(channel, topic));
  const int32_t count = std::max(metadata.partition_count(), metadata.partitions_size());
  if (partition >= count) {
    return Error(Reason::kPartitionNotFound, "topic \"" + topic + "\" has no partition " +
                                                 std::to_string(partition) + ": it has 0 to " +
                                                 std::to_string(count - 1));
  }
  if (partition >= 0) return std::vector<int32_t>{partition};
  std::vector<int32_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

Result<std::vector<int64_t>> FindOffsets(Channel& channel, const std::string& topic,
                                         const std::vector<int32_t>& partitions,
                                         const v1::Position& position) {
  v1::ListOffsetsRequest request;
  for (const int32_t partition : partitions) {
    auto& query = *request.add_queries();
    query.mutable_partition()->set_topic(topic);
    query.mutable_partition()->set_partition(partition);
    *query.mutable_position() = position;
  }
  ASSIGN_OR_RETURN(const auto response, channel.Call<v1::ListOffsetsResponse>(
                                            "/gregor.v1.FetchService/ListOffsets", request));
  std::vector<int64_t> offsets;
  for (const auto& result : response.results()) {
    if (result.error().code() != 0) return ErrorOfStatus(result.error());
    offsets.push_back(result.offset());
  }
  return offsets;
}

v1::Position EarliestPosition() {
  v1::Position position;
  position.set_anchor(v1::Position::ANCHOR_EARLIEST);
  return position;
}

v1::Position LatestPosition() {
  v1::Position position;
  position.set_anchor(v1::Position::ANCHOR_LATEST);
  return position;
}

std::string ShowId(const std::string& bytes) {
  TopicId id;
  if (bytes.size() != id.bytes.size()) return "-";
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id.ToString();
}

}  // namespace gregor
