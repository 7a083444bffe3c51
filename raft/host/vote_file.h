#ifndef GREGOR_RAFT_HOST_VOTE_FILE_H_
#define GREGOR_RAFT_HOST_VOTE_FILE_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "raft/host/control_records.h"
#include "storage/file_system.h"

namespace gregor {

// What a voter must not forget (Raft §5.1, §5.2): the term that it has seen, and whom it voted for
// in it. Format: docs/formats.md "Vote file".
struct Vote {
  ClusterId cluster;
  VoterKey self;
  Term term{0};
  std::optional<VoterKey> voted_for;
  friend bool operator==(const Vote&, const Vote&) = default;
};

std::string EncodeVote(const Vote& vote);
// Fails with kStorageError where a byte is not as written, or the format is a newer one.
Result<Vote> DecodeVote(std::string_view text);

// nullopt where the file is missing. Fails with kStorageError where it is damaged or cannot be
// read: a voter that forgot its vote could vote twice. Thread: disk.
Result<std::optional<Vote>> ReadVote(FileSystem& files, const std::string& path);
// Durable when it returns. Thread: disk.
Result<void> SaveVote(FileSystem& files, const std::string& path, const Vote& vote);

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_VOTE_FILE_H_
