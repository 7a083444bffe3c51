#ifndef GREGOR_CONTROLLER_SECURITY_CODEC_H_
#define GREGOR_CONTROLLER_SECURITY_CODEC_H_

#include <optional>
#include <vector>

#include "base/result.h"
#include "controller/image/security_operations.h"
#include "gregor/internal/v1/controller.pb.h"

namespace gregor {

namespace pb = internal::v1;

// Operations on rules, users and quotas as messages: the part of controller/operation_codec.h that
// is about them. Thread: any.

void EncodeSecurityOperation(const CreateAcls& operation, pb::OperationRequest& request);
void EncodeSecurityOperation(const DeleteAcls& operation, pb::OperationRequest& request);
void EncodeSecurityOperation(const UpsertUser& operation, pb::OperationRequest& request);
void EncodeSecurityOperation(const DeleteUser& operation, pb::OperationRequest& request);
void EncodeSecurityOperation(const AlterQuotas& operation, pb::OperationRequest& request);

// Fails with kInvalidArgument where the operation has more items than there may be.
Result<void> CheckSecurityCounts(const pb::OperationRequest& request);

// Fail with kInvalidArgument where the message is none that is made above.
Result<CreateAcls> ReadOperation(const pb::CreateAclsOperation& message);
Result<DeleteAcls> ReadOperation(const pb::DeleteAclsOperation& message);
Result<UpsertUser> ReadOperation(const pb::UpsertUserOperation& message);
Result<DeleteUser> ReadOperation(const pb::DeleteUserOperation& message);
Result<AlterQuotas> ReadOperation(const pb::AlterQuotasOperation& message);

void EncodeSecurityAnswer(const std::vector<Acl>& answer, pb::AclsAnswer& message);
// nullopt where a rule is none that this version knows.
std::optional<std::vector<Acl>> ReadAnswer(const pb::AclsAnswer& message);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_SECURITY_CODEC_H_
