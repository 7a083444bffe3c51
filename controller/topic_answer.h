#ifndef GREGOR_CONTROLLER_TOPIC_ANSWER_H_
#define GREGOR_CONTROLLER_TOPIC_ANSWER_H_

#include <string>

#include "base/result.h"
#include "controller/image/image.h"
#include "controller/image/operation.h"
#include "gregor/internal/v1/controller.pb.h"

namespace gregor {

namespace pb = internal::v1;

// Answers that are a topic: the part of controller/operation_codec.h that is about them. Thread:
// any.

void EncodeTopicAnswer(const TopicImage& topic, pb::TopicAnswer& answer);
// The topic of the image, or, where it is not there (any more), made of the answer's records.
Result<OperationAnswer> DecodeTopicAnswer(const pb::TopicAnswer& answer,
                                          const MetadataImage& image);

// An answer that is none: with kUnspecified, UNKNOWN.
Error NoAnswer(const std::string& what);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_TOPIC_ANSWER_H_
