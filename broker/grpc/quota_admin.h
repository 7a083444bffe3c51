#ifndef GREGOR_BROKER_GRPC_QUOTA_ADMIN_H_
#define GREGOR_BROKER_GRPC_QUOTA_ADMIN_H_

#include "broker/api.h"
#include "broker/grpc/control_call.h"
#include "gregor/v1/config.pb.h"

namespace gregor {

// What ConfigService does with quotas. Thread: the control loop.

void ChangeQuotas(BrokerApi& broker, const v1::AlterQuotasRequest& request,
                  Reply<v1::AlterQuotasResponse> reply);
Result<v1::DescribeQuotasResponse> DescribedQuotas(const BrokerApi& broker,
                                                   const v1::DescribeQuotasRequest& request);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_QUOTA_ADMIN_H_
