#include "base/listening.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "base/host_port.h"

namespace gregor {
namespace {

constexpr size_t kCauseBytesMax = 300;

// What libraries say of a name that has no address, or that nobody could be asked for.
bool IsAboutName(const std::string& cause) {
  constexpr const char* kWords[] = {"Name or service not known",
                                    "No address associated with hostname",
                                    "Temporary failure in name resolution", "Host not found"};
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](const char* words) { return cause.find(words) != std::string::npos; });
}

}  // namespace

std::string ListenAddress::ToString() const { return JoinHostPort(host, port); }

Error CannotListen(const ListenAddress& address, const std::string& cause) {
  const auto is = [&](int number) {
    return cause.find(strerrordesc_np(number)) != std::string::npos;
  };
  const std::string choose = " with " + address.flag + " HOST:PORT";
  std::string what;
  if (is(EADDRINUSE)) {
    what = "another process listens there. Stop it, or choose another port" + choose + " (" +
           address.remark + ")";
  } else if (is(EACCES)) {
    what = "ports below 1024 need privileges. Choose another one" + choose;
  } else if (is(EADDRNOTAVAIL)) {
    what = "it is not an address of this machine. Choose another one" + choose;
  } else if (IsAboutName(cause)) {
    what = address.host + " is not known: no address was found for that name. Choose another one" +
           choose;
  } else {
    what = (cause.empty() ? "for a reason that is not known" : cause.substr(0, kCauseBytesMax)) +
           " (choose another address" + choose + ")";
    std::replace(what.begin(), what.end(), '\n', ' ');
  }
  return Error(Reason::kInvalidConfig,
               "cannot listen on " + address.ToString() + " for " + address.api + ": " + what)
      .With("address", address.ToString());
}

}  // namespace gregor
