#include "raft/host/vote_writer.h"

#include <utility>

namespace gregor {

void VoteWriter::Save(Vote vote) {
  // A lane of one thread: votes are saved in the order in which they were cast.
  disk_.Submit(
      Lane::kSync, "raft.vote", loop_,
      [files = &disk_.files(), path = path_, vote = std::move(vote)] {
        return SaveVote(*files, path, vote);
      },
      [this, alive = alive_](Result<void> saved) {
        if (*alive) saved_(std::move(saved));
      });
}

}  // namespace gregor
