#include "client/router.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/host_port.h"

namespace gregor {
namespace {

constexpr char kGetMetadata[] = "/gregor.v1.ClusterService/GetMetadata";

std::optional<int32_t> NumberOf(const Error& error, std::string_view key) {
  const std::string_view text = DetailOf(error, key);
  int32_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || parsed.ec != std::errc()) return std::nullopt;
  return number;
}

// How long brokers may take to hear of a topic that one of them knows.
constexpr Duration kNewFor = std::chrono::seconds(5);

// Who changes the metadata more than once asks that often who is the active controller.
constexpr Duration kSeekEvery = std::chrono::seconds(10);
// It saves little: nobody waits longer for it.
constexpr Duration kSeekTimeout = std::chrono::seconds(1);

// Whether another node may do better than the one that gave the error.
bool IsOfTheNode(const Error& error) {
  return IsUnreachable(error) || error.reason == Reason::kServerDraining ||
         error.reason == Reason::kNotController;
}

}  // namespace

std::string AddressOf(const std::string& host, int32_t port, const std::string& server) {
  return JoinHostPort(host.empty() ? server.substr(0, server.rfind(':')) : host, port);
}

Error NoLeader(const std::string& topic, PartitionIndex partition) {
  return Error(Reason::kLeaderNotAvailable, "partition " + std::to_string(partition.value) +
                                                " of topic \"" + topic +
                                                "\" has no leader at present");
}

std::shared_ptr<Router> Router::Create(const std::string& servers, Channel::Options options) {
  std::vector<std::string> given;
  for (size_t begin = 0; begin <= servers.size();) {
    const size_t end = std::min(servers.find(',', begin), servers.size());
    if (end > begin) given.push_back(servers.substr(begin, end - begin));
    begin = end + 1;
  }
  if (given.empty()) given.push_back(servers);
  return std::make_shared<Router>(std::move(given), options);
}

Router::Router(std::vector<std::string> given, Channel::Options options)
    : given_(std::move(given)), options_(options), any_(given_.front()) {}

// --- what any node answers ---

std::shared_ptr<Channel> Router::ChannelAt(const std::string& address) {
  auto& channel = channels_[address];
  if (channel == nullptr) channel = Channel::Connect(address, options_);
  return channel;
}

std::vector<std::string> Router::Addresses() const {
  std::vector<std::string> addresses = given_;
  for (const auto& [node, address] : brokers_) {
    if (std::find(addresses.begin(), addresses.end(), address) == addresses.end())
      addresses.push_back(address);
  }
  return addresses;
}

std::shared_ptr<Channel> Router::AnyNode() {
  const MutexLock lock(mutex_);
  return ChannelAt(any_);
}

void Router::Avoid(const Channel& channel) {
  const MutexLock lock(mutex_);
  if (channel.address() != any_) return;  // somebody else was faster
  const auto addresses = Addresses();
  if (any_ == controller_) {
    shunned_ = any_;
    seek_at_ = SystemClock().Now();  // there may be another one
  }
  auto next = std::find(addresses.begin(), addresses.end(), any_);
  if (next != addresses.end()) ++next;
  any_ = next == addresses.end() ? addresses.front() : *next;
}

size_t Router::BrokerCount() const {
  const MutexLock lock(mutex_);
  return brokers_.size();
}

size_t Router::NodeCount() const {
  const MutexLock lock(mutex_);
  return Addresses().size();
}

void Router::SeekController(Duration timeout) {
  const MonotonicTime now = SystemClock().Now();
  // The change needs time, too.
  const MonotonicTime deadline = now + std::min(timeout / 4, kSeekTimeout);
  std::shared_ptr<Channel> channel;
  {
    const MutexLock lock(mutex_);
    const bool is_first = seek_at_ == MonotonicTime::max();
    // One change alone is not worth a question.
    if (is_first) seek_at_ = now;
    if (is_first || now < seek_at_) return;
    seek_at_ = now + kSeekEvery;
    channel = ChannelAt(any_);
  }
  const auto ask = [&](Channel& whom) {
    return whom.Call<v1::GetMetadataResponse>(
        kGetMetadata, v1::GetMetadataRequest(),
        std::max(Duration(0), deadline - SystemClock().Now()));
  };
  const auto told = ask(*channel);
  if (!told.ok()) return;  // it is told by what comes next
  Learn(*told, *channel);
  const auto there = ChannelTo(NodeId{told->controller_id()});
  if (there == nullptr || IsShunned(*there)) return;
  // What it advertises may be no address for this client.
  const bool answers = there->address() == channel->address() || ask(*there).ok();
  const MutexLock lock(mutex_);
  shunned_ = answers ? "" : there->address();
  if (answers) any_ = controller_ = there->address();
}

