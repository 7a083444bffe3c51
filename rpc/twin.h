#ifndef GREGOR_RPC_TWIN_H_
#define GREGOR_RPC_TWIN_H_

#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "rpc/node_credentials.h"
#include "rpc/raft_stream.h"

namespace gregor {

// Asks who answers at `address`, where other nodes look for this one. Returns the error
// (kDuplicateVoter) with which this process must not start: another one runs there under the same
// node id. nullopt where nobody has said so within `at_most`: it is this process, or nobody.
// Thread: main; blocks.
std::optional<Error> FindTwin(const std::string& address, NodeCredentials& credentials,
                              const RaftSelf& self, Duration at_most);

}  // namespace gregor

#endif  // GREGOR_RPC_TWIN_H_
