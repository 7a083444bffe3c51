#include "tests/client/fake_status.h"

#include "google/rpc/error_details.pb.h"

namespace gregor {

google::rpc::Status MakeStatus(Reason reason, const std::string& message,
                               v1::WriteOutcome::Outcome outcome,
                               const std::map<std::string, std::string>& details) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(SpecOf(reason).grpc_code));
  status.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(ReasonName(reason)));
  info.set_domain("gregor");
  for (const auto& [key, value] : details) (*info.mutable_metadata())[key] = value;
  status.add_details()->PackFrom(info);
  if (outcome != v1::WriteOutcome::OUTCOME_UNSPECIFIED) {
    v1::WriteOutcome detail;
    detail.set_outcome(outcome);
    status.add_details()->PackFrom(detail);
  }
  return status;
}

google::rpc::Status NotFound(const std::string& topic) {
  return MakeStatus(Reason::kTopicNotFound, "there is no topic \"" + topic + "\"",
                    v1::WriteOutcome::OUTCOME_NOT_APPLIED);
}

google::rpc::Status Unknown() {
  return MakeStatus(Reason::kUnknownTopicId, "no topic has the id",
                    v1::WriteOutcome::OUTCOME_NOT_APPLIED);
}

grpc::Status ToGrpcStatus(const google::rpc::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), status.message(),
          status.SerializeAsString()};
}

}  // namespace gregor
