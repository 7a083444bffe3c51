#include "raft/host/vote_file.h"

#include <charconv>
#include <cstdio>

#include "base/crc32c.h"

namespace gregor {
namespace {

constexpr std::string_view kFirstLine = "gregor-vote 1";
constexpr size_t kBytesMax = 4096;

std::string KeyText(const VoterKey& key) {
  return std::to_string(key.node.value) + " " + key.directory.ToString();
}

// Takes `prefix`, what follows up to the end of the line, and the line's end off the text.
std::optional<std::string_view> TakeLine(std::string_view* text, std::string_view prefix) {
  const size_t end = text->find('\n');
  if (end == std::string_view::npos || text->substr(0, prefix.size()) != prefix ||
      end < prefix.size())
    return std::nullopt;
  const std::string_view value = text->substr(prefix.size(), end - prefix.size());
  text->remove_prefix(end + 1);
  return value;
}

std::optional<int32_t> ParseInt(std::string_view text) {
  int32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

std::optional<VoterKey> ParseKey(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const auto node = ParseInt(text.substr(0, space));
  const auto directory = DirectoryId::Parse(text.substr(space + 1));
  if (!node.has_value() || !directory.has_value()) return std::nullopt;
  return VoterKey{NodeId{*node}, *directory};
}

std::optional<Vote> Parse(std::string_view text) {
  Vote vote;
  TakeLine(&text, kFirstLine);
  const auto cluster = TakeLine(&text, "cluster ");
  const auto self = TakeLine(&text, "voter ");
  const auto term = TakeLine(&text, "term ");
  const auto voted = TakeLine(&text, "voted for ");
  if (!cluster || !self || !term || !voted) return std::nullopt;
  const auto cluster_id = ClusterId::Parse(*cluster);
  const auto key = ParseKey(*self);
  const auto number = ParseInt(*term);
  if (!cluster_id || !key || !number) return std::nullopt;
  vote.cluster = *cluster_id;
  vote.self = *key;
  vote.term = Term{*number};
  if (*voted != "nobody") {
    vote.voted_for = ParseKey(*voted);
    if (!vote.voted_for.has_value()) return std::nullopt;
  }
  return vote;
}

}  // namespace

std::string EncodeVote(const Vote& vote) {
  std::string text(kFirstLine);
  text += "\ncluster " + vote.cluster.ToString() + "\nvoter " + KeyText(vote.self) + "\nterm " +
          std::to_string(vote.term.value) + "\nvoted for " +
          (vote.voted_for.has_value() ? KeyText(*vote.voted_for) : "nobody") + "\n";
  char checksum[24];
  std::snprintf(checksum, sizeof checksum, "crc32c %08x\n", Crc32c(0, Slice::Copy(text).span()));
  return text + checksum;
}

Result<Vote> DecodeVote(std::string_view text) {
  const std::string_view first = text.substr(0, text.find('\n'));
  const bool is_vote =
      first.substr(0, kFirstLine.find(' ')) == kFirstLine.substr(0, kFirstLine.find(' '));
  if (is_vote && first != kFirstLine) {
    return Error(Reason::kStorageError, "its format is not that of this release (\"" +
                                            std::string(kFirstLine) +
                                            "\"): use the release that wrote it");
  }
  auto vote = Parse(text);
  // What is read must be what would be written, checksum included.
  if (vote.has_value() && EncodeVote(*vote) == text) return *std::move(vote);
  return Error(Reason::kStorageError, "it is damaged");
}

Result<std::optional<Vote>> ReadVote(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  if (!exists) return std::optional<Vote>();
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(files, path, kBytesMax));
  auto vote = DecodeVote(text);
  if (vote.ok()) return std::optional<Vote>(*std::move(vote));
  return Error(Reason::kStorageError,
               "vote file " + path + " cannot be used: " + vote.error().message +
                   ". Restore it from a backup of this very moment; a voter that forgets its vote "
                   "could vote twice in one term")
      .With("path", path);
}

Result<void> SaveVote(FileSystem& files, const std::string& path, const Vote& vote) {
  return ReplaceFile(files, path, EncodeVote(vote));
}

}  // namespace gregor
