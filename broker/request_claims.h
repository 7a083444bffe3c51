#ifndef GREGOR_BROKER_REQUEST_CLAIMS_H_
#define GREGOR_BROKER_REQUEST_CLAIMS_H_

#include <cstdint>
#include <unordered_map>
#include <utility>

#include "base/result.h"
#include "base/thread_annotations.h"
#include "base/types.h"

namespace gregor {

// The request ids whose calls are on their way: from before the partitions are asked whether they
// know the id until the call is answered, so that two calls with one id and different content can
// not both find it unknown. Thread: any.
class RequestClaims {
 public:
  // One call's claim; ends when it goes. REQUIRES: the claims outlive it.
  class Claim {
   public:
    Claim() = default;
    Claim(Claim&& other) noexcept
        : claims_(std::exchange(other.claims_, nullptr)), id_(other.id_) {}
    Claim& operator=(Claim&& other) noexcept {
      if (this != &other) {
        Release();
        claims_ = std::exchange(other.claims_, nullptr);
        id_ = other.id_;
      }
      return *this;
    }
    ~Claim() { Release(); }
    void Release() {
      if (claims_ != nullptr) std::exchange(claims_, nullptr)->Release(id_);
    }

   private:
    friend class RequestClaims;
    Claim(RequestClaims* claims, ProducerId id) : claims_(claims), id_(id) {}
    RequestClaims* claims_ = nullptr;
    ProducerId id_{-1};
  };

  // Calls with the same content may be on their way together: each partition tells the first.
  // Fails with kInvalidArgument while one with other content is.
  Result<Claim> Take(ProducerId id, Sequence content);

 private:
  struct Taken {
    Sequence content;
    int calls = 0;
  };
  void Release(ProducerId id);

  Mutex mutex_;
  std::unordered_map<int64_t, Taken> taken_ TS_GUARDED_BY(mutex_);
};

}  // namespace gregor

#endif  // GREGOR_BROKER_REQUEST_CLAIMS_H_
