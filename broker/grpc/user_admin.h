#ifndef GREGOR_BROKER_GRPC_USER_ADMIN_H_
#define GREGOR_BROKER_GRPC_USER_ADMIN_H_

#include "broker/grpc/control_call.h"
#include "gregor/v1/security.pb.h"

namespace gregor {

// What SecurityService does with users. Thread: the control loop.

// A password is taken from callers on this machine only, becomes keys on a thread that has no other
// work, and goes nowhere else.
void PutUser(Door& door, const v1::UpsertUserRequest& request, Reply<v1::UpsertUserResponse> reply);
void RemoveUser(BrokerApi& broker, const v1::DeleteUserRequest& request,
                Reply<v1::DeleteUserResponse> reply);
Result<v1::ListUsersResponse> ListedUsers(const BrokerApi& broker,
                                          const v1::ListUsersRequest& request);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_USER_ADMIN_H_
