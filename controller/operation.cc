#include "controller/operation.h"

#include <type_traits>
#include <utility>

namespace gregor {
namespace {

template <typename T>
ControllerApi::Done<T> AsAnswer(OperationDone done) {
  return [done = std::move(done)](Result<T> result) mutable {
    if (!result.ok()) return done(std::move(result).error());
    if constexpr (std::is_void_v<T>) {
      done(OperationAnswer());
    } else {
      done(OperationAnswer(*std::move(result)));
    }
  };
}

// Calls the method of the operation's kind.
struct Runner {
  ControllerApi& controller;
  const OperationContext& context;
  OperationDone done;

  void operator()(CreateTopic&& operation) {
    controller.Create(std::move(operation), AsAnswer<TopicPtr>(std::move(done)), context);
  }
  void operator()(DeleteTopic&& operation) {
    controller.Delete(std::move(operation.topic), AsAnswer<void>(std::move(done)), context);
  }
  void operator()(AddPartitions&& operation) {
    controller.Add(std::move(operation), AsAnswer<TopicPtr>(std::move(done)), context);
  }
  void operator()(AlterConfigs&& operation) {
    controller.Alter(std::move(operation.alterations), operation.validate_only,
                     AsAnswer<std::vector<Result<void>>>(std::move(done)), context);
  }
  void operator()(RegisterBroker&& operation) {
    controller.Register(std::move(operation), AsAnswer<BrokerEpoch>(std::move(done)), context);
  }
  void operator()(AllocateProducerIds&& operation) {
    controller.AllocateProducerIds(operation.count, AsAnswer<ProducerIdBlock>(std::move(done)),
                                   context);
  }
};

}  // namespace

void RunOperation(ControllerApi& controller, Operation operation, const OperationContext& context,
                  OperationDone done) {
  std::visit(Runner{controller, context, std::move(done)}, std::move(operation));
}

std::string_view OperationOutcome(const Error& error) {
  for (const auto& [key, value] : error.details) {
    if (key == "outcome") return value;
  }
  return "";
}

}  // namespace gregor
