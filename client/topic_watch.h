#ifndef GREGOR_CLIENT_TOPIC_WATCH_H_
#define GREGOR_CLIENT_TOPIC_WATCH_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace gregor {

// What a consumer knows of its topics: their ids, so that it does not read on in a topic that was
// created anew under the same name, and of those that it follows how many partitions they have.
// Says when the server is to be asked, and what its answers mean. Thread: its owner's.
class TopicWatch {
 public:
  // Topics that are followed are asked for every `interval`.
  explicit TopicWatch(Duration interval) : interval_(interval) {}

  // Something of the topic is read: asks for it, unless it is known.
  void Add(const std::string& topic);
  // Tells of partitions from `first_new` on from now on.
  void Follow(const std::string& topic, int32_t first_new);
  // Nothing of the topic is read at present: forgets it, unless it is followed.
  void Release(const std::string& topic);
  void Clear() { topics_.clear(); }

  // 16 bytes; nullptr: not known yet.
  const std::string* IdOf(const std::string& topic) const;
  // The server knows the id no more: asks for the topic now.
  void Doubt(const std::string& topic);

  // A topic that is to be asked for (GetTopic) now; OnAnswer() has to follow.
  std::optional<std::string> NextQuestion(MonotonicTime now);
  // When there will be one.
  MonotonicTime QuestionAt() const;

  struct Verdict {
    std::optional<Error> gone;     // it cannot be read any more; it is forgotten
    std::optional<Error> trouble;  // it is asked for again
    std::vector<int32_t> new_partitions;
  };
  // Takes a GetTopicResponse. `gone` is kTopicNotFound where there never was such a topic,
  // kUnknownTopicId where it was deleted, or created anew, since.
  Verdict OnAnswer(const std::string& topic, Result<Bytes> answer, MonotonicTime now);

 private:
  struct Topic {
    std::string id;  // empty: not known yet
    std::optional<int32_t> first_new;
    bool is_asked_for = false;
    MonotonicTime ask_at = MonotonicTime::min();
  };
  const Duration interval_;
  std::map<std::string, Topic> topics_;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_TOPIC_WATCH_H_
