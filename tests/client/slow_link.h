#ifndef GREGOR_TESTS_CLIENT_SLOW_LINK_H_
#define GREGOR_TESTS_CLIENT_SLOW_LINK_H_

#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"

namespace gregor {

// A way to a server that is long: an address that passes on what comes, but the first bytes of the
// server, of each connection, only after a delay. Without delay: nothing ever comes back. Thread:
// any; it has one of its own for the connections, and one for each.
class SlowLink {
 public:
  SlowLink(const std::string& server, std::optional<Duration> delay);
  ~SlowLink();
  const std::string& address() const { return address_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string address_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_CLIENT_SLOW_LINK_H_
