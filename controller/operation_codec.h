#ifndef GREGOR_CONTROLLER_OPERATION_CODEC_H_
#define GREGOR_CONTROLLER_OPERATION_CODEC_H_

#include "base/result.h"
#include "controller/image/image.h"
#include "controller/image/operation.h"
#include "gregor/internal/v1/controller.pb.h"

namespace gregor {

namespace pb = internal::v1;

// Operations and their answers as the messages that nodes send each other. Thread: any.

// What an operation, and the records of a topic in an answer, may take; the internal listener takes
// more.
inline constexpr size_t kOperationBytesMax = 16u << 20;
inline constexpr size_t kAnswerRecordBytesMax = 24u << 20;
// Elements of each list of an operation.
inline constexpr int kOperationItemsMax = 1'000'000;

// Sets the operation of `request`. Fails with kInvalidArgument, NOT_APPLIED, where it is too large,
// or a broker's text is none.
Result<void> EncodeOperation(const MetadataOperation& operation, pb::OperationRequest& request);
// Fails with kInvalidArgument, NOT_APPLIED, where the message is none that EncodeOperation() makes.
Result<MetadataOperation> DecodeOperation(const pb::OperationRequest& request);

// Sets the answer of `response`.
void EncodeAnswer(const Result<OperationAnswer>& answer, pb::OperationResponse& response);
// The answer to `operation`. A topic is the image's, or, where it is not there (any more), made of
// the answer's records. Fails with the answer's error, or with kUnspecified, UNKNOWN, where the
// message is no answer to that operation. REQUIRES: the image has reached visible_offset.
Result<OperationAnswer> DecodeAnswer(const MetadataOperation& operation,
                                     const pb::OperationResponse& response,
                                     const MetadataImage& image);

void EncodeError(const Error& error, pb::OperationError& message);
// A reason that this version does not know becomes kUnspecified, with its number in the message.
Error DecodeError(const pb::OperationError& message);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_OPERATION_CODEC_H_
