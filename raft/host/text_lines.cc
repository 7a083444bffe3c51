#include "raft/host/text_lines.h"

#include <charconv>
#include <cstdio>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace gregor {

std::optional<std::string_view> TakeLine(std::string_view* text, std::string_view prefix) {
  const size_t end = text->find('\n');
  if (end == std::string_view::npos || text->substr(0, prefix.size()) != prefix ||
      end < prefix.size())
    return std::nullopt;
  const std::string_view value = text->substr(prefix.size(), end - prefix.size());
  text->remove_prefix(end + 1);
  return value;
}

std::optional<int64_t> ParseNumber(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

std::string KeyText(const VoterKey& key) {
  return std::to_string(key.node.value) + " " + key.directory.ToString();
}

std::optional<VoterKey> ParseKey(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const auto node = ParseNumber(text.substr(0, space));
  const auto directory = DirectoryId::Parse(text.substr(space + 1));
  if (!node.has_value() || *node > INT32_MAX || !directory.has_value()) return std::nullopt;
  return VoterKey{NodeId{static_cast<int32_t>(*node)}, *directory};
}

std::string WithChecksum(std::string text) {
  char checksum[24];
  std::snprintf(checksum, sizeof checksum, "crc32c %08x\n", Crc32c(0, Slice::Copy(text).span()));
  return text + checksum;
}

Result<void> CheckFirstLine(std::string_view text, std::string_view first_line) {
  const auto name = [](std::string_view line) { return line.substr(0, line.find(' ')); };
  const std::string_view first = text.substr(0, text.find('\n'));
  if (name(first) != name(first_line) || first == first_line) return {};
  return Error(Reason::kStorageError, "its format is not that of this release (\"" +
                                          std::string(first_line) +
                                          "\"): use the release that wrote it");
}

}  // namespace gregor
