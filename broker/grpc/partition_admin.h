#ifndef GREGOR_BROKER_GRPC_PARTITION_ADMIN_H_
#define GREGOR_BROKER_GRPC_PARTITION_ADMIN_H_

#include "broker/api.h"
#include "broker/grpc/control_call.h"
#include "gregor/v1/cluster.pb.h"

namespace gregor {

// ClusterService's calls that are about partitions: who leads them, and where they are. Thread: the
// control loop.
void ElectLeadersByHand(BrokerApi& broker, const v1::ElectLeadersRequest& request,
                        Reply<v1::ElectLeadersResponse> reply);
void MoveLeadersAway(BrokerApi& broker, const v1::DrainBrokerRequest& request,
                     Reply<v1::DrainBrokerResponse> reply);
void BeginReassignments(BrokerApi& broker, const v1::ReassignPartitionsRequest& request,
                        Reply<v1::ReassignPartitionsResponse> reply);
Result<v1::ListReassignmentsResponse> RunningReassignments(
    const BrokerApi& broker, const v1::ListReassignmentsRequest& request);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_PARTITION_ADMIN_H_
