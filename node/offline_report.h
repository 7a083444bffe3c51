#ifndef GREGOR_NODE_OFFLINE_REPORT_H_
#define GREGOR_NODE_OFFLINE_REPORT_H_

#include <string>

#include "base/result.h"

namespace gregor {

// What commands that look at a stopped node's files say on stderr. Thread: main.

// The error, if it is one, and the exit code: 0 fine, 1 it failed, 2 it was asked for wrongly.
int ReportOffline(const Result<void>& result);
// That a process uses the directory.
void WarnWhereInUse(const std::string& directory);

}  // namespace gregor

#endif  // GREGOR_NODE_OFFLINE_REPORT_H_
