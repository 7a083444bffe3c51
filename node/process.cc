#include "node/process.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "base/check.h"

namespace gregor {
namespace {

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  // Under nohup the node is to outlive its terminal.
  struct sigaction action {};
  PCHECK(sigaction(SIGHUP, nullptr, &action) == 0);
  if (action.sa_handler != SIG_IGN) sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

uint64_t RaiseOpenFileLimit() {
  rlimit limit{};
  PCHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return limit.rlim_cur;
}

uint64_t OpenFileLimit() {
  rlimit limit{};
  PCHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  return limit.rlim_cur;
}

uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void BlockStopSignals() {
  const sigset_t set = StopSignals();
  PCHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  signal(SIGPIPE, SIG_IGN);
}

bool IsStopSignalPending() {
  sigset_t pending;
  PCHECK(sigpending(&pending) == 0);
  const sigset_t set = StopSignals();
  for (const int signal_number : {SIGTERM, SIGINT, SIGHUP}) {
    if (sigismember(&pending, signal_number) == 1 && sigismember(&set, signal_number) == 1)
      return true;
  }
  return false;
}

// Of the process, not of the thread (as raise() would): main waits for it.
void RequestStop() { PCHECK(kill(getpid(), SIGTERM) == 0); }

int WaitForStopSignal() {
  const sigset_t set = StopSignals();
  int signal_number = 0;
  PCHECK(sigwait(&set, &signal_number) == 0);
  return signal_number;
}

}  // namespace gregor
