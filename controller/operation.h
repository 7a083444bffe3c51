#ifndef GREGOR_CONTROLLER_OPERATION_H_
#define GREGOR_CONTROLLER_OPERATION_H_

#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "controller/image/controller_api.h"

namespace gregor {

// An operation of ControllerApi as a value: what is kept of it until it can be run, and what goes
// to another node.

struct DeleteTopic {
  TopicKey topic;
};
struct AlterConfigs {
  std::vector<AlterConfig> alterations;
  bool validate_only = false;
};
struct AllocateProducerIds {
  int64_t count = 0;
};
using Operation = std::variant<CreateTopic, DeleteTopic, AddPartitions, AlterConfigs,
                               RegisterBroker, AllocateProducerIds>;

// The answer of each: CreateTopic and AddPartitions TopicPtr, DeleteTopic monostate, AlterConfigs
// one result per alteration, RegisterBroker BrokerEpoch, AllocateProducerIds ProducerIdBlock.
using OperationAnswer =
    std::variant<std::monostate, TopicPtr, std::vector<Result<void>>, BrokerEpoch, ProducerIdBlock>;
using OperationDone = UniqueFunction<void(Result<OperationAnswer>)>;

// Asks `controller` for it. Thread, `done`: as ControllerApi.
void RunOperation(ControllerApi& controller, Operation operation, const OperationContext& context,
                  OperationDone done);

// What is known of an operation that failed so: "NOT_APPLIED" (it did not take place, and will
// not), "UNKNOWN", or nothing where the error says it all.
std::string_view OperationOutcome(const Error& error);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_OPERATION_H_
