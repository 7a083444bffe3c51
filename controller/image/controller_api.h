#ifndef GREGOR_CONTROLLER_IMAGE_CONTROLLER_API_H_
#define GREGOR_CONTROLLER_IMAGE_CONTROLLER_API_H_

#include <utility>

#include "base/result.h"
#include "base/task.h"
#include "controller/image/operation.h"

namespace gregor {

// Where operations on the cluster's metadata are asked for: in process; where another node is
// the active controller, controller/operation_router.h takes them there. Each is validated against
// the image, becomes records, is committed, applied and only then answered (DESIGN D8): when `done`
// runs, the image that the answering node serves has the result, or what an error stands on.
// Thread: any; `done` runs on the controller loop. Any of them fails with kNotController while
// there is no leader, or where it was lost in between (`outcome` says which), kCommitTimedOut,
// kStorageError/kDiskFull where the log cannot be written, kQuotaExceeded where too many wait.
class ControllerApi {
 public:
  template <typename T>
  using Done = UniqueFunction<void(Result<T>)>;

  virtual ~ControllerApi() = default;

  virtual void Execute(MetadataOperation operation, const OperationContext& context,
                       OperationDone done) = 0;

  // The same with the operation's own answer.
  template <typename Op>
  void Run(Op operation, Done<typename Op::Answer> done, const OperationContext& context = {}) {
    Execute(std::move(operation), context, TypedDone<typename Op::Answer>(std::move(done)));
  }
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_CONTROLLER_API_H_
