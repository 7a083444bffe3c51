#ifndef GREGOR_CLIENT_CLI_ADMIN_H_
#define GREGOR_CLIENT_CLI_ADMIN_H_

#include <memory>
#include <string>
#include <vector>

#include "client/channel.h"
#include "client/cli/commands.h"
#include "client/consumer.h"
#include "gregor/v1/cluster.pb.h"
#include "gregor/v1/fetch.pb.h"

namespace gregor {

// Questions that several commands ask. All fail as Channel::Call() does. Thread: main.

Result<v1::TopicMetadata> GetTopic(Channel& channel, const std::string& topic);
// The partition asked for, or all of the topic.
Result<std::vector<int32_t>> PartitionsOf(Channel& channel, const std::string& topic,
                                          int32_t partition);
// The offset at `position` in each of `partitions`; -1 where there is none (by time).
Result<std::vector<int64_t>> FindOffsets(Channel& channel, const std::string& topic,
                                         const std::vector<int32_t>& partitions,
                                         const v1::Position& position);
v1::Position EarliestPosition();
v1::Position LatestPosition();
// "22 characters", as ids are shown.
std::string ShowId(const std::string& bytes);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_ADMIN_H_
