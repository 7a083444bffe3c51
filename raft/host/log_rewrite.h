#ifndef GREGOR_RAFT_HOST_LOG_REWRITE_H_
#define GREGOR_RAFT_HOST_LOG_REWRITE_H_

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "raft/host/log_inspection.h"
#include "storage/file_system.h"
#include "storage/log_directory.h"

namespace gregor {

// The files of a log that is put together again: out of what is sound in its own files, and of what
// other nodes have. Thread: disk.

// A part of the new log: batches of the old files, or bytes of another node's, which are checked
// already.
using LogPiece = std::variant<SoundRun, Bytes>;

struct LogRewrite {
  std::vector<LogPiece> pieces;  // one behind the other, without a gap
  // Of what the old files have, batches at or after it are left out.
  Offset own_until{INT64_MAX};
  // Where segments begin; besides, where one would become larger than `segment_bytes`.
  std::vector<Offset> bases;
  int64_t segment_bytes = INT64_MAX;
  Offset log_start{0};
  // What the result must agree with, byte by byte: a mark of what was synced.
  std::optional<SyncedMark> expected;
  size_t batch_bytes_max = 64u << 20;
};

// Writes the log to the folder `to`, whose former content goes; and returns its mark. Durable when
// it returns. Fails with kCorruptBatch where the pieces are no log, or not the one that was synced,
// and with kStorageError.
Result<SyncedMark> WriteLog(FileSystem& files, const std::string& from, const std::string& to,
                            const LogRewrite& rewrite);

// Puts `repaired` in the place of `folder`, which is kept under a name of its own in `aside`;
// returns that. A crash leaves one of both in its place, or neither: then FinishExchange() goes on.
// Durable when it returns.
Result<std::string> ExchangeLog(FileSystem& files, const std::string& folder,
                                const std::string& repaired, const std::string& aside);
Result<void> FinishExchange(FileSystem& files, const std::string& folder,
                            const std::string& repaired);

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_LOG_REWRITE_H_
