#ifndef GREGOR_CLIENT_SECURITY_ADMIN_H_
#define GREGOR_CLIENT_SECURITY_ADMIN_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/router.h"
#include "gregor/v1/config.pb.h"
#include "gregor/v1/security.pb.h"

namespace gregor {

// Who may do what, who users are, and what clients may use. Calls as Admin's (client/admin.h).
// Thread: any.
class SecurityAdmin {
 public:
  explicit SecurityAdmin(std::shared_ptr<Router> router,
                         Duration timeout = std::chrono::seconds(30))
      : router_(std::move(router)), timeout_(timeout) {}
  explicit SecurityAdmin(const std::string& servers, Duration timeout = std::chrono::seconds(30))
      : SecurityAdmin(Router::Create(servers), timeout) {}

  // All or none.
  Result<void> CreateAcls(const v1::CreateAclsRequest& request) const;
  // All that match.
  Result<std::vector<v1::Acl>> ListAcls(const v1::AclFilter& filter) const;
  // What went, or (with validate_only) would.
  Result<v1::DeleteAclsResponse> DeleteAcls(const v1::DeleteAclsRequest& request) const;

  Result<void> UpsertUser(const v1::UpsertUserRequest& request) const;
  Result<std::vector<v1::ListUsersResponse::User>> ListUsers() const;
  Result<void> DeleteUser(const v1::DeleteUserRequest& request) const;

  // Fails with what is wrong with an alteration, too: the first of them.
  Result<void> AlterQuotas(const v1::AlterQuotasRequest& request) const;
  // All that match; the request's page says nothing.
  Result<std::vector<v1::Quota>> DescribeQuotas(v1::DescribeQuotasRequest request) const;

 private:
  const std::shared_ptr<Router> router_;
  const Duration timeout_;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_SECURITY_ADMIN_H_
