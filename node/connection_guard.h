#ifndef GREGOR_NODE_CONNECTION_GUARD_H_
#define GREGOR_NODE_CONNECTION_GUARD_H_

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "base/event_loop.h"
#include "base/metrics.h"

namespace gregor {

// Cuts connections that send without end and are never answered. HTTP/2 bounds what data a client
// may send before the server allows more, but not a block of headers: one that goes on in
// CONTINUATION frames is kept in memory by gRPC until it ends (CVE-2024-27919 is the same in
// another server). While such a block is open nothing else may be sent on its connection, so the
// server has nothing to answer; a connection that is served is answered all the time, if only by
// windows that open.
// Also cuts connections where few open files are left, as the log needs some, too, and who connects
// next shall be heard. Those go that have sent least.
// Thread: the loop's.
class ConnectionGuard {
 public:
  struct Options {
    uint16_t port = 0;  // of this process's listener
    uint64_t unanswered_bytes_max = 16u << 20;
    // Looks at connections only where the process has grown by so much since it last did: that
    // costs a system call for each open file.
    uint64_t growth_bytes = 16u << 20;
    // More files than this are not to be open in this process; 0: no bound.
    uint64_t files_max = 0;
  };
  // Of so many that may be open: an eighth stays free.
  static uint64_t FilesMaxOf(uint64_t limit) { return limit - limit / 8; }
  // ... half of which is for connections that come between two looks; those of the cluster's own
  // nodes may have a half of the rest, which clients have not.
  static uint64_t AcceptedFilesMaxOf(uint64_t limit) { return limit - limit / 16; }
  static uint64_t AcceptedFromNodesFilesMaxOf(uint64_t limit) { return limit - limit / 32; }

  explicit ConnectionGuard(Options options) : options_(options) {}

  // Returns how many connections were cut.
  int LookIfGrown();
  int Look();
  int CutExcess();

  // Calls LookIfGrown() and CutExcess() ten times a second until the result goes, which happens on
  // another thread. REQUIRES: `loop` and `metrics` outlive it.
  static std::shared_ptr<void> Start(EventLoop& loop, Options options, Metrics& metrics);

 private:
  struct Seen {
    uint64_t sent = 0;      // by this process
    uint64_t received = 0;  // when that last changed
    uint64_t look = 0;
    bool is_flood = false;
  };
  // Says so once of each.
  bool IsFlood(int socket);

  const Options options_;
  uint64_t grown_to_ = 0;
  uint64_t look_ = 0;
  std::unordered_map<uint64_t, Seen> seen_;  // by the socket's cookie
};

}  // namespace gregor

#endif  // GREGOR_NODE_CONNECTION_GUARD_H_
