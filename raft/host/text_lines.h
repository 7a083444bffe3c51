#ifndef GREGOR_RAFT_HOST_TEXT_LINES_H_
#define GREGOR_RAFT_HOST_TEXT_LINES_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "raft/core/types.h"

namespace gregor {

// Small checksummed text files of the quorum: a first line with name and version, lines of a word
// and a value, and a last one with the CRC-32C of all before it. Thread: any.

// Takes `prefix`, what follows up to the end of the line, and the line's end off the text.
std::optional<std::string_view> TakeLine(std::string_view* text, std::string_view prefix);
// A number from 0 on.
std::optional<int64_t> ParseNumber(std::string_view text);
std::string KeyText(const VoterKey& key);
std::optional<VoterKey> ParseKey(std::string_view text);
// `text` with its last line.
std::string WithChecksum(std::string text);
// kStorageError where `text` is a file of the same name in another version.
Result<void> CheckFirstLine(std::string_view text, std::string_view first_line);

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_TEXT_LINES_H_