bool Router::IsShunned(const Channel& channel) const {
  const MutexLock lock(mutex_);
  return channel.address() == shunned_;
}

Result<std::string> Router::CallRaw(const std::string& method, const std::string& request,
                                    Duration timeout, bool repeatable) {
  const MonotonicTime deadline = SystemClock().Now() + timeout;
  std::set<std::string> asked;  // in vain
  size_t left = repeatable ? NodeCount() : 1;
  while (true) {
    const auto channel = AnyNode();
    const Duration rest = std::max(Duration(0), deadline - SystemClock().Now());
    // Where nobody else may be asked afterwards, this one has all the time.
    const Duration share =
        repeatable ? rest / static_cast<int64_t>(std::max<size_t>(1, left)) : rest;
    auto answer = channel->CallRaw(method, request, share);
    if (answer.ok() || !IsOfTheNode(answer.error())) return answer;
    Avoid(*channel);
    if (!repeatable && !IsNotApplied(answer.error())) return answer;
    if (asked.empty()) left = NodeCount();
    asked.insert(channel->address());
    if (left > 0) --left;
    if (left == 0 || asked.count(AnyNode()->address()) > 0) return answer;
  }
}

// --- leaders ---

std::optional<NodeId> Router::LeaderOf(const std::string& name, PartitionIndex partition) const {
  const MutexLock lock(mutex_);
  const auto topic = topics_.find(name);
  const auto index = static_cast<size_t>(partition.value);
  if (topic == topics_.end() || index >= topic->second.leaders.size()) return std::nullopt;
  const NodeId node = topic->second.leaders[index].node;
  if (node.value < 0 || brokers_.count(node) == 0) return std::nullopt;
  return node;
}

std::set<int32_t> Router::UnservedOf(const std::string& name) const {
  const MutexLock lock(mutex_);
  std::set<int32_t> unserved;
  const auto topic = topics_.find(name);
  if (topic == topics_.end()) return unserved;
  const auto& leaders = topic->second.leaders;
  for (size_t i = 0; i < leaders.size(); ++i) {
    if (leaders[i].node.value < 0 || leaders[i].is_offline)
      unserved.insert(static_cast<int32_t>(i));
  }
  return unserved;
}

bool Router::IsNew(const std::string& name) const {
  const MutexLock lock(mutex_);
  const auto topic = topics_.find(name);
  return topic != topics_.end() && brokers_.size() > 1 &&
         SystemClock().Now() - topic->second.heard_of < kNewFor;
}

std::shared_ptr<Channel> Router::ChannelTo(NodeId node) {
  const MutexLock lock(mutex_);
  const auto broker = brokers_.find(node);
  return broker == brokers_.end() ? nullptr : ChannelAt(broker->second);
}

Result<void> Router::AskForTopic(const std::string& topic, Duration timeout) {
  v1::GetMetadataRequest request;
  request.add_topics(topic);
  const MonotonicTime deadline = SystemClock().Now() + timeout;
  size_t left = NodeCount();
  while (true) {
    const auto channel = AnyNode();
    const Duration rest = std::max(Duration(0), deadline - SystemClock().Now());
    auto response = channel->Call<v1::GetMetadataResponse>(
        kGetMetadata, request, rest / static_cast<int64_t>(std::max<size_t>(1, left)));
    if (!response.ok()) {
      if (!IsOfTheNode(response.error()) || left <= 1) return std::move(response).error();
      --left;
      Avoid(*channel);
      continue;
    }
    Learn(*response, *channel);
    for (const auto& told : response->topics()) {
      if (told.error().code() != 0) return ErrorOfStatus(told.error());
    }
    if (response->next_page_token().empty()) return {};
    request.mutable_page()->set_page_token(response->next_page_token());
  }
}

