#include "tests/sim/security_client.h"

#include <string>
#include <utility>
#include <vector>

namespace gregor {
namespace {

std::string Name(Random& random, const char* kind) {
  return kind + std::to_string(random.Below(6));
}

Acl NewAcl(Random& random) {
  return {.pattern = random.Chance(0.3) ? AclPattern::kPrefixed : AclPattern::kLiteral,
          .name = Name(random, "topic"),
          .principal = "User:" + Name(random, "user"),
          .host = random.Chance(0.5) ? "*" : "::1",
          .operation = random.Chance(0.5) ? AclOperation::kRead : AclOperation::kWrite,
          .permission = random.Chance(0.2) ? AclPermission::kDeny : AclPermission::kAllow};
}

UpsertUser NewUser(Random& random) {
  const auto bytes = random.NewUuid<DirectoryId>().bytes;
  const std::string key(bytes.begin(), bytes.end());
  return {.key = {Name(random, "user"), ScramMechanism::kSha256},
          .credential = {
              .salt = key, .stored_key = key + key, .server_key = key + key, .iterations = 4096}};
}

AlterQuotas NewQuotas(Random& random) {
  AlterQuotas operation;
  for (int64_t count = random.Between(1, 3); count > 0; --count) {
    AlterQuota& alteration = operation.alterations.emplace_back();
    alteration.entity.user = Name(random, "user");
    if (random.Chance(0.3)) alteration.entity.client_id = random.Chance(0.5) ? "" : "client";
    if (random.Chance(0.3)) {
      alteration.removed = {"request_percentage"};
    } else {
      alteration.set["request_percentage"] = static_cast<double>(random.Between(1, 1000)) / 8;
    }
    if (random.Chance(0.3))
      alteration.set["producer_byte_rate"] = static_cast<double>(random.Between(1, 1 << 30));
  }
  return operation;
}

}  // namespace

void ChangeSecurity(ControllerApi& api, Random& random, std::function<void()> done) {
  const auto told = [&] {
    return [done = std::move(done)](const auto& result) {
      if (result.ok()) done();
    };
  };
  switch (random.Below(6)) {
    case 0:
    case 1: {
      CreateAcls operation;
      for (int64_t count = random.Between(1, 4); count > 0; --count)
        operation.acls.push_back(NewAcl(random));
      return api.Run(std::move(operation), told());
    }
    case 2:
      return api.Run(DeleteAcls{.filters = {{.principal = "User:" + Name(random, "user")}}},
                     told());
    case 3:
      return api.Run(NewUser(random), told());
    case 4:
      return api.Run(DeleteUser{Name(random, "user"), std::nullopt}, told());
    default:
      return api.Run(NewQuotas(random), told());
  }
}

}  // namespace gregor
