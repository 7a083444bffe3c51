#include "broker/request_claims.h"

#include "base/check.h"
#include "broker/request_id.h"

namespace gregor {

Result<RequestClaims::Claim> RequestClaims::Take(ProducerId id, Sequence content) {
  const MutexLock lock(mutex_);
  const auto [at, is_new] = taken_.try_emplace(id.value, Taken{content, 0});
  if (!is_new && at->second.content != content) return RequestIdReused();
  ++at->second.calls;
  return Claim(this, id);
}

void RequestClaims::Release(ProducerId id) {
  const MutexLock lock(mutex_);
  const auto at = taken_.find(id.value);
  CHECK(at != taken_.end());
  if (--at->second.calls == 0) taken_.erase(at);
}

}  // namespace gregor
