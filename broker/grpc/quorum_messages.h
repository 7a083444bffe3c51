#ifndef GREGOR_BROKER_GRPC_QUORUM_MESSAGES_H_
#define GREGOR_BROKER_GRPC_QUORUM_MESSAGES_H_

#include "base/result.h"
#include "controller/image/quorum_api.h"
#include "gregor/v1/cluster.pb.h"

namespace gregor {

// The metadata quorum in the words of the API. Thread: any.
v1::DescribeQuorumResponse ToMessage(const DescribedQuorum& quorum);
// Fail with kInvalidArgument.
Result<ChangeVoter> ToChange(const v1::AddVoterRequest& request);
Result<ChangeVoter> ToChange(const v1::RemoveVoterRequest& request);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_QUORUM_MESSAGES_H_
