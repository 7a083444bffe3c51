#ifndef GREGOR_CLIENT_ADMIN_H_
#define GREGOR_CLIENT_ADMIN_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "client/router.h"
#include "gregor/v1/cluster.pb.h"
#include "gregor/v1/config.pb.h"
#include "gregor/v1/fetch.pb.h"
#include "gregor/v1/topic.pb.h"

namespace gregor {

// What one asks a cluster for, beside records. Every call waits for its answer, at most `timeout`,
// and fails as Channel::Call() does. A node that does not answer is passed over where the call can
// be repeated, or was certainly not done; what only the leader of a partition knows is asked there.
// Thread: any.
class Admin {
 public:
  explicit Admin(std::shared_ptr<Router> router, Duration timeout = std::chrono::seconds(30))
      : router_(std::move(router)), timeout_(timeout) {}
  // Of the cluster that has a node at `servers` (as Router::Create() takes it).
  explicit Admin(const std::string& servers, Duration timeout = std::chrono::seconds(30))
      : Admin(Router::Create(servers), timeout) {}

  // Whether a server answers.
  Result<void> Ping() const;

  Result<v1::TopicMetadata> CreateTopic(const v1::CreateTopicRequest& request) const;
  // With all its partitions.
  Result<v1::TopicMetadata> GetTopic(const std::string& topic) const;
  // How many partitions the topic has.
  Result<int32_t> PartitionCount(const std::string& topic) const;
  // All topics whose name begins with `prefix`, in the order of their names.
  Result<std::vector<v1::TopicMetadata>> ListTopics(const std::string& prefix) const;
  // `allow_missing`: a topic that does not exist is no error.
  Result<void> DeleteTopic(const std::string& topic, bool allow_missing) const;
  // Gives the topic as many partitions as `total`, which is more than it has.
  Result<v1::TopicMetadata> AddPartitions(const std::string& topic, int32_t total,
                                          bool validate_only) const;
  // Deletes the records before an offset (-1: all that are there when it is called), by partition.
  // Gives a result for each, in their order. Many are several calls, and where one fails, the
  // earlier ones are done; with -1 none is, where a partition's end cannot be had.
  Result<v1::DeleteRecordsResponse> DeleteRecords(
      const std::string& topic, std::vector<std::pair<int32_t, int64_t>> before) const;

  // Configs of a topic or a broker, or (without name) of a new topic or all brokers; empty `keys`:
  // all of them. Fails with what is wrong with the resource, too.
  Result<std::vector<v1::ConfigEntry>> DescribeConfigs(const v1::ConfigResource& resource,
                                                       const std::vector<std::string>& keys,
                                                       bool documentation) const;
  // The value of one config of a topic.
  Result<std::string> TopicConfig(const std::string& topic, const std::string& key) const;
  // Sets and puts back to their defaults (`unset`) configs of one resource, all or none.
  Result<void> AlterConfigs(const v1::ConfigResource& resource,
                            const std::vector<std::pair<std::string, std::string>>& set,
                            const std::vector<std::string>& unset, bool validate_only) const;

  // Those of `partitions` that have a leader, the only one that knows offsets. One that comes
  // within `patience`, as in a fail-over, is waited for.
  Result<std::vector<int32_t>> WithLeader(const std::string& topic,
                                          const std::vector<int32_t>& partitions,
                                          Duration patience) const;
  // The offset at `position` in each of `partitions`; -1 where there is none (by time).
  Result<std::vector<int64_t>> FindOffsets(const std::string& topic,
                                           const std::vector<int32_t>& partitions,
                                           const v1::Position& position) const;

  // With the wanted brokers, fenced or not; none: all of them.
  Result<v1::DescribeClusterResponse> DescribeCluster(
      const std::vector<int32_t>& brokers = {}) const;
  // Fences a broker by hand, or lifts that.
  Result<void> SetBrokerFence(int32_t broker, bool fenced) const;
  // Lets others lead what the broker leads; or (`cancel`) no more.
  Result<v1::DrainBrokerResponse> DrainBroker(int32_t broker, bool cancel) const;
  // Changes the level at which the cluster's metadata are written.
  Result<v1::UpdateFeaturesResponse> UpdateFeatures(const v1::UpdateFeaturesRequest& request) const;
  // Forgets a broker that does not run and has no replicas.
  Result<void> UnregisterBroker(int32_t broker) const;
  // The directories with their sums, without replicas; of one topic, or (empty) of all.
  Result<v1::DescribeLogDirsResponse> DescribeLogDirs(const std::string& topic) const;

  // The controllers that keep the metadata.
  Result<v1::DescribeQuorumResponse> DescribeQuorum() const;
  // Done when it is agreed on.
  Result<void> AddVoter(const v1::AddVoterRequest& request) const;
  Result<void> RemoveVoter(const v1::RemoveVoterRequest& request) const;
  // Who leads then; nullopt: to the voter that has most of the log.
  Result<int32_t> TransferQuorumLeadership(std::optional<int32_t> node) const;
  // One result for each partition that is named, or in which an election was needed.
  Result<v1::ElectLeadersResponse> ElectLeaders(const v1::ElectLeadersRequest& request) const;
  // One result for each. Many are several calls, and where one fails, the earlier ones are done.
  Result<v1::ReassignPartitionsResponse> ReassignPartitions(
      const v1::ReassignPartitionsRequest& request) const;
  // All that run.
  Result<std::vector<v1::ListReassignmentsResponse::Ongoing>> ListReassignments() const;

 private:
  // What became of items that were sent to a broker; nullopt: done, whether well or not. An error:
  // to be sent again, to the leader that there is then.
  using Misdirected = std::vector<std::optional<Error>>;
  // Sends some of the items, by their indexes, to a broker. Fails where the whole call fails.
  using Send = std::function<Result<Misdirected>(const std::vector<size_t>&, Channel&, Duration)>;

  template <typename Response>
  Result<Response> Read(const std::string& method,
                        const google::protobuf::MessageLite& request) const {
    return router_->Call<Response>(method, request, timeout_, true);
  }
  template <typename Response>
  Result<Response> Write(const std::string& method,
                         const google::protobuf::MessageLite& request) const {
    return router_->Change<Response>(method, request, timeout_);
  }
  // Sends items, each of one of `partitions`, to their leaders, items_max in a call at most. Sends
  // again where another broker leads now, or the leader does not answer.
  Result<void> SendToLeaders(const std::string& topic, const std::vector<int32_t>& partitions,
                             size_t items_max, const Send& send) const;
  // The items by the broker to send them to; by any, where there is no leader to be found.
  std::map<std::shared_ptr<Channel>, std::vector<size_t>> ByLeader(
      const std::string& topic, const std::vector<int32_t>& partitions,
      const std::vector<size_t>& items) const;

  const std::shared_ptr<Router> router_;
  const Duration timeout_;
};

v1::ConfigResource TopicResource(const std::string& topic);
v1::Position AtAnchor(v1::Position::Anchor anchor);

}  // namespace gregor

#endif  // GREGOR_CLIENT_ADMIN_H_
