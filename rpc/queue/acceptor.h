#ifndef GREGOR_RPC_QUEUE_ACCEPTOR_H_
#define GREGOR_RPC_QUEUE_ACCEPTOR_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/listening.h"
#include "base/result.h"
#include "base/time.h"

struct addrinfo;  // of <netdb.h>

namespace gregor {

// Listens on an address and hands what connects there to a gRPC server. gRPC's own listener never
// accepts again after it once could not for want of open files (1.51); this one waits until there
// are some, and leaves some for others. Thread: main; accepting has a thread of its own.
class Acceptor {
 public:
  struct Options {
    ListenAddress address;
    // A connection that would be the file of this number, or a higher one, is closed at once. Where
    // few are open numbers are low: each gets the lowest that is free. 0: no bound.
    uint64_t files_max = 0;
    // A peer that has not confirmed what was sent to it for so long is given up (TCP_USER_TIMEOUT).
    Duration unconfirmed_max = std::chrono::seconds(20);
  };
  // Every address of the host that this machine has is listened on; connections wait until Serve().
  // Fails with kInvalidConfig where it has none, or one of them cannot be.
  static Result<std::unique_ptr<Acceptor>> Listen(Options options);
  // Stops as Stop() does.
  ~Acceptor();

  // The port that was really bound; the same for all addresses.
  uint16_t port() const { return port_; }
  // Of the server that is being built; Serve() hands over to it.
  void AddTo(grpc::ServerBuilder& builder, std::shared_ptr<grpc::ServerCredentials> credentials);
  // Accepts from now on. Once. REQUIRES: AddTo() was called, and the server has started.
  void Serve();
  // Listens no more; what was accepted stays. REQUIRES: the server has not been shut down yet.
  void Stop();

 private:
  // A file descriptor that closes itself.
  class File {
   public:
    explicit File(int number) : number_(number) {}
    File(File&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    File& operator=(File&&) = delete;
    ~File();
    int number() const { return number_; }

   private:
    int number_;
  };

  explicit Acceptor(Options options) : options_(std::move(options)) {}
  Result<void> Open();
  void Run();
  int Bind(const addrinfo& addresses);
  bool AcceptSome(int listener);
  void HandOver(int connection);

  const Options options_;
  uint16_t port_ = 0;
  std::vector<File> listeners_;
  std::vector<File> stop_;  // one, an eventfd, while it listens
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server_;
  std::thread thread_;
};

}  // namespace gregor

#endif  // GREGOR_RPC_QUEUE_ACCEPTOR_H_