void Router::LearnBrokers(const v1::GetMetadataResponse& response, const Channel& from) {
  if (response.brokers_size() == 0) return;
  const bool is_other = std::exchange(cluster_id_, response.cluster_id()) != response.cluster_id();
  if (!is_other && response.metadata_version() < metadata_version_) return;
  const bool is_led_elsewhere =
      response.controller_id() >= 0 && response.controller_id() != response.brokers(0).broker_id();
  has_others_ = (has_others_ && !is_other) || response.brokers_size() > 1 || is_led_elsewhere;
  metadata_version_ = response.metadata_version();
  brokers_.clear();
  for (const v1::Broker& broker : response.brokers()) {
    brokers_[NodeId{broker.broker_id()}] =
        has_others_ ? AddressOf(broker.endpoint().host(), broker.endpoint().port(), from.address())
                    : from.address();
  }
  const auto addresses = Addresses();
  std::erase_if(channels_, [&](const auto& channel) {
    return std::find(addresses.begin(), addresses.end(), channel.first) == addresses.end();
  });
  if (std::find(addresses.begin(), addresses.end(), any_) == addresses.end())
    any_ = addresses.front();
}

void Router::Learn(const v1::GetMetadataResponse& response, const Channel& from) {
  const MutexLock lock(mutex_);
  LearnBrokers(response, from);
  for (const v1::TopicMetadata& told : response.topics()) {
    if (told.error().code() != 0) continue;  // whoever uses it is told by its last leader
    Topic& topic = topics_[told.topic()];
    if (std::exchange(topic.id, told.topic_id()) != told.topic_id()) {
      topic.leaders.clear();
      topic.heard_of = SystemClock().Now();
    }
    for (const v1::PartitionMetadata& partition : told.partitions()) {
      if (partition.partition() < 0 || partition.partition() >= told.partition_count()) continue;
      const auto index = static_cast<size_t>(partition.partition());
      if (index >= topic.leaders.size()) topic.leaders.resize(index + 1);
      Leader& leader = topic.leaders[index];
      if (partition.leader_epoch() < leader.epoch.value) continue;
      const Leader before = leader;
      leader = {NodeId{partition.has_leader_id() ? partition.leader_id() : -1},
                LeaderEpoch{partition.leader_epoch()}};
      const auto& offline = partition.offline();
      leader.is_offline =
          std::find(offline.begin(), offline.end(), leader.node.value) != offline.end();
      // Others do not know what the leader itself has said of its disks.
      const auto itself = brokers_.find(leader.node);
      const bool says_itself = itself == brokers_.end() || itself->second == from.address();
      const bool is_same = before.node == leader.node && before.epoch == leader.epoch;
      if (is_same && before.is_offline && !says_itself) leader.is_offline = true;
    }
  }
}

bool Router::LearnFrom(const Error& error, const std::string& name, PartitionIndex partition,
                       const Channel& from) {
  const auto node = NumberOf(error, "leader_id");
  const auto epoch = NumberOf(error, "leader_epoch");
  if (!node.has_value() || *node < 0 || !epoch.has_value()) return false;
  const MutexLock lock(mutex_);
  const auto topic = topics_.find(name);
  const auto index = static_cast<size_t>(partition.value);
  if (topic == topics_.end() || index >= topic->second.leaders.size()) return false;
  Leader& leader = topic->second.leaders[index];
  if (*epoch < leader.epoch.value) return false;  // it is behind
  const auto port = NumberOf(error, "leader_port");
  bool is_news = leader.node != NodeId{*node} || leader.epoch != LeaderEpoch{*epoch};
  if (port.has_value()) {
    const std::string address =
        AddressOf(std::string(DetailOf(error, "leader_host")), *port, from.address());
    std::string& known = brokers_[NodeId{*node}];
    // The leader is where it answered as far as we know, and says that it is not the leader.
    const bool is_another =
        error.reason == Reason::kNotLeader && known == from.address() && known != address;
    has_others_ = has_others_ || is_another;
    if (known.empty() || is_another) {
      known = address;
      is_news = true;
    }
  }
  leader = {NodeId{*node}, LeaderEpoch{*epoch}};
  return is_news && brokers_.count(NodeId{*node}) > 0;
}

}  // namespace gregor
