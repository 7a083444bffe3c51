#include "tests/client/slow_link.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>
#include <vector>

#include "base/check.h"

namespace gregor {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

}  // namespace

struct SlowLink::State {
  int listener = -1;
  int stop = -1;  // readable once everything ends
  uint16_t server_port = 0;
  std::optional<Duration> delay;
  std::vector<std::thread> connections;  // of the acceptor
  std::thread acceptor;

  // Whether `fd` (-1: none) is readable before it all ends. Waits for at most `milliseconds`
  // (-1: any time).
  bool Await(int fd, int milliseconds = -1) const {
    std::array<pollfd, 2> polled{{{stop, POLLIN, 0}, {fd, POLLIN, 0}}};
    CHECK_GE(poll(polled.data(), polled.size(), milliseconds), 0);
    return polled[0].revents == 0;
  }

  static bool Pass(int from, int to) {
    std::array<char, 16384> bytes;
    const ssize_t got = recv(from, bytes.data(), bytes.size(), 0);
    for (ssize_t done = 0; done < got;) {
      const ssize_t sent =
          send(to, bytes.data() + done, static_cast<size_t>(got - done), MSG_NOSIGNAL);
      if (sent < 0) return false;
      done += sent;
    }
    return got > 0;
  }

  void Serve(int client) const {
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = Loopback(server_port);
    if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
        Await(-1, delay.has_value() ? static_cast<int>(*delay / std::chrono::milliseconds(1)) : -1))
      PassBothWays(client, server);
    close(server);
    close(client);
  }

  void PassBothWays(int client, int server) const {
    std::array<pollfd, 3> polled{{{stop, POLLIN, 0}, {client, POLLIN, 0}, {server, POLLIN, 0}}};
    while (poll(polled.data(), polled.size(), -1) > 0 && polled[0].revents == 0) {
      if (polled[1].revents != 0 && !Pass(client, server)) return;
      if (polled[2].revents != 0 && !Pass(server, client)) return;
    }
  }

  void Accept() {
    while (Await(listener)) {
      const int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      connections.emplace_back([this, client] { Serve(client); });
    }
    for (std::thread& connection : connections) connection.join();
  }
};

SlowLink::SlowLink(const std::string& server, std::optional<Duration> delay)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.server_port = static_cast<uint16_t>(std::stoi(server.substr(server.rfind(':') + 1)));
  state.delay = delay;
  state.stop = eventfd(0, EFD_CLOEXEC);
  state.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  CHECK_EQ(bind(state.listener, reinterpret_cast<const sockaddr*>(&address), size), 0);
  CHECK_EQ(listen(state.listener, 16), 0);
  CHECK_EQ(getsockname(state.listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  state.acceptor = std::thread([&state] { state.Accept(); });
}

SlowLink::~SlowLink() {
  CHECK_EQ(eventfd_write(state_->stop, 1), 0);
  state_->acceptor.join();
  close(state_->listener);
  close(state_->stop);
}

}  // namespace gregor
