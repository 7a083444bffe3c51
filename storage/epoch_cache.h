#ifndef GREGOR_STORAGE_EPOCH_CACHE_H_
#define GREGOR_STORAGE_EPOCH_CACHE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace gregor {

// Where each leader epoch of a log began (KIP-101, KIP-279). Epochs and offsets rise strictly.
// Thread: its log's.
class EpochCache {
 public:
  struct Entry {
    LeaderEpoch epoch{-1};
    Offset start{0};
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  // Notes that `epoch` begins at `start`; no effect if it is the last epoch already. Entries at or
  // after either go away.
  void Assign(LeaderEpoch epoch, Offset start);
  // The log was cut: entries that begin at or after `end` go away.
  void TruncateFromEnd(Offset end);
  // The log begins at `start` now: entries wholly below go away, the one that covers it moves up.
  void TruncateFromStart(Offset start);
  void Clear() { entries_.clear(); }

  std::optional<Entry> last() const;
  // The epoch of the record at `offset`; nullopt if none covers it.
  std::optional<LeaderEpoch> EpochAt(Offset offset) const;
  // The largest epoch <= `asked` and the offset where it ended (`log_end` if it is the last);
  // nullopt when none is known.
  std::optional<Entry> EndOf(LeaderEpoch asked, Offset log_end) const;
  const std::vector<Entry>& entries() const { return entries_; }

  // Checkpoint with checksum; format: docs/formats.md.
  std::string Encode() const;
  static Result<EpochCache> Decode(std::string_view text);

 private:
  std::vector<Entry> entries_;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_EPOCH_CACHE_H_
