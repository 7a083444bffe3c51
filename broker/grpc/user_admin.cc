#include "broker/grpc/user_admin.h"

#include <string>
#include <utility>

#include "base/scram.h"
#include "broker/grpc/convert.h"
#include "broker/grpc/page_token.h"
#include "controller/image/security_records.h"

namespace gregor {
namespace {

Error Unacceptable(const std::string& what) { return Error(Reason::kUnacceptableCredential, what); }

Error UnknownMechanism(int number) {
  return Error(Reason::kInvalidArgument,
               "the mechanism " + std::to_string(number) + " is not known");
}

ScramHash HashOf(ScramMechanism mechanism) {
  return mechanism == ScramMechanism::kSha256 ? ScramHash::kSha256 : ScramHash::kSha512;
}

Result<void> CheckPassword(const v1::UpsertUserRequest& request, int32_t iterations,
                           bool is_local) {
  if (!is_local) {
    return Unacceptable(
        "a password in the clear is not taken over a connection that others can listen to: send "
        "keys or salted_password instead, as `gregor user set` does, or call from the broker's "
        "own machine");
  }
  // What it costs is bounded.
  if (iterations < kScramIterationsMin || iterations > kScramIterationsMax) {
    return Unacceptable("a credential has " + std::to_string(kScramIterationsMin) + " to " +
                        std::to_string(kScramIterationsMax) + " iterations, not " +
                        std::to_string(iterations));
  }
  return CheckScramPassword(request.password());
}

void SetKeys(const std::string& salted_password, gregor::UpsertUser& operation) {
  auto keys = KeysOfSaltedPassword(HashOf(operation.key.mechanism), salted_password);
  operation.credential.stored_key = std::move(keys.stored_key);
  operation.credential.server_key = std::move(keys.server_key);
}

void Run(BrokerApi& broker, gregor::UpsertUser operation, Reply<v1::UpsertUserResponse> reply) {
  const OperationContext context = reply.operation_context();
  auto done = [reply = std::move(reply)](Result<void> result) mutable {
    if (!result.ok()) return reply(std::move(result).error());
    reply(v1::UpsertUserResponse());
  };
  broker.controller().Run(std::move(operation), std::move(done), context);
}

void PutPassword(Door& door, const v1::UpsertUserRequest& request, gregor::UpsertUser operation,
                 Reply<v1::UpsertUserResponse> reply) {
  auto checked = CheckPassword(request, operation.credential.iterations, reply.is_local());
  if (!checked.ok()) return reply(std::move(checked).error());
  door.Decode([&broker = door.broker, password = request.password(),
               operation = std::move(operation), reply = std::move(reply)]() mutable {
    auto& credential = operation.credential;
    credential.salt = NewScramSalt();
    SetKeys(SaltPassword(HashOf(operation.key.mechanism), password, credential.salt,
                         credential.iterations),
            operation);
    Run(broker, std::move(operation), std::move(reply));
  });
}

}  // namespace

void PutUser(Door& door, const v1::UpsertUserRequest& request,
             Reply<v1::UpsertUserResponse> reply) {
  gregor::UpsertUser operation;
  operation.key.user = request.user();
  operation.credential.iterations =
      request.iterations() == 0 ? kScramIterationsDefault : request.iterations();
  if (request.mechanism() != v1::SCRAM_MECHANISM_UNSPECIFIED) {
    const auto mechanism = KnownMechanism(request.mechanism());
    if (!mechanism.has_value()) return reply(UnknownMechanism(request.mechanism()));
    operation.key.mechanism = *mechanism;
  }
  auto& credential = operation.credential;
  switch (request.secret_case()) {
    case v1::UpsertUserRequest::kPassword:
      return PutPassword(door, request, std::move(operation), std::move(reply));
    case v1::UpsertUserRequest::kSaltedPassword:
      credential.salt = request.salted_password().salt();
      if (request.salted_password().value().size() !=
          ScramKeyBytes(HashOf(operation.key.mechanism)))
        return reply(Unacceptable("salted_password.value is not as long as the mechanism's hash"));
      SetKeys(request.salted_password().value(), operation);
      return Run(door.broker, std::move(operation), std::move(reply));
    case v1::UpsertUserRequest::kKeys:
      credential.salt = request.keys().salt();
      credential.stored_key = request.keys().stored_key();
      credential.server_key = request.keys().server_key();
      return Run(door.broker, std::move(operation), std::move(reply));
    case v1::UpsertUserRequest::SECRET_NOT_SET:
      break;
  }
  reply(Error(Reason::kInvalidArgument,
              "the request has no secret: set keys, salted_password or password"));
}

void RemoveUser(BrokerApi& broker, const v1::DeleteUserRequest& request,
                Reply<v1::DeleteUserResponse> reply) {
  gregor::DeleteUser operation{.user = request.user(),
                               .mechanism = KnownMechanism(request.mechanism())};
  if (!operation.mechanism.has_value() && request.mechanism() != v1::SCRAM_MECHANISM_UNSPECIFIED)
    return reply(UnknownMechanism(request.mechanism()));
  const OperationContext context = reply.operation_context();
  auto done = [reply = std::move(reply)](Result<void> result) mutable {
    if (!result.ok()) return reply(std::move(result).error());
    reply(v1::DeleteUserResponse());
  };
  broker.controller().Run(std::move(operation), std::move(done), context);
}

Result<v1::ListUsersResponse> ListedUsers(const BrokerApi& broker,
                                          const v1::ListUsersRequest& request) {
  ASSIGN_OR_RETURN(const ImagePtr image, ImageOf(broker));
  const Pages pages(image->request_id_key, {"ListUsers"});
  ASSIGN_OR_RETURN(const Pages::Page page, pages.Parse(request.page(), {}));
  v1::ListUsersResponse response;
  v1::ListUsersResponse::User* user = nullptr;
  // Behind everything that the last user of the page before has.
  const UserKey place{page.after, page.after.empty() ? ScramMechanism{0} : ScramMechanism{255}};
  image->users.VisitFrom(place, [&](const UserKey& key, const auto& credential) {
    if (user == nullptr || user->user() != key.user) {
      if (static_cast<size_t>(response.users_size()) == page.size) {
        response.set_next_page_token(pages.TokenAfter(user->user()));
        return false;
      }
      user = response.add_users();
      user->set_user(key.user);
    }
    auto& out = *user->add_credentials();
    out.set_mechanism(static_cast<v1::ScramMechanism>(key.mechanism));
    out.set_iterations(credential->iterations);
    return true;
  });
  return response;
}

}  // namespace gregor
