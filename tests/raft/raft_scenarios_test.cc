// Text scenarios: testdata/*.txt, each a test of its own. GREGOR_REWRITE=1 writes what happens into
// the files, so that it is read as a change of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/raft/scenario.h"

namespace gregor::raft {
namespace {

constexpr const char* kFolder = "tests/raft/testdata";

std::vector<std::string> ScenarioNames() {
  std::vector<std::string> names;
  if (!std::filesystem::exists(kFolder)) return names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Commands up to "----", then what they lead to, up to an empty line. What is between is kept.
struct Block {
  std::vector<std::string> before;  // comments and empty lines
  std::vector<std::string> commands;
  std::string expected;
  int line = 0;
};

std::vector<Block> ReadBlocks(const std::string& path) {
  std::vector<Block> blocks(1);
  std::ifstream file(path);
  bool is_output = false;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    Block& block = blocks.back();
    if (is_output) {
      if (line.empty()) {
        is_output = false;
        blocks.emplace_back();
      } else {
        block.expected += line + "\n";
      }
    } else if (line == "----") {
      is_output = true;
    } else if (line.empty() || line.front() == '#') {
      block.before.push_back(line);
    } else {
      if (block.commands.empty()) block.line = number;
      block.commands.push_back(line);
    }
  }
  return blocks;
}

void WriteBlocks(const std::string& path, const std::vector<Block>& blocks) {
  std::ostringstream text;
  for (const Block& block : blocks) {
    for (const std::string& line : block.before) text << line << "\n";
    for (const std::string& line : block.commands) text << line << "\n";
    if (!block.commands.empty()) text << "----\n" << block.expected << "\n";
  }
  std::string all = text.str();
  while (all.size() > 1 && all[all.size() - 1] == '\n' && all[all.size() - 2] == '\n')
    all.pop_back();
  std::ofstream(path) << all;
}

class RaftScenarios : public ::testing::TestWithParam<std::string> {};

TEST_P(RaftScenarios, LeadsToWhatTheFileSays) {
  const std::string path = std::string(kFolder) + "/" + GetParam() + ".txt";
  std::vector<Block> blocks = ReadBlocks(path);
  const bool rewrite = std::getenv("GREGOR_REWRITE") != nullptr;
  Scenario scenario;
  size_t commands = 0;
  for (Block& block : blocks) {
    const std::string happened = scenario.Run(block.commands);
    commands += block.commands.size();
    if (rewrite) {
      block.expected = happened;
    } else {
      EXPECT_EQ(happened, block.expected) << path << ":" << block.line;
    }
  }
  EXPECT_GT(commands, 0u) << path;
  EXPECT_FALSE(scenario.IsViolated()) << path << ": a rule of Raft was violated";
  if (rewrite) WriteBlocks(path, blocks);
}

std::string TestName(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

// Run from the source's root; elsewhere there are no files, which googletest reports.
INSTANTIATE_TEST_SUITE_P(Files, RaftScenarios, ::testing::ValuesIn(ScenarioNames()), TestName);

}  // namespace
}  // namespace gregor::raft
