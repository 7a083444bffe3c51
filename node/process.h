#ifndef GREGOR_NODE_PROCESS_H_
#define GREGOR_NODE_PROCESS_H_

#include <cstdint>

namespace gregor {

// What a server does with its process. Thread: main, at start, unless said otherwise.

// Raises the soft limit of open files to the hard one; returns what it is then.
uint64_t RaiseOpenFileLimit();

// The soft limit of open files. Thread: any.
uint64_t OpenFileLimit();

// Bytes of memory that the process has now; 0: not known. Thread: any.
uint64_t ResidentBytes();

// Blocks SIGTERM, SIGINT and (unless it is ignored, as nohup does) SIGHUP in this thread and all
// that it starts, so that WaitForStopSignal() gets them; ignores SIGPIPE.
void BlockStopSignals();
// Whether one of them has come. Thread: any with these signals blocked.
bool IsStopSignalPending();
// Returns the number of the signal that came.
int WaitForStopSignal();
// The process gets a stop signal. Thread: any.
void RequestStop();

}  // namespace gregor

#endif  // GREGOR_NODE_PROCESS_H_
