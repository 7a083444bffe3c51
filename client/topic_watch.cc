#include "client/topic_watch.h"

#include <algorithm>
#include <utility>

#include "client/channel.h"
#include "gregor/v1/topic.pb.h"

namespace gregor {
namespace {

constexpr Duration kBackoff = std::chrono::milliseconds(200);

Error Gone(const std::string& topic, const std::string& what) {
  return Error(Reason::kUnknownTopicId, "topic \"" + topic + "\" was " + what).With("topic", topic);
}

}  // namespace

void TopicWatch::Add(const std::string& topic) { topics_.try_emplace(topic); }

void TopicWatch::Follow(const std::string& topic, int32_t first_new) {
  Topic& followed = topics_[topic];
  followed.first_new = first_new;
  followed.ask_at = MonotonicTime::min();
}

void TopicWatch::Release(const std::string& topic) {
  const auto found = topics_.find(topic);
  if (found != topics_.end() && !found->second.first_new.has_value()) topics_.erase(found);
}

const std::string* TopicWatch::IdOf(const std::string& topic) const {
  const auto found = topics_.find(topic);
  return found == topics_.end() || found->second.id.empty() ? nullptr : &found->second.id;
}

void TopicWatch::Doubt(const std::string& topic) {
  const auto found = topics_.find(topic);
  if (found != topics_.end()) found->second.ask_at = MonotonicTime::min();
}

std::optional<std::string> TopicWatch::NextQuestion(MonotonicTime now) {
  for (auto& [name, topic] : topics_) {
    if (topic.is_asked_for || topic.ask_at > now) continue;
    topic.is_asked_for = true;
    return name;
  }
  return std::nullopt;
}

MonotonicTime TopicWatch::QuestionAt() const {
  MonotonicTime at = MonotonicTime::max();
  for (const auto& [name, topic] : topics_) {
    if (!topic.is_asked_for) at = std::min(at, topic.ask_at);
  }
  return at;
}

TopicWatch::Verdict TopicWatch::OnAnswer(const std::string& name, Result<Bytes> answer,
                                         MonotonicTime now) {
  Verdict verdict;
  const auto found = topics_.find(name);
  if (found == topics_.end()) return verdict;  // given up since
  Topic& topic = found->second;
  topic.is_asked_for = false;
  v1::GetTopicResponse response;
  if (answer.ok() && !response.ParseFromString(answer->ToString()))
    answer = Error(Reason::kUnspecified, "the server's answer cannot be parsed");
  if (answer.ok() && response.topic().topic_id().size() != 16)
    answer = Error(Reason::kUnspecified, "the server's answer has no topic id");
  if (!answer.ok() && IsRetriable(answer.error())) {
    topic.ask_at = now + kBackoff;
    verdict.trouble = std::move(answer).error();
    return verdict;
  }
  const std::string& id = response.topic().topic_id();
  if (!answer.ok()) {
    verdict.gone = topic.id.empty() || answer.error().reason != Reason::kTopicNotFound
                       ? std::move(answer).error()
                       : Gone(name, "deleted");
  } else if (!topic.id.empty() && topic.id != id) {
    verdict.gone = Gone(name, "deleted and created anew: the records are others now");
  }
  if (verdict.gone.has_value()) {
    topics_.erase(found);
    return verdict;
  }
  topic.id = id;
  topic.ask_at = topic.first_new.has_value() ? now + interval_ : MonotonicTime::max();
  for (; topic.first_new.has_value() && *topic.first_new < response.topic().partition_count();
       ++*topic.first_new)
    verdict.new_partitions.push_back(*topic.first_new);
  return verdict;
}

}  // namespace gregor
