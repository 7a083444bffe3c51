#include "controller/topic_answer.h"

#include <utility>

#include "controller/image/records.h"
#include "controller/image/replay.h"
#include "controller/image/rows.h"
#include "controller/operation_codec.h"

namespace gregor {
namespace {

// What stands for a topic's id in records of one that was only validated.
TopicId IdOfNoTopic() {
  TopicId id;
  id.bytes.fill(0xff);
  return id;
}

// The one topic that `records` make.
Result<TopicPtr> ReplayTopic(const google::protobuf::RepeatedPtrField<std::string>& records) {
  Replay replay(nullptr);
  pb::MetadataRecord level;
  level.mutable_feature_level()->set_level(kFeatureLevel);
  RETURN_IF_ERROR(replay.Apply(Offset{0}, level));
  for (const std::string& record : records) RETURN_IF_ERROR(replay.Apply(Offset{0}, record));
  const MetadataDelta delta = replay.Finish({});
  if (delta.created.size() == 1) return delta.created.front();
  return Error(Reason::kStorageError,
               "it shows " + std::to_string(delta.created.size()) + " topics instead of one");
}

}  // namespace

void EncodeTopicAnswer(const TopicImage& topic, pb::TopicAnswer& answer) {
  if (topic.id.IsZero()) {
    TopicImage named = topic;
    named.id = IdOfNoTopic();
    EncodeTopicAnswer(named, answer);
    return answer.clear_topic_id();
  }
  answer.set_topic_id(ToBytes(topic.id.bytes));
  size_t bytes = 0;
  const auto added = VisitTopicRows(topic, [&](std::string_view, const std::string& record) {
    bytes += record.size();
    if (bytes > kAnswerRecordBytesMax)
      return Result<void>(Error(Reason::kBatchTooLarge, "too many partitions"));
    answer.add_records(record);
    return Result<void>();
  });
  if (!added.ok()) answer.clear_records();
}

Error NoAnswer(const std::string& what) {
  return Error(Reason::kUnspecified, "the active controller's answer cannot be understood: " +
                                         what + ". Whether the operation took place is not known")
      .With("outcome", "UNKNOWN");
}

Result<OperationAnswer> DecodeTopicAnswer(const pb::TopicAnswer& answer,
                                          const MetadataImage& image) {
  TopicId id = IdOfNoTopic();
  const bool is_there = !answer.topic_id().empty();
  if (is_there && !ReadId(answer.topic_id(), &id)) return NoAnswer("a topic id that is none");
  if (TopicPtr topic = is_there ? image.Topic(id) : nullptr) return OperationAnswer(topic);
  if (answer.records().empty() && is_there) {
    return Error(Reason::kUnknownTopicId,
                 "the operation took place, but topic " + id.ToString() + " was deleted since");
  }
  if (answer.records().empty()) {
    return Error(Reason::kBatchTooLarge,
                 "the operation is valid, but the topic has too many partitions to be shown by a "
                 "node that is not the active controller")
        .With("outcome", "NOT_APPLIED");
  }
  auto replayed = ReplayTopic(answer.records());
  if (!replayed.ok()) return NoAnswer(replayed.error().message);
  if ((*replayed)->id != id) return NoAnswer("it shows another topic");
  if (is_there) return OperationAnswer(*std::move(replayed));
  auto shown = std::make_shared<TopicImage>(**replayed);
  shown->id = TopicId{};
  return OperationAnswer(TopicPtr(std::move(shown)));
}

}  // namespace gregor
