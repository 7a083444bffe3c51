#include "controller/topic_names.h"

#include <algorithm>
#include <vector>

#include "base/utf8.h"

namespace gregor {
namespace {

constexpr size_t kNameBytesMax = 249;  // so that "<name>-<partition>" is a file name
constexpr size_t kShownBytesMax = 100;
constexpr size_t kVariantsMax = 256;

bool IsSeparator(char letter) { return letter == '.' || letter == '_'; }

bool IsAllowed(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= '0' && letter <= '9') || IsSeparator(letter) || letter == '-';
}

Error Invalid(const std::string& message, std::string_view name) {
  // For programs, but it must not carry what terminals act on either: without the quotes only.
  const std::string shown = ShowQuoted(name, kNameBytesMax);
  return Error(Reason::kInvalidTopic, message).With("topic", shown.substr(1, shown.size() - 2));
}

// Whether the two are the same but for '.' and '_'.
bool Collide(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char left, char right) {
    return left == right || (IsSeparator(left) && IsSeparator(right));
  });
}

// A topic whose name collides with `name`. Tries all names that would, where those are fewer than
// the topics.
TopicPtr FindColliding(const std::string& name, const MetadataImage& image) {
  std::vector<size_t> separators;
  for (size_t i = 0; i < name.size(); ++i) {
    if (IsSeparator(name[i])) separators.push_back(i);
  }
  TopicPtr found;
  if (separators.size() >= 8 * sizeof(size_t) || size_t{1} << separators.size() > kVariantsMax) {
    image.topics.VisitAll([&](const std::string& other, const TopicPtr& topic) {
      if (found == nullptr && Collide(name, other)) found = topic;
    });
    return found;
  }
  for (size_t variant = 0; variant < size_t{1} << separators.size() && found == nullptr;
       ++variant) {
    std::string other = name;
    for (size_t i = 0; i < separators.size(); ++i)
      other[separators[i]] = (variant >> i & 1) != 0 ? '.' : '_';
    found = image.Topic(other);
  }
  return found;
}

}  // namespace

std::string ShowText(std::string_view text) { return ShowQuoted(text, kShownBytesMax); }

Result<void> CheckTopicName(std::string_view name) {
  if (name.empty()) return Invalid("a topic needs a name", "");
  if (name.size() > kNameBytesMax) {
    return Invalid("topic name " + ShowText(name) + " has " + std::to_string(name.size()) +
                       " characters; at most " + std::to_string(kNameBytesMax) + " are allowed",
                   name);
  }
  if (!std::all_of(name.begin(), name.end(), IsAllowed)) {
    return Invalid("topic name " + ShowText(name) +
                       " has other characters than a-z, A-Z, 0-9, '.', '_' and '-'",
                   name);
  }
  if (name == "." || name == "..")
    return Invalid("a topic cannot be called \"" + std::string(name) + "\"", name);
  return {};
}

Result<void> CheckNewTopicName(const std::string& name, const MetadataImage& image) {
  if (const TopicPtr topic = image.Topic(name)) {
    return Error(Reason::kTopicAlreadyExists, "topic \"" + name + "\" exists already")
        .With("topic", name)
        .With("topic_id", topic->id.ToString());
  }
  if (const TopicPtr topic = FindColliding(name, image)) {
    return Invalid("topic name \"" + name + "\" collides with topic \"" + topic->name +
                       "\": '.' and '_' are the same in the names of metrics",
                   name);
  }
  return {};
}

}  // namespace gregor
