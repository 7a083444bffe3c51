#ifndef GREGOR_BROKER_LOG_DIRS_H_
#define GREGOR_BROKER_LOG_DIRS_H_

#include <atomic>
#include <set>
#include <string>
#include <vector>

#include "broker/api.h"
#include "broker/offline_replicas.h"
#include "broker/refused_logs.h"
#include "storage/log_directory.h"

namespace gregor {

// The log directories of a node, those included that could not be opened: what lies in them is
// offline (A15). Thread: any, unless said otherwise.
class LogDirs {
 public:
  // One of the settings that could not be opened.
  struct Failed {
    std::string path;
    DirectoryId id;  // zero: not known
    Error error;
  };

  // REQUIRES: `open` outlive it.
  LogDirs(NodeId node, std::vector<LogDirectory*> open, std::vector<Failed> failed);

  const std::vector<LogDirectory*>& open() const { return open_; }
  // Finds the directories that partitions of `image` lie in and that are not open, and reports
  // them. Thread: one, before Describe() is called.
  void FindMissing(const MetadataImage& image);
  bool AllWork() const;
  // Those of the node, at this moment.
  OfflineReplicas Offline(const RefusedLogs& refused) const;
  int64_t CountOffline(const MetadataImage& image, const RefusedLogs& refused) const;
  // Folders of no topic.
  int64_t stray_folders() const;
  // All directories; with replicas only where they are not open. Empty `topics`: all.
  std::vector<LogDirUsage> Describe(const MetadataImage& image,
                                    const std::set<std::string>& topics) const;

 private:
  const NodeId node_;
  const std::vector<LogDirectory*> open_;
  // Those of the settings, then those that only the metadata know (without a path).
  std::vector<Failed> failed_;
  std::atomic<bool> has_missing_{false};
};

}  // namespace gregor

#endif  // GREGOR_BROKER_LOG_DIRS_H_
