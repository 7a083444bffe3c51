#include "tests/sim/sim_damage.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace gregor {
namespace {

using FoundFile = std::pair<std::string, SimInodePtr>;

// Those with something durable, by their names.
std::vector<FoundFile> FilesOf(const SimFileSystem& files, std::string_view folder,
                               std::string_view suffix) {
  std::vector<FoundFile> found = files.tree().Files();
  std::erase_if(found, [&](const FoundFile& file) {
    const std::string& path = file.first;
    return !path.starts_with(folder) || !path.ends_with(suffix) ||
           path.find(".stray") != std::string::npos ||
           file.second->content.durable().UsedPages().empty();
  });
  std::sort(found.begin(), found.end(),
            [](const FoundFile& one, const FoundFile& other) { return one.first < other.first; });
  return found;
}

}  // namespace

bool FlipAnyBit(SimFileSystem& files, const std::string& path, uint64_t begin, uint64_t end,
                Random& random) {
  const auto bit = static_cast<int>(random.Below(8));
  return files.FlipBit(path, begin + random.Below(end - begin), bit);
}

bool FlipLogBit(SimFileSystem& files, std::string_view folder, Random& random) {
  const std::vector<FoundFile> segments = FilesOf(files, folder, ".log");
  if (segments.empty()) return false;
  const size_t number = random.Below(segments.size());
  const SimContent& content = segments[number].second->content.durable();
  uint64_t end = std::min((content.UsedPages().back() + 1) * kSimPageBytes, content.size());
  if (number + 1 == segments.size()) end /= 2;
  if (end < kSimPageBytes / 2) return false;
  return FlipAnyBit(files, segments[number].first, 0, end, random);
}

bool FlipSnapshotBit(SimFileSystem& files, Random& random) {
  const std::vector<FoundFile> snapshots = FilesOf(files, "/", ".snapshot");
  if (snapshots.size() < 2) return false;
  const auto& [path, inode] = snapshots[random.Below(snapshots.size())];
  return FlipAnyBit(files, path, 0, inode->content.durable().size(), random);
}

}  // namespace gregor
