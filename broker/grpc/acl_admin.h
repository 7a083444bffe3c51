#ifndef GREGOR_BROKER_GRPC_ACL_ADMIN_H_
#define GREGOR_BROKER_GRPC_ACL_ADMIN_H_

#include "broker/api.h"
#include "broker/grpc/control_call.h"
#include "gregor/v1/security.pb.h"

namespace gregor {

// What SecurityService does with rules. Thread: the control loop.

void AddAcls(BrokerApi& broker, const v1::CreateAclsRequest& request,
             Reply<v1::CreateAclsResponse> reply);
void RemoveAcls(BrokerApi& broker, const v1::DeleteAclsRequest& request,
                Reply<v1::DeleteAclsResponse> reply);
Result<v1::ListAclsResponse> ListedAcls(const BrokerApi& broker,
                                        const v1::ListAclsRequest& request);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_ACL_ADMIN_H_
