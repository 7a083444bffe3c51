#include "raft/host/vote_file.h"

#include <utility>

#include "raft/host/text_lines.h"

namespace gregor {
namespace {

constexpr std::string_view kVoteFirstLine = "gregor-vote 1";
constexpr size_t kVoteBytesMax = 4096;

std::optional<Vote> ParseVote(std::string_view text) {
  Vote vote;
  TakeLine(&text, kVoteFirstLine);
  const auto cluster = TakeLine(&text, "cluster ");
  const auto self = TakeLine(&text, "voter ");
  const auto term = TakeLine(&text, "term ");
  const auto voted = TakeLine(&text, "voted for ");
  if (!cluster || !self || !term || !voted) return std::nullopt;
  const auto cluster_id = ClusterId::Parse(*cluster);
  const auto key = ParseKey(*self);
  const auto number = ParseNumber(*term);
  if (!cluster_id || !key || !number || *number > INT32_MAX) return std::nullopt;
  vote.cluster = *cluster_id;
  vote.self = *key;
  vote.term = Term{static_cast<int32_t>(*number)};
  if (*voted != "nobody") {
    vote.voted_for = ParseKey(*voted);
    if (!vote.voted_for.has_value()) return std::nullopt;
  }
  return vote;
}

}  // namespace

std::string EncodeVote(const Vote& vote) {
  std::string text(kVoteFirstLine);
  text += "\ncluster " + vote.cluster.ToString() + "\nvoter " + KeyText(vote.self) + "\nterm " +
          std::to_string(vote.term.value) + "\nvoted for " +
          (vote.voted_for.has_value() ? KeyText(*vote.voted_for) : "nobody") + "\n";
  return WithChecksum(std::move(text));
}

Result<Vote> DecodeVote(std::string_view text) {
  RETURN_IF_ERROR(CheckFirstLine(text, kVoteFirstLine));
  auto vote = ParseVote(text);
  // What is read must be what would be written, checksum included.
  if (vote.has_value() && EncodeVote(*vote) == text) return *std::move(vote);
  return Error(Reason::kStorageError, "it is damaged");
}

Result<std::optional<Vote>> ReadVote(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  if (!exists) return std::optional<Vote>();
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(files, path, kVoteBytesMax));
  auto vote = DecodeVote(text);
  if (vote.ok()) return std::optional<Vote>(*std::move(vote));
  return Error(
             Reason::kStorageError,
             "vote file " + path + " cannot be used: " + vote.error().message +
                 ". Of several controllers, replace this one by an empty one "
                 "(docs/operations.md): with an earlier vote, or none, it could vote twice in one "
                 "term. Of a node that is alone, restore the directory from a backup")
      .With("path", path);
}

Result<void> SaveVote(FileSystem& files, const std::string& path, const Vote& vote) {
  return ReplaceFile(files, path, EncodeVote(vote));
}

}  // namespace gregor
