// SecurityService: who may do what, and how users prove who they are.
#include <utility>

#include "broker/grpc/acl_admin.h"
#include "broker/grpc/control_services.h"
#include "broker/grpc/service_stack.h"
#include "broker/grpc/user_admin.h"
#include "gregor/v1/security.grpc.pb.h"

namespace gregor {
namespace {

using SecurityApi = v1::SecurityService;
using SecurityMethods =
    Stack<SecurityApi::Service, SecurityApi::WithRawMethod_CreateAcls,
          SecurityApi::WithRawMethod_ListAcls, SecurityApi::WithRawMethod_DeleteAcls,
          SecurityApi::WithRawMethod_UpsertUser, SecurityApi::WithRawMethod_ListUsers,
          SecurityApi::WithRawMethod_DeleteUser>;

// Thread: main; what handles calls: the control loop.
class SecurityService final : public SecurityMethods, public DoorService {
 public:
  explicit SecurityService(Door& door)
      : door_(door), methods_(door.metrics, "gregor.v1.SecurityService") {
    using Kind = ControlMethods::Kind;
    using Self = SecurityService;
    methods_.Add(Kind::kWrite, "CreateAcls", this, &Self::RequestCreateAcls, &Self::Create);
    methods_.Add(Kind::kRead, "ListAcls", this, &Self::RequestListAcls, &Self::Acls);
    methods_.Add(Kind::kWrite, "DeleteAcls", this, &Self::RequestDeleteAcls, &Self::Delete);
    methods_.Add(Kind::kWrite, "UpsertUser", this, &Self::RequestUpsertUser, &Self::Upsert);
    methods_.Add(Kind::kRead, "ListUsers", this, &Self::RequestListUsers, &Self::Users);
    methods_.Add(Kind::kWrite, "DeleteUser", this, &Self::RequestDeleteUser, &Self::Forget);
  }
  grpc::Service* service() override { return this; }
  void Serve(const std::shared_ptr<Door>& door) override { methods_.Serve(door); }

 private:
  void Create(const v1::CreateAclsRequest& request, Reply<v1::CreateAclsResponse> reply) {
    AddAcls(door_.broker, request, std::move(reply));
  }
  Result<v1::ListAclsResponse> Acls(const v1::ListAclsRequest& request) const {
    return ListedAcls(door_.broker, request);
  }
  void Delete(const v1::DeleteAclsRequest& request, Reply<v1::DeleteAclsResponse> reply) {
    RemoveAcls(door_.broker, request, std::move(reply));
  }
  void Upsert(const v1::UpsertUserRequest& request, Reply<v1::UpsertUserResponse> reply) {
    PutUser(door_, request, std::move(reply));
  }
  Result<v1::ListUsersResponse> Users(const v1::ListUsersRequest& request) const {
    return ListedUsers(door_.broker, request);
  }
  void Forget(const v1::DeleteUserRequest& request, Reply<v1::DeleteUserResponse> reply) {
    RemoveUser(door_.broker, request, std::move(reply));
  }

  Door& door_;
  ControlMethods methods_;
};

}  // namespace

std::unique_ptr<DoorService> NewSecurityService(Door& door) {
  return std::make_unique<SecurityService>(door);
}

}  // namespace gregor
