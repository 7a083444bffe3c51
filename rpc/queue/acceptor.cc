#include "rpc/queue/acceptor.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <string>

#include "base/check.h"
#include "base/host_port.h"

namespace gregor {
namespace {

constexpr int kBacklog = 4096;  // the system's net.core.somaxconn bounds it
constexpr int kRetryMs = 100;
constexpr int kPortsTried = 10;
constexpr int kAcceptedMax = 64;  // of one address, before the others have their turn

void SetOption(int socket, int level, int name, int value) {
  // Each is of use, and none is needed.
  if (setsockopt(socket, level, name, &value, sizeof value) != 0) {
    LOG_EVERY_T(WARNING, 10) << "A connection's option " << level << "/" << name
                             << " cannot be set: " << std::strerror(errno);
  }
}

uint16_t PortOf(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  CHECK_EQ(getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Result<Addresses> AddressesOf(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0)
    return CannotListen(address, error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error));
  return Addresses(found, &freeaddrinfo);
}

}  // namespace

Acceptor::File::~File() {
  if (number_ >= 0) close(number_);
}

Result<std::unique_ptr<Acceptor>> Acceptor::Listen(Options options) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor(std::move(options)));
  RETURN_IF_ERROR(acceptor->Open());
  return acceptor;
}

Result<void> Acceptor::Open() {
  ASSIGN_OR_RETURN(const Addresses found, AddressesOf(options_.address));
  int error = Bind(*found);
  // The port that one address was given may be somebody's at another one.
  for (int i = 0; i < kPortsTried && error == EADDRINUSE && options_.address.port == 0; ++i)
    error = Bind(*found);
  if (error != 0) return CannotListen(options_.address, std::strerror(error));
  stop_.emplace_back(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (stop_.front().number() < 0) return CannotListen(options_.address, std::strerror(errno));
  return {};
}

// Listens on all of `addresses` that this machine has, or on none: 0, or the error's number. Half
// of a name would be somebody else's.
int Acceptor::Bind(const addrinfo& addresses) {
  std::set<std::string> seen;
  int unknown = EADDRNOTAVAIL;
  port_ = options_.address.port;
  for (const addrinfo* each = &addresses; each != nullptr; each = each->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, each->ai_addr, each->ai_addrlen);
    const bool is_ipv6 = each->ai_family == AF_INET6;
    // All of them get the port that the first one got.
    (is_ipv6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
             : reinterpret_cast<sockaddr_in&>(address).sin_port) = htons(port_);
    // A name may have an address twice.
    if (!seen.emplace(reinterpret_cast<const char*>(each->ai_addr), each->ai_addrlen).second)
      continue;
    File listener(socket(each->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int number = listener.number();
    if (number >= 0) {
      SetOption(number, SOL_SOCKET, SO_REUSEADDR, 1);
      // [::] is for both.
      if (is_ipv6) SetOption(number, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    }
    if (number < 0 ||
        bind(number, reinterpret_cast<const sockaddr*>(&address), each->ai_addrlen) != 0 ||
        listen(number, kBacklog) != 0) {
      const int error = errno;
      unknown = error;
      if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT) continue;
      listeners_.clear();
      return error;
    }
    port_ = PortOf(number);
    listeners_.push_back(std::move(listener));
  }
  return listeners_.empty() ? unknown : 0;
}

Acceptor::~Acceptor() { Stop(); }

void Acceptor::AddTo(grpc::ServerBuilder& builder,
                     std::shared_ptr<grpc::ServerCredentials> credentials) {
  using Type = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  server_ =
      builder.experimental().AddExternalConnectionAcceptor(Type::FROM_FD, std::move(credentials));
}

void Acceptor::Serve() {
  CHECK(server_ != nullptr && !thread_.joinable());
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "grpc-accept");
    Run();
  });
}

void Acceptor::Stop() {
  if (thread_.joinable()) {
    CHECK_EQ(eventfd_write(stop_.front().number(), 1), 0);
    thread_.join();
  }
  listeners_.clear();
  stop_.clear();
}

void Acceptor::Run() {
  std::vector<pollfd> files{{stop_.front().number(), POLLIN, 0}};
  for (const File& listener : listeners_) files.push_back({listener.number(), POLLIN, 0});
  bool waits = false;
  while (true) {
    // While there are no files, those who connect wait in the system's queue.
    const int ready =
        waits ? poll(files.data(), 1, kRetryMs) : poll(files.data(), files.size(), -1);
    if (ready < 0) PCHECK(errno == EINTR) << "poll";
    if (ready > 0 && files.front().revents != 0) return;
    if (ready < 0) continue;
    const bool retry = std::exchange(waits, false);
    for (size_t i = 1; i < files.size(); ++i) {
      if ((retry || files[i].revents != 0) && !AcceptSome(files[i].fd)) waits = true;
    }
  }
}

// False where none can be accepted now.
bool Acceptor::AcceptSome(int listener) {
  for (int i = 0; i < kAcceptedMax; ++i) {
    const int connection = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (connection >= 0) {
      HandOver(connection);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return true;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      // Without files or memory, above all.
      LOG_EVERY_T(WARNING, 1) << "Connections to " << JoinHostPort(options_.address.host, port_)
                              << " wait, as none can be accepted: " << std::strerror(errno);
      return false;
    }
  }
  return true;  // poll() says of the rest
}

void Acceptor::HandOver(int connection) {
  if (options_.files_max > 0 && static_cast<uint64_t>(connection) >= options_.files_max) {
    close(connection);
    LOG_EVERY_T(WARNING, 1) << "Few open files are left: a connection to "
                            << JoinHostPort(options_.address.host, port_)
                            << " was closed as it came. Raise the limit (ulimit -n, LimitNOFILE of "
                               "systemd)";
    return;
  }
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  // It was reset already: of that gRPC would log a line each.
  if (getpeername(connection, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
    close(connection);
    return;
  }
  using std::chrono::milliseconds;
  SetOption(connection, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(
      connection, IPPROTO_TCP, TCP_USER_TIMEOUT,
      static_cast<int>(std::chrono::duration_cast<milliseconds>(options_.unconfirmed_max).count()));
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.fd = connection;
  server_->HandleNewConnection(&parameters);
}

}  // namespace gregor
