#include "rpc/twin.h"

#include <grpc/support/time.h>
#include <grpcpp/grpcpp.h>

#include "rpc/node_channel.h"

namespace gregor {

std::optional<Error> FindTwin(const std::string& address, NodeCredentials& credentials,
                              const RaftSelf& self, Duration at_most) {
  const auto stub = internal::v1::RaftService::NewStub(
      CreateNodeChannel(address, self.key.node, credentials, {}));
  grpc::ClientContext context;
  context.set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                    gpr_time_from_nanos(at_most.count(), GPR_TIMESPAN)));
  const auto stream = stub->Exchange(&context);
  // A node refuses one of its own id, whoever that is: the status says why.
  internal::v1::RaftMessage answer;
  if (stream->Write(RaftHello(self, self.key.node, /*is_bulk=*/false)) && stream->Read(&answer))
    context.TryCancel();
  const grpc::Status status = stream->Finish();
  if (status.error_code() != grpc::StatusCode::ALREADY_EXISTS) return std::nullopt;
  return Error(Reason::kDuplicateVoter,
               status.error_message() + ", and answers at " + address +
                   ": give this one a node_id of its own, or stop the other one");
}

}  // namespace gregor
