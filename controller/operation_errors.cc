// The codec of operations: errors.
#include <algorithm>

#include "controller/operation_codec.h"

namespace gregor {

void EncodeError(const Error& error, pb::OperationError& message) {
  message.set_reason(static_cast<v1::ErrorReason>(error.reason));
  message.set_message(error.message);
  for (const auto& [key, value] : error.details) {
    auto& detail = *message.add_details();
    detail.set_key(key);
    detail.set_value(value);
  }
}

Error DecodeError(const pb::OperationError& message) {
  const auto reasons = AllReasons();
  const auto known = std::find_if(reasons.begin(), reasons.end(), [&](const ReasonSpec& spec) {
    return static_cast<int>(spec.reason) == static_cast<int>(message.reason());
  });
  Error error(Reason::kUnspecified, message.message());
  if (known != reasons.end()) {
    error.reason = known->reason;
  } else {
    error.message += " (reason " + std::to_string(message.reason()) + " of a newer version)";
  }
  for (const auto& detail : message.details()) error.With(detail.key(), detail.value());
  return error;
}

}  // namespace gregor
