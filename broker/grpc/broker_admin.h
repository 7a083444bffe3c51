#ifndef GREGOR_BROKER_GRPC_BROKER_ADMIN_H_
#define GREGOR_BROKER_GRPC_BROKER_ADMIN_H_

#include "broker/api.h"
#include "broker/grpc/control_call.h"
#include "broker/partition_counter.h"
#include "gregor/v1/cluster.pb.h"

namespace gregor {

// ClusterService's calls that are about brokers: which there are, in what state, and what all of
// them support. Thread: the control loop.

// `controller_id`: where the active controller is.
Result<v1::DescribeClusterResponse> DescribedCluster(const BrokerApi& broker,
                                                     PartitionCounter& counter,
                                                     int32_t controller_id,
                                                     const v1::DescribeClusterRequest& request);
void FenceBroker(BrokerApi& broker, const v1::SetBrokerFenceRequest& request,
                 Reply<v1::SetBrokerFenceResponse> reply);
void ForgetBroker(BrokerApi& broker, const v1::UnregisterBrokerRequest& request,
                  Reply<v1::UnregisterBrokerResponse> reply);
void ChangeFeatures(BrokerApi& broker, const v1::UpdateFeaturesRequest& request,
                    Reply<v1::UpdateFeaturesResponse> reply);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_BROKER_ADMIN_H_
