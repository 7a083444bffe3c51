#include "client/security_admin.h"

namespace gregor {
namespace {

constexpr int32_t kRulesAPage = 5000;

std::string Security(const char* method) {
  return std::string("/gregor.v1.SecurityService/") + method;
}
std::string Config(const char* method) { return std::string("/gregor.v1.ConfigService/") + method; }

}  // namespace

Result<void> SecurityAdmin::CreateAcls(const v1::CreateAclsRequest& request) const {
  RETURN_IF_ERROR(
      router_->Change<v1::CreateAclsResponse>(Security("CreateAcls"), request, timeout_));
  return {};
}

Result<std::vector<v1::Acl>> SecurityAdmin::ListAcls(const v1::AclFilter& filter) const {
  v1::ListAclsRequest request;
  *request.mutable_filter() = filter;
  request.mutable_page()->set_page_size(kRulesAPage);
  std::vector<v1::Acl> acls;
  do {
    ASSIGN_OR_RETURN(auto response, router_->Call<v1::ListAclsResponse>(Security("ListAcls"),
                                                                        request, timeout_, true));
    for (auto& acl : *response.mutable_acls()) acls.push_back(std::move(acl));
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  return acls;
}

Result<v1::DeleteAclsResponse> SecurityAdmin::DeleteAcls(
    const v1::DeleteAclsRequest& request) const {
  return router_->Change<v1::DeleteAclsResponse>(Security("DeleteAcls"), request, timeout_);
}

Result<void> SecurityAdmin::UpsertUser(const v1::UpsertUserRequest& request) const {
  RETURN_IF_ERROR(
      router_->Change<v1::UpsertUserResponse>(Security("UpsertUser"), request, timeout_));
  return {};
}

Result<std::vector<v1::ListUsersResponse::User>> SecurityAdmin::ListUsers() const {
  v1::ListUsersRequest request;
  request.mutable_page()->set_page_size(kRulesAPage);
  std::vector<v1::ListUsersResponse::User> users;
  do {
    ASSIGN_OR_RETURN(auto response, router_->Call<v1::ListUsersResponse>(Security("ListUsers"),
                                                                         request, timeout_, true));
    for (auto& user : *response.mutable_users()) users.push_back(std::move(user));
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  return users;
}

Result<void> SecurityAdmin::DeleteUser(const v1::DeleteUserRequest& request) const {
  RETURN_IF_ERROR(
      router_->Change<v1::DeleteUserResponse>(Security("DeleteUser"), request, timeout_));
  return {};
}

Result<void> SecurityAdmin::AlterQuotas(const v1::AlterQuotasRequest& request) const {
  ASSIGN_OR_RETURN(const auto response, router_->Change<v1::AlterQuotasResponse>(
                                            Config("AlterQuotas"), request, timeout_));
  for (const auto& status : response.results()) {
    if (status.code() != 0) return ErrorOfStatus(status);
  }
  return {};
}

Result<std::vector<v1::Quota>> SecurityAdmin::DescribeQuotas(
    v1::DescribeQuotasRequest request) const {
  request.mutable_page()->set_page_size(kRulesAPage);
  request.mutable_page()->clear_page_token();
  std::vector<v1::Quota> quotas;
  do {
    ASSIGN_OR_RETURN(auto response, router_->Call<v1::DescribeQuotasResponse>(
                                        Config("DescribeQuotas"), request, timeout_, true));
    for (auto& quota : *response.mutable_quotas()) quotas.push_back(std::move(quota));
    request.mutable_page()->set_page_token(response.next_page_token());
  } while (!request.page().page_token().empty());
  return quotas;
}

}  // namespace gregor
