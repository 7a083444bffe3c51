#include "node/connection_guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "node/process.h"

namespace gregor {
namespace {

constexpr Duration kInterval = std::chrono::milliseconds(100);
constexpr uint64_t kKeptShare = 4;  // of the files that may be open

std::vector<int> OpenFiles() {
  std::vector<int> files;
  DIR* const folder = opendir("/proc/self/fd");
  if (folder == nullptr) return files;
  while (const dirent* const entry = readdir(folder)) {
    int file = -1;
    const char* const end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, end, file).ptr == end) files.push_back(file);
  }
  closedir(folder);
  return files;
}

uint16_t LocalPort(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET)
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return 0;
}

// How many files are open, or a number that is lower.
uint64_t OpenFileFloor() {
  struct stat status;
  // Since Linux 6.2.
  if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
    return static_cast<uint64_t>(status.st_size);
  // A new file gets the lowest number that is free.
  const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (file < 0) return UINT64_MAX;
  close(file);
  return static_cast<uint64_t>(file);
}

template <typename T>
std::optional<T> Option(int socket, int level, int name) {
  T value{};
  socklen_t size = sizeof value;
  if (getsockopt(socket, level, name, &value, &size) != 0) return std::nullopt;
  return value;
}

}  // namespace

int ConnectionGuard::LookIfGrown() {
  const uint64_t now = ResidentBytes();
  if (now < grown_to_ + options_.growth_bytes) {
    grown_to_ = std::min(grown_to_, now);
    return 0;
  }
  grown_to_ = now;
  return Look();
}

int ConnectionGuard::Look() {
  ++look_;
  int cut = 0;
  for (const int file : OpenFiles()) {
    if (LocalPort(file) != options_.port) continue;
    // gRPC may close it meanwhile, and its number become another's: this one stays what it is.
    const int own = dup(file);
    if (own < 0) continue;
    if (LocalPort(own) == options_.port && IsFlood(own)) {
      LOG(WARNING) << "A client sent more than " << options_.unanswered_bytes_max
                   << " bytes of headers without an end: its connection is cut off";
      shutdown(own, SHUT_RDWR);
      ++cut;
    }
    close(own);
  }
  std::erase_if(seen_, [&](const auto& each) { return each.second.look != look_; });
  return cut;
}

int ConnectionGuard::CutExcess() {
  // Listing them takes time where there are many.
  if (options_.files_max == 0 || OpenFileFloor() <= options_.files_max) return 0;
  const std::vector<int> files = OpenFiles();
  if (files.size() <= options_.files_max) return 0;
  std::vector<std::pair<uint64_t, int>> connections;  // what each has sent; the newest first
  for (const int file : files) {
    const bool listens = Option<int>(file, SOL_SOCKET, SO_ACCEPTCONN).value_or(1) != 0;
    if (listens || LocalPort(file) != options_.port) continue;
    if (const auto info = Option<tcp_info>(file, IPPROTO_TCP, TCP_INFO); info.has_value())
      connections.emplace_back(info->tcpi_bytes_received, -file);
  }
  std::sort(connections.begin(), connections.end());
  // Those that are served go on where it is others that have so many files.
  const size_t kept = std::min<size_t>(connections.size(), options_.files_max / kKeptShare);
  connections.resize(std::min(connections.size() - kept, files.size() - options_.files_max));
  if (connections.empty()) return 0;
  int cut = 0;
  for (const auto& [received, file] : connections) {
    const int own = dup(-file);  // as above
    if (own < 0) continue;
    if (LocalPort(own) == options_.port && shutdown(own, SHUT_RDWR) == 0) ++cut;
    close(own);
  }
  LOG_EVERY_T(WARNING, 1) << "Few open files are left, and " << connections.size()
                          << " connections that have sent least are cut off: raise the limit "
                             "(ulimit -n, LimitNOFILE of systemd)";
  return cut;
}

bool ConnectionGuard::IsFlood(int socket) {
  const auto cookie = Option<uint64_t>(socket, SOL_SOCKET, SO_COOKIE);
  const auto info = Option<tcp_info>(socket, IPPROTO_TCP, TCP_INFO);
  if (!cookie.has_value() || !info.has_value()) return false;
  const auto [entry, is_new] = seen_.try_emplace(*cookie);
  Seen& seen = entry->second;
  seen.look = look_;
  if (is_new || seen.sent != info->tcpi_bytes_sent) {
    seen.sent = info->tcpi_bytes_sent;
    seen.received = info->tcpi_bytes_received;
  }
  const bool is_flood = info->tcpi_bytes_received - seen.received > options_.unanswered_bytes_max;
  return is_flood && !std::exchange(seen.is_flood, true);
}

namespace {

struct Watching : std::enable_shared_from_this<Watching> {
  Watching(EventLoop& its_loop, ConnectionGuard::Options options, Metrics& metrics)
      : loop(its_loop),
        guard(options),
        cut(metrics.AddCounter("gregor_grpc_connections_cut_total",
                               "Connections that were cut off: they sent headers without an end, "
                               "or few open files were left.")) {}
  void Next() {
    loop.After(kInterval, "connection_guard.look", [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self == nullptr) return;
      self->cut.Add(static_cast<uint64_t>(self->guard.CutExcess() + self->guard.LookIfGrown()));
      self->Next();
    });
  }

  EventLoop& loop;
  ConnectionGuard guard;
  Counter& cut;
};

}  // namespace

std::shared_ptr<void> ConnectionGuard::Start(EventLoop& loop, Options options, Metrics& metrics) {
  auto watching = std::make_shared<Watching>(loop, options, metrics);
  watching->Next();
  return watching;
}

}  // namespace gregor
