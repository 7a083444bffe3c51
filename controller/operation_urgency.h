#ifndef GREGOR_CONTROLLER_OPERATION_URGENCY_H_
#define GREGOR_CONTROLLER_OPERATION_URGENCY_H_

#include <variant>

#include "controller/image/operation.h"

namespace gregor {

// Whether the operation is taken however many wait already: brokers live by it, and where it were
// refused a controller that has much to do would fence those that are well. Each broker has at most
// one of them under way, so their number has a bound of its own. Thread: any.
inline bool IsUrgent(const MetadataOperation& operation) {
  return std::holds_alternative<BrokerHeartbeat>(operation) ||
         std::holds_alternative<RegisterBroker>(operation);
}

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_OPERATION_URGENCY_H_
