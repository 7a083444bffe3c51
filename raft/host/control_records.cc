#include "raft/host/control_records.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "storage/encoding.h"

namespace gregor {
namespace {

// As in Kafka's control record types.
constexpr int16_t kLeaderChangeType = 2;
constexpr int16_t kVotersType = 6;
constexpr int16_t kKeyVersion = 0;
constexpr int16_t kValueVersion = 1;
constexpr size_t kValueBytesMax = 1u << 20;

void PutKey(std::string* out, const VoterKey& key) {
  PutBigEndian(out, key.node.value);
  out->append(key.directory.bytes.begin(), key.directory.bytes.end());
}
// What does not fit would be written as what nobody can read, and stop every voter.
void PutCount(std::string* out, size_t count) {
  CHECK_LE(count, size_t{UINT16_MAX});
  PutBigEndian(out, static_cast<uint16_t>(count));
}
void PutText(std::string* out, const std::string& text) {
  PutCount(out, text.size());
  *out += text;
}

std::string EncodeValue(const LeaderChange& change) {
  std::string value;
  PutBigEndian(&value, kValueVersion);
  PutKey(&value, change.leader);
  PutCount(&value, change.granting.size());
  for (const VoterKey& key : change.granting) PutKey(&value, key);
  return value;
}

std::string EncodeValue(const VoterSet& set) {
  std::string value;
  PutBigEndian(&value, kValueVersion);
  PutCount(&value, set.voters.size());
  for (const Voter& voter : set.voters) {
    PutKey(&value, voter.key);
    PutCount(&value, voter.endpoints.size());
    for (const VoterEndpoint& endpoint : voter.endpoints) {
      PutText(&value, endpoint.listener);
      PutText(&value, endpoint.host);
      PutBigEndian(&value, endpoint.port);
    }
  }
  return value;
}

// Takes fields off a value; once one is not there, failed() holds and the rest is zeros.
class Taker {
 public:
  explicit Taker(std::string_view rest) : rest_(rest) {}

  template <typename T>
  T Number() {
    const auto number = TakeBigEndian<T>(&rest_);
    failed_ = failed_ || !number.has_value();
    return failed_ ? T{} : *number;
  }
  std::string Text(size_t size) {
    failed_ = failed_ || rest_.size() < size;
    if (failed_) return {};
    const std::string text(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return text;
  }
  VoterKey Key() {
    VoterKey key;
    key.node = NodeId{Number<int32_t>()};
    const std::string bytes = Text(key.directory.bytes.size());
    std::copy(bytes.begin(), bytes.end(), key.directory.bytes.begin());
    return key;
  }
  // Calls take() as often as a count says that comes first.
  template <typename Take>
  void Repeat(Take take) {
    for (int count = Number<uint16_t>(); count > 0 && !failed_; --count) take();
  }
  bool failed() const { return failed_; }
  bool ended() const { return !failed_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

Result<ControlRecord> DecodeValue(int16_t type, std::string_view value) {
  if (type != kLeaderChangeType && type != kVotersType) return ControlRecord(UnknownControl{type});
  Taker take(value);
  const auto version = take.Number<int16_t>();
  ControlRecord record;
  if (version == kValueVersion && type == kLeaderChangeType) {
    LeaderChange change;
    change.leader = take.Key();
    take.Repeat([&] { change.granting.push_back(take.Key()); });
    record = std::move(change);
  } else if (version == kValueVersion) {
    VoterSet set;
    take.Repeat([&] {
      Voter& voter = set.voters.emplace_back();
      voter.key = take.Key();
      take.Repeat([&] {
        VoterEndpoint& endpoint = voter.endpoints.emplace_back();
        endpoint.listener = take.Text(take.Number<uint16_t>());
        endpoint.host = take.Text(take.Number<uint16_t>());
        endpoint.port = take.Number<uint16_t>();
      });
    });
    record = std::move(set);
  }
  if (version == kValueVersion && take.ended()) return record;
  return Error(Reason::kStorageError, "a control record of type " + std::to_string(type) +
                                          " and version " + std::to_string(version) +
                                          " that this release cannot read");
}

bool IsVisible(const std::string& text) {
  return !text.empty() && text.size() <= kEndpointTextBytesMax &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
}

}  // namespace

bool MayBeWritten(const VoterEndpoint& endpoint) {
  return IsVisible(endpoint.listener) && IsVisible(endpoint.host);
}

RecordBatch EncodeControl(const ControlRecord& record, Timestamp now) {
  const bool is_voters = std::holds_alternative<VoterSet>(record);
  const std::string value = is_voters ? EncodeValue(std::get<VoterSet>(record))
                                      : EncodeValue(std::get<LeaderChange>(record));
  std::string key;
  PutBigEndian(&key, kKeyVersion);
  PutBigEndian(&key, is_voters ? kVotersType : kLeaderChangeType);
  BatchBuilder::Options options;
  options.attributes = BatchHeader::kControlBit;
  BatchBuilder builder(options);
  NewRecord control;
  control.key = key;
  control.value = value;
  control.timestamp = now;
  builder.Add(control);
  return builder.Build();
}

Result<std::optional<VoterSet>> ReadVoters(std::string_view bytes) {
  ASSIGN_OR_RETURN(const RecordBatch batch, CheckBatch(Slice::Copy(bytes)));
  ASSIGN_OR_RETURN(ControlRecord record, DecodeControl(batch));
  auto* const voters = std::get_if<VoterSet>(&record);
  return voters == nullptr ? std::nullopt : std::optional(std::move(*voters));
}

Result<ControlRecord> DecodeControl(const RecordBatch& batch) {
  const auto refuse = [&](const std::string& what) {
    return Error(Reason::kStorageError, "the control batch at offset " +
                                            std::to_string(batch.header.base_offset.value) +
                                            " of the metadata log has " + what);
  };
  auto reader = RecordReader::Open(batch, kValueBytesMax);
  if (!reader.ok()) return refuse("no readable record");
  const auto record = reader->Next();
  if (!record.ok() || !record->has_value() || batch.header.record_count != 1)
    return refuse("not one record");
  std::string_view key = (*record)->key.value_or("");
  const auto version = TakeBigEndian<int16_t>(&key);
  const auto type = TakeBigEndian<int16_t>(&key);
  if (!version.has_value() || !type.has_value()) return refuse("no type");
  auto decoded = DecodeValue(*type, (*record)->value.value_or(""));
  if (!decoded.ok()) return refuse(decoded.error().message);
  return decoded;
}

}  // namespace gregor
