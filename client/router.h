#ifndef GREGOR_CLIENT_ROUTER_H_
#define GREGOR_CLIENT_ROUTER_H_

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/thread_annotations.h"
#include "base/types.h"
#include "client/channel.h"
#include "gregor/v1/cluster.pb.h"

namespace gregor {

// Where the nodes of a cluster and the leaders of its partitions are, as far as a client knows, and
// a channel to each address. It begins with the addresses that it is given, and learns from
// metadata and from errors that name a leader; what is older than what it knows it ignores.
// Thread: any.
class Router {
 public:
  // `servers`: "host:port", or several of them with commas between.
  static std::shared_ptr<Router> Create(const std::string& servers, Channel::Options options);
  static std::shared_ptr<Router> Create(const std::string& servers) {
    return Create(servers, Channel::Options());
  }
  Router(std::vector<std::string> given, Channel::Options options);

  // --- what any node answers ---

  // The node to ask: the same one until somebody is disappointed by it, or changes something.
  std::shared_ptr<Channel> AnyNode();
  // It did not answer, or not well: AnyNode() is another one, if there is one.
  void Avoid(const Channel& channel);
  // How many brokers the cluster has, as far as is known.
  size_t BrokerCount() const;
  // How many AnyNode() chooses from.
  size_t NodeCount() const;
  // Calls `method` at one node after the other until one answers, each at most once; waits at most
  // `timeout` for them all. Repeats a call only where it is `repeatable`, or was certainly not
  // done. Fails as Channel::Call() does.
  template <typename Response>
  Result<Response> Call(const std::string& method, const google::protobuf::MessageLite& request,
                        Duration timeout, bool repeatable) {
    ASSIGN_OR_RETURN(const std::string bytes,
                     CallRaw(method, request.SerializeAsString(), timeout, repeatable));
    Response response;
    if (!response.ParseFromString(bytes))
      return Error(Reason::kUnspecified, "the server's answer cannot be parsed");
    return response;
  }

  // Calls a method that changes the metadata, as Call() does: at the node of the active controller
  // where that is known, serves clients and answers, as others would only pass it on. AnyNode() is
  // that node then, too: what was changed can be seen there.
  template <typename Response>
  Result<Response> Change(const std::string& method, const google::protobuf::MessageLite& request,
                          Duration timeout) {
    const MonotonicTime deadline = SystemClock().Now() + timeout;
    SeekController(timeout);
    return Call<Response>(method, request, std::max(Duration(0), deadline - SystemClock().Now()),
                          false);
  }

  // --- leaders ---

  // Who led the partition when it was last heard of; nullopt: nobody, or it is not known.
  std::optional<NodeId> LeaderOf(const std::string& topic, PartitionIndex partition) const;
  // The topic's partitions that nobody led, or whose leader could not serve them, when they were
  // last heard of.
  std::set<int32_t> UnservedOf(const std::string& topic) const;
  // Whether the topic was heard of so lately that a broker which does not know it, of several, may
  // only be behind.
  bool IsNew(const std::string& topic) const;
  // nullptr: where the broker is is not known.
  std::shared_ptr<Channel> ChannelTo(NodeId node);
  // Asks for the leaders of a topic (GetMetadata, all pages). Fails as Call() does, and with what
  // is said of the topic.
  Result<void> AskForTopic(const std::string& topic, Duration timeout);
  // What `from` answered. A broker that does not name its host is at the host of `from`. A node
  // that is a cluster of its own is where it answered: what stands before it may have another
  // address.
  void Learn(const v1::GetMetadataResponse& response, const Channel& from);
  // What an error that `from` gave says of the leader. True: it is news.
  bool LearnFrom(const Error& error, const std::string& topic, PartitionIndex partition,
                 const Channel& from);

 private:
  struct Leader {
    NodeId node{-1};
    LeaderEpoch epoch = kNoLeaderEpoch;
    bool is_offline = false;  // it cannot serve the partition
  };
  struct Topic {
    std::string id;
    MonotonicTime heard_of;
    std::vector<Leader> leaders;
  };

  // Asks now and then where the active controller is, and makes that AnyNode() if it answers there.
  // Takes a quarter of `timeout` at most.
  void SeekController(Duration timeout);
  bool IsShunned(const Channel& channel) const;
  Result<std::string> CallRaw(const std::string& method, const std::string& request,
                              Duration timeout, bool repeatable);
  std::shared_ptr<Channel> ChannelAt(const std::string& address) TS_REQUIRES(mutex_);
  void LearnBrokers(const v1::GetMetadataResponse& response, const Channel& from)
      TS_REQUIRES(mutex_);
  // Given and known ones, each once.
  std::vector<std::string> Addresses() const TS_REQUIRES(mutex_);

  const std::vector<std::string> given_;
  const Channel::Options options_;
  mutable Mutex mutex_;
  std::map<std::string, std::shared_ptr<Channel>> channels_ TS_GUARDED_BY(mutex_);  // by address
  std::map<NodeId, std::string> brokers_ TS_GUARDED_BY(mutex_);                     // addresses
  std::unordered_map<std::string, Topic> topics_ TS_GUARDED_BY(mutex_);
  std::string any_ TS_GUARDED_BY(mutex_);  // the address of AnyNode()
  std::string cluster_id_ TS_GUARDED_BY(mutex_);
  // The cluster is of several nodes, as far as is known: its only broker may not be who answers.
  bool has_others_ TS_GUARDED_BY(mutex_) = false;
  int64_t metadata_version_ TS_GUARDED_BY(mutex_) = -1;
  MonotonicTime seek_at_ TS_GUARDED_BY(mutex_) = MonotonicTime::max();  // max: nothing was changed
  std::string controller_ TS_GUARDED_BY(mutex_);  // the address of it that was heard of last
  // That of one that disappointed: not gone to until the controller is elsewhere.
  std::string shunned_ TS_GUARDED_BY(mutex_);
};

// "host:port" of where a broker is said to be by whoever answered at `server`.
std::string AddressOf(const std::string& host, int32_t port, const std::string& server);

// kLeaderNotAvailable of a partition that nobody leads.
Error NoLeader(const std::string& topic, PartitionIndex partition);

}  // namespace gregor

#endif  // GREGOR_CLIENT_ROUTER_H_
