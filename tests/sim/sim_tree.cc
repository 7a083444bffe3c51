#include "tests/sim/sim_tree.h"

#include <functional>
#include <utility>

#include "base/check.h"

namespace gregor {
namespace {

void Walk(const std::string& path, const SimInodePtr& inode,
          const std::function<void(const std::string&, const SimInodePtr&)>& visit) {
  visit(path, inode);
  for (const auto& [name, child] : inode->seen) Walk(path + "/" + name, child, visit);
}

void SetName(std::map<std::string, SimInodePtr>& names, const SimTree::Step& step) {
  if (step.inode == nullptr) {
    names.erase(step.name);
  } else {
    names[step.name] = step.inode;
  }
}

}  // namespace

SimTree::SimTree() : root_(std::make_shared<SimInode>()) { root_->is_directory = true; }

std::vector<std::string> SimTree::Split(std::string_view path) {
  std::vector<std::string> names;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (!name.empty() && name != ".") names.emplace_back(name);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return names;
}

SimTree::Found SimTree::Find(std::string_view path) const {
  Found found{.inode = root_};
  const std::vector<std::string> names = Split(path);
  for (size_t i = 0; i < names.size(); ++i) {
    if (!found.inode->is_directory) return {.problem = "ENOTDIR"};
    const SimInodePtr folder = found.inode;
    auto entry = folder->seen.find(names[i]);
    if (entry == folder->seen.end()) {
      if (i + 1 < names.size()) return {.problem = "ENOENT"};
      return {.parent = folder, .name = names[i], .problem = "ENOENT"};
    }
    found = {.inode = entry->second, .parent = folder, .name = names[i]};
  }
  return found;
}

void SimTree::Change(std::vector<Step> steps) {
  for (const Step& step : steps) {
    CHECK(step.folder->is_directory);
    SetName(step.folder->seen, step);
  }
  changes_.push_back(std::move(steps));
}

void SimTree::CloseUnderDependence(std::vector<bool>* chosen) const {
  for (size_t late = changes_.size(); late-- > 0;) {
    if (!(*chosen)[late]) continue;
    for (size_t early = 0; early < late; ++early) {
      for (const Step& a : changes_[early]) {
        for (const Step& b : changes_[late]) {
          if (a.folder == b.folder && a.name == b.name) (*chosen)[early] = true;
        }
      }
    }
  }
}

void SimTree::MakeDurable(const std::vector<bool>& chosen) {
  std::vector<Changed> left;
  for (size_t i = 0; i < changes_.size(); ++i) {
    if (!chosen[i]) {
      left.push_back(std::move(changes_[i]));
      continue;
    }
    for (const Step& step : changes_[i]) SetName(step.folder->durable, step);
  }
  changes_ = std::move(left);
}

void SimTree::SyncFolder(const SimInodePtr& folder) {
  std::vector<bool> chosen(changes_.size(), false);
  for (size_t i = 0; i < changes_.size(); ++i) {
    for (const Step& step : changes_[i]) chosen[i] = chosen[i] || step.folder == folder;
  }
  CloseUnderDependence(&chosen);
  MakeDurable(chosen);
}

void SimTree::LosePower(Random& random) {
  LosePower(random, static_cast<SimSurvival>(random.Below(5)));
}

void SimTree::LosePower(Random& random, SimSurvival survival) {
  std::vector<bool> chosen(changes_.size(), survival == SimSurvival::kEverything);
  const size_t prefix = random.Below(changes_.size() + 1);
  for (size_t i = 0; i < changes_.size(); ++i) {
    if (survival == SimSurvival::kPrefix) chosen[i] = i < prefix;
    if (survival == SimSurvival::kSectors || survival == SimSurvival::kPages) {
      chosen[i] = random.Chance(0.5);
    }
  }
  CloseUnderDependence(&chosen);
  MakeDurable(chosen);
  changes_.clear();
  // Each file has a luck of its own, unless the caller wants all or nothing.
  const bool same_for_all =
      survival == SimSurvival::kNothing || survival == SimSurvival::kEverything;
  const std::function<void(const SimInodePtr&)> lose = [&](const SimInodePtr& inode) {
    inode->seen = inode->durable;
    if (!inode->is_directory) {
      if (same_for_all) {
        inode->content.LosePower(random, survival);
      } else {
        inode->content.LosePower(random);
      }
    }
    for (const auto& [name, child] : inode->seen) lose(child);
  };
  lose(root_);
}

uint64_t SimTree::UsedBytes() const {
  uint64_t used = 0;
  Walk("", root_,
       [&](const std::string&, const SimInodePtr& inode) { used += inode->content.seen().size(); });
  return used;
}

std::vector<std::pair<std::string, SimInodePtr>> SimTree::Files() const {
  std::vector<std::pair<std::string, SimInodePtr>> files;
  Walk("", root_, [&](const std::string& path, const SimInodePtr& inode) {
    if (!inode->is_directory) files.emplace_back(path, inode);
  });
  return files;
}

}  // namespace gregor
