#include "raft/host/log_base_file.h"

#include <utility>

#include "raft/host/text_lines.h"

namespace gregor {
namespace {

constexpr std::string_view kFirstLine = "gregor-log-base 1";
constexpr size_t kBytesMax = 1u << 20;

// "<listener> <port> <host>": neither listeners nor hosts have spaces.
std::string EndpointText(const VoterEndpoint& endpoint) {
  return endpoint.listener + " " + std::to_string(endpoint.port) + " " + endpoint.host;
}

std::optional<VoterEndpoint> ParseEndpoint(std::string_view text) {
  const size_t first = text.find(' ');
  const size_t second = first == std::string_view::npos ? first : text.find(' ', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto port = ParseNumber(text.substr(first + 1, second - first - 1));
  if (!port.has_value() || *port > UINT16_MAX) return std::nullopt;
  return VoterEndpoint{std::string(text.substr(0, first)), std::string(text.substr(second + 1)),
                       static_cast<uint16_t>(*port)};
}

// "<offset> <term>".
std::optional<LogBase::Place> ParsePlace(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const auto start = ParseNumber(text.substr(0, space));
  const auto term = ParseNumber(text.substr(space + 1));
  if (!start || !term || *term > INT32_MAX) return std::nullopt;
  return LogBase::Place{Offset{*start}, Term{static_cast<int32_t>(*term)}};
}

std::string PlaceText(const LogBase::Place& place) {
  return std::to_string(place.start.value) + " " + std::to_string(place.term.value);
}

std::optional<LogBase> Parse(std::string_view text) {
  TakeLine(&text, kFirstLine);
  LogBase base;
  const auto start = TakeLine(&text, "start ");
  const auto place = start.has_value() ? ParsePlace(*start) : std::nullopt;
  if (!place) return std::nullopt;
  base.place = *place;
  if (const auto before = TakeLine(&text, "before ")) {
    base.before = ParsePlace(*before);
    if (!base.before) return std::nullopt;
  }
  if (const auto end = TakeLine(&text, "voters before ")) {
    const auto voters_end = ParseNumber(*end);
    if (!voters_end) return std::nullopt;
    base.voters = raft::VotersAt{Offset{*voters_end}, {}};
    while (const auto voter = TakeLine(&text, "voter ")) {
      const auto key = ParseKey(*voter);
      if (!key) return std::nullopt;
      base.voters->voters.voters.push_back({*key, {}});
      while (const auto line = TakeLine(&text, "at ")) {
        const auto endpoint = ParseEndpoint(*line);
        if (!endpoint) return std::nullopt;
        base.voters->voters.voters.back().endpoints.push_back(*endpoint);
      }
    }
  }
  return base;
}

}  // namespace

std::string EncodeLogBase(const LogBase& base) {
  std::string text(kFirstLine);
  text += "\nstart " + PlaceText(base.place) + "\n";
  if (base.before.has_value()) text += "before " + PlaceText(*base.before) + "\n";
  if (base.voters.has_value()) {
    text += "voters before " + std::to_string(base.voters->end.value) + "\n";
    for (const Voter& voter : base.voters->voters.voters) {
      text += "voter " + KeyText(voter.key) + "\n";
      for (const VoterEndpoint& each : voter.endpoints) text += "at " + EndpointText(each) + "\n";
    }
  }
  return WithChecksum(std::move(text));
}

Result<LogBase> DecodeLogBase(std::string_view text) {
  RETURN_IF_ERROR(CheckFirstLine(text, kFirstLine));
  auto base = Parse(text);
  // What is read must be what would be written, checksum included.
  if (base.has_value() && EncodeLogBase(*base) == text) return *std::move(base);
  return Error(Reason::kStorageError, "it is damaged");
}

Result<std::optional<LogBase>> ReadLogBase(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  if (!exists) return std::optional<LogBase>();
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(files, path, kBytesMax));
  auto base = DecodeLogBase(text);
  if (base.ok()) return std::optional<LogBase>(*std::move(base));
  return Error(Reason::kStorageError,
               "log base file " + path + " cannot be used: " + base.error().message +
                   ". Restore the directory from a backup, or, where other controllers have the "
                   "metadata, replace this one by an empty one (docs/operations.md)")
      .With("path", path);
}

Result<void> SaveLogBase(FileSystem& files, const std::string& path, const LogBase& base) {
  return ReplaceFile(files, path, EncodeLogBase(base));
}

}  // namespace gregor
