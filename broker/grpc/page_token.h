#ifndef GREGOR_BROKER_GRPC_PAGE_TOKEN_H_
#define GREGOR_BROKER_GRPC_PAGE_TOKEN_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gregor/v1/types.pb.h"

namespace gregor {

// The pages of a list: what to give, and the token from which a list goes on. A token names the key
// of the last entry given, so it outlives restarts and changes; it is bound to its call and filter,
// and signed with a key of the cluster: any broker takes it, and nobody else makes one. Thread: its
// owner's.
class Pages {
 public:
  struct Limits {
    int32_t size_default = 500;
    int32_t size_max = 5000;
  };

  // `filter`: the call's name, and everything in the request that must stay the same.
  Pages(const std::array<uint8_t, 16>& cluster_key, const std::vector<std::string_view>& filter);

  struct Page {
    size_t size = 0;
    std::string after;  // the key to go on after; empty: the first page
  };
  // Fails with kInvalidArgument (negative size, a token of another list or of nobody) and
  // kPageTokenExpired (of another version).
  Result<Page> Parse(const v1::PageRequest& request, Limits limits) const;
  // The token with which a list goes on after `last`, which is not empty.
  std::string TokenAfter(std::string_view last) const;

 private:
  uint64_t Sign(std::string_view text) const;

  const std::array<uint8_t, 16> key_;
  uint64_t filter_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_PAGE_TOKEN_H_
