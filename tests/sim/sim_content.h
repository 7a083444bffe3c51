#ifndef GREGOR_TESTS_SIM_SIM_CONTENT_H_
#define GREGOR_TESTS_SIM_SIM_CONTENT_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"

namespace gregor {

inline constexpr uint64_t kSimSectorBytes = 512;
inline constexpr uint64_t kSimPageBytes = 4096;

// The bytes of a file, held by page; pages that were never written are zeros and cost nothing.
// Copies share pages.
class SimContent {
 public:
  uint64_t size() const { return size_; }
  void Write(uint64_t position, std::span<const uint8_t> data);
  // Returns how many bytes there were before the end.
  size_t Read(uint64_t position, std::span<uint8_t> out) const;
  // Cuts or extends with zeros.
  void SetSize(uint64_t size);
  // Makes the sector that begins at `position` the one of `from`, without regard to either size.
  void CopySector(uint64_t position, const SimContent& from);
  // Sectors that hold something, for flipping a bit that matters.
  std::vector<uint64_t> UsedPages() const;
  // The memory that the pages of all files of the process take.
  static size_t AllBytes() { return Page::count * sizeof(Page); }

 private:
  struct Page {
    Page() { ++count; }
    Page(const Page& other) : bytes(other.bytes) { ++count; }
    Page& operator=(const Page&) = delete;
    ~Page() { --count; }

    static inline std::atomic<size_t> count{0};  // of all that there are
    std::array<uint8_t, kSimPageBytes> bytes{};
  };
  Page& Writable(uint64_t page);

  uint64_t size_ = 0;
  std::map<uint64_t, std::shared_ptr<Page>> pages_;
};

// How much of a file's unsynced changes a power loss leaves.
enum class SimSurvival {
  kNothing,
  kEverything,
  kPrefix,   // what came first; the change at the border torn
  kSectors,  // each 512 bytes on its own, of any age
  kPages,    // the same with 4 KiB
};

// A file as a process sees it, and as the disk will have it after a power loss: an image that is
// durable, and the changes since, in order.
class SimFileState {
 public:
  // Both change what is seen at once, and what is durable with the next Sync().
  void Write(uint64_t position, std::string data);
  void SetSize(uint64_t size);
  void Sync();
  // A sync that failed: the disk has some part of the bytes, and no later sync will write the rest,
  // although it can still be read (what Linux does: the pages are marked clean). The size is kept,
  // as it is in the file system's journal.
  void FailSync(Random& random);
  // Forgets what was not durable, except for what chance keeps.
  void LosePower(Random& random);
  void LosePower(Random& random, SimSurvival survival);
  // Damage: in memory and on the disk alike.
  void FlipBit(uint64_t position, int bit);

  const SimContent& seen() const { return seen_; }
  const SimContent& durable() const { return durable_; }
  bool dirty() const { return !changes_.empty(); }

 private:
  struct Change {
    bool is_write = false;
    uint64_t position = 0;  // or the new size
    std::string data;
  };
  // Which changes (how many from the first on) each sector and the size keep.
  struct Kept;

  static void Apply(const Change& change, SimContent& content);
  SimContent AfterPowerLoss(Random& random, SimSurvival survival) const;

  SimContent seen_;
  SimContent durable_;
  std::vector<Change> changes_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SIM_CONTENT_H_
