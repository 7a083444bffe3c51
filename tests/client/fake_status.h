#ifndef GREGOR_TESTS_CLIENT_FAKE_STATUS_H_
#define GREGOR_TESTS_CLIENT_FAKE_STATUS_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>

#include "base/result.h"
#include "google/rpc/status.pb.h"
#include "gregor/v1/errors.pb.h"

namespace gregor {

// A status as the server sends it.
google::rpc::Status MakeStatus(Reason reason, const std::string& message,
                               v1::WriteOutcome::Outcome outcome,
                               const std::map<std::string, std::string>& details = {});
// That of a topic that is not there, and of an id that no topic has.
google::rpc::Status NotFound(const std::string& topic);
google::rpc::Status Unknown();
// The status of a call, with the other one in its details.
grpc::Status ToGrpcStatus(const google::rpc::Status& status);

}  // namespace gregor

#endif  // GREGOR_TESTS_CLIENT_FAKE_STATUS_H_
