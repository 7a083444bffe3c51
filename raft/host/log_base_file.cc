#include "raft/host/log_base_file.h"

#include <utility>
#include <vector>

#include "raft/host/text_lines.h"

namespace gregor {
namespace {

constexpr std::string_view kFirstLine = "gregor-log-base 1";
// With former voters, of which version 1 knows nothing.
constexpr std::string_view kFirstLineWithFormer = "gregor-log-base 2";
constexpr std::string_view kVoters = "voters before ";
constexpr std::string_view kFormerVoters = "former voters before ";
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

// A set with its first line, where there is one. False: it is damaged.
bool TakeVoters(std::string_view* text, std::string_view first,
                std::optional<raft::VotersAt>* voters) {
  const auto end = TakeLine(text, first);
  if (!end.has_value()) return true;
  const auto voters_end = ParseNumber(*end);
  if (!voters_end) return false;
  *voters = raft::VotersAt{Offset{*voters_end}, {}};
  std::vector<Voter>& set = (*voters)->voters.voters;
  while (const auto voter = TakeLine(text, "voter ")) {
    const auto key = ParseKey(*voter);
    if (!key) return false;
    set.push_back({*key, {}});
    while (const auto line = TakeLine(text, "at ")) {
      const auto endpoint = ParseEndpoint(*line);
      if (!endpoint) return false;
      set.back().endpoints.push_back(*endpoint);
    }
  }
  return true;
}

std::string VotersText(std::string_view first, const std::optional<raft::VotersAt>& voters) {
  if (!voters.has_value()) return "";
  std::string text = std::string(first) + std::to_string(voters->end.value) + "\n";
  for (const Voter& voter : voters->voters.voters) {
    text += "voter " + KeyText(voter.key) + "\n";
    for (const VoterEndpoint& each : voter.endpoints) text += "at " + EndpointText(each) + "\n";
  }
  return text;
}

std::string_view FirstLineOf(const LogBase& base) {
  return base.former_voters.has_value() ? kFirstLineWithFormer : kFirstLine;
}

std::optional<LogBase> Parse(std::string_view text) {
  if (!TakeLine(&text, kFirstLineWithFormer)) TakeLine(&text, kFirstLine);
  LogBase base;
  const auto start = TakeLine(&text, "start ");
  const auto place = start.has_value() ? ParsePlace(*start) : std::nullopt;
  if (!place) return std::nullopt;
  base.place = *place;
  if (const auto before = TakeLine(&text, "before ")) {
    base.before = ParsePlace(*before);
    if (!base.before) return std::nullopt;
  }
  if (!TakeVoters(&text, kFormerVoters, &base.former_voters)) return std::nullopt;
  if (!TakeVoters(&text, kVoters, &base.voters)) return std::nullopt;
  return base;
}

}  // namespace

// A log that does not begin where the file says was not exchanged: then the former set is its own.
// Where an older release has kept only the snapshot's, that is better than none: it is committed.
const std::optional<raft::VotersAt>& LogBase::VotersOf(Offset log_start) const {
  const bool is_old = log_start != place.start && former_voters.has_value();
  return is_old ? former_voters : voters;
}

std::string EncodeLogBase(const LogBase& base) {
  std::string text(FirstLineOf(base));
  text += "\nstart " + PlaceText(base.place) + "\n";
  if (base.before.has_value()) text += "before " + PlaceText(*base.before) + "\n";
  text += VotersText(kFormerVoters, base.former_voters);
  text += VotersText(kVoters, base.voters);
  return WithChecksum(std::move(text));
}

Result<LogBase> DecodeLogBase(std::string_view text) {
  const bool has_former = text.substr(0, kFirstLineWithFormer.size()) == kFirstLineWithFormer;
  RETURN_IF_ERROR(CheckFirstLine(text, has_former ? kFirstLineWithFormer : kFirstLine));
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
