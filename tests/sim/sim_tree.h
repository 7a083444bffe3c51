#ifndef GREGOR_TESTS_SIM_SIM_TREE_H_
#define GREGOR_TESTS_SIM_SIM_TREE_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "tests/sim/sim_content.h"

namespace gregor {

// A file or a folder of the simulated disk.
struct SimInode {
  bool is_directory = false;
  SimFileState content;                                      // of a file
  std::map<std::string, std::shared_ptr<SimInode>> seen;     // of a folder
  std::map<std::string, std::shared_ptr<SimInode>> durable;  // what a power loss leaves for sure
};
using SimInodePtr = std::shared_ptr<SimInode>;

// The names of the simulated disk: what a process sees, and the changes that are not durable yet.
// A change is atomic (a rename never leaves half of itself), but changes of different names may
// survive in any order.
class SimTree {
 public:
  SimTree();

  // "a//b/./c" -> {"a", "b", "c"}. Relative paths begin at the root too.
  static std::vector<std::string> Split(std::string_view path);

  struct Found {
    SimInodePtr inode = nullptr;    // null: missing
    SimInodePtr parent = nullptr;   // null: missing, or the root
    std::string name = {};          // in parent
    const char* problem = nullptr;  // errno symbol: ENOENT or ENOTDIR, when inode is null
  };
  Found Find(std::string_view path) const;

  // One or two names change at once; a null inode removes the name.
  struct Step {
    SimInodePtr folder;
    std::string name;
    SimInodePtr inode;
  };
  void Change(std::vector<Step> steps);

  // What changed in `folder` becomes durable, and with it what it builds upon.
  void SyncFolder(const SimInodePtr& folder);

  // Forgets names and bytes that were not durable, except for what chance keeps.
  void LosePower(Random& random);
  void LosePower(Random& random, SimSurvival survival);

  // Sizes of all files that have a name.
  uint64_t UsedBytes() const;
  // Every file that has a name, with its path, in order.
  std::vector<std::pair<std::string, SimInodePtr>> Files() const;

 private:
  using Changed = std::vector<Step>;
  // Marks what the chosen changes build upon: earlier changes of the same names.
  void CloseUnderDependence(std::vector<bool>* chosen) const;
  void MakeDurable(const std::vector<bool>& chosen);

  SimInodePtr root_;
  std::vector<Changed> changes_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SIM_TREE_H_
