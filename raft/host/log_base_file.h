#ifndef GREGOR_RAFT_HOST_LOG_BASE_FILE_H_
#define GREGOR_RAFT_HOST_LOG_BASE_FILE_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "raft/core/log_view.h"
#include "storage/file_system.h"

namespace gregor {

// What a log that was trimmed says no more of itself: the term of its last record before `start`,
// and who voted there. Saved before the log is cut to begin at `start`. Format: docs/formats.md
// "Log base file".
struct LogBase {
  struct Place {
    Offset start{0};
    Term term{0};
    friend bool operator==(const Place&, const Place&) = default;
  };
  Place place;
  // Where the log began until then, in case that the cut does not happen any more.
  std::optional<Place> before;
  // The latest set that was written before `before`, where the log is to be exchanged for a
  // snapshot, and does not say it.
  std::optional<raft::VotersAt> former_voters;
  std::optional<raft::VotersAt> voters;

  // The term of the record before `start`, if the file says so.
  std::optional<Term> TermBefore(Offset start) const {
    if (start == place.start) return place.term;
    if (before.has_value() && start == before->start) return before->term;
    return std::nullopt;
  }
  // The latest voter set of a log that begins at `log_start`, beside those that are in it, as far
  // as the file says so.
  const std::optional<raft::VotersAt>& VotersOf(Offset log_start) const;
};

std::string EncodeLogBase(const LogBase& base);
// Fails with kStorageError where a byte is not as written, or the format is a newer one.
Result<LogBase> DecodeLogBase(std::string_view text);

// nullopt where the file is missing. Fails with kStorageError. Thread: disk.
Result<std::optional<LogBase>> ReadLogBase(FileSystem& files, const std::string& path);
// Durable when it returns. Thread: disk.
Result<void> SaveLogBase(FileSystem& files, const std::string& path, const LogBase& base);

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_LOG_BASE_FILE_H_
