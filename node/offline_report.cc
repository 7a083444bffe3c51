#include "node/offline_report.h"

#include <iostream>

#include "node/directories.h"

namespace gregor {

int ReportOffline(const Result<void>& result) {
  if (result.ok()) return 0;
  std::cerr << "gregor: " << result.error().message << std::endl;
  const Reason reason = result.error().reason;
  return reason == Reason::kInvalidArgument || reason == Reason::kInvalidConfig ? 2 : 1;
}

void WarnWhereInUse(const std::string& directory) {
  const auto process = ProcessUsing(directory);
  if (!process.has_value()) return;
  std::cerr << "gregor: " << directory << " is in use by " << *process
            << ": what a running node is just writing may look damaged" << std::endl;
}

}  // namespace gregor
