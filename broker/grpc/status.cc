#include "broker/grpc/status.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "google/rpc/error_details.pb.h"

namespace gregor {
namespace {

constexpr char kDomain[] = "gregor";
// The message travels twice: as grpc-message and in the google.rpc.Status.
constexpr size_t kMessageBytesMax = 512;
constexpr size_t kValueBytesMax = 160;
constexpr size_t kKeyBytesMax = 48;
constexpr int kPartialRangesMax = 32;
constexpr int64_t kRetryDelayMs = 100;
// Space does not come back at once.
constexpr int64_t kDiskFullRetryDelayMs = 1000;
constexpr int64_t kRetryDelayMsMax = 3600 * 1000;

// Length of the well-formed UTF-8 character at the head of `text`, 0 if there is none.
size_t CharacterBytes(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = at(0);
  if (first < 0x80) return 1;
  size_t size = 0;
  uint32_t code = 0;
  if (first >= 0xc2 && first < 0xe0) {
    size = 2, code = first & 0x1f;
  } else if (first >= 0xe0 && first < 0xf0) {
    size = 3, code = first & 0x0f;
  } else if (first >= 0xf0 && first < 0xf5) {
    size = 4, code = first & 0x07;
  }
  if (size == 0 || size > text.size()) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (at(i) & 0x3f);
  }
  const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return overlong || surrogate || code > 0x10ffff ? 0 : size;
}

// C0 and C1 controls and DEL: what a terminal might obey.
bool IsControl(std::string_view character) {
  const auto first = static_cast<uint8_t>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  return character.size() == 2 && first == 0xc2 && static_cast<uint8_t>(character[1]) < 0xa0;
}

}  // namespace

std::string Printable(std::string_view text, size_t bytes_max) {
  constexpr char kHex[] = "0123456789abcdef";
  constexpr std::string_view kDots = "...";
  std::string result;
  size_t cut = 0;  // where the dots would go
  while (!text.empty() && result.size() <= bytes_max) {
    if (result.size() + kDots.size() <= bytes_max) cut = result.size();
    const size_t size = CharacterBytes(text);
    if (size > 0 && !IsControl(text.substr(0, size))) {
      result += text.substr(0, size);
      text.remove_prefix(size);
    } else {
      const auto byte = static_cast<uint8_t>(text[0]);
      result += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      text.remove_prefix(1);
    }
  }
  if (result.size() > bytes_max) result.replace(cut, std::string::npos, kDots);
  return result;
}

namespace {

const std::string* Detail(const Error& error, std::string_view key) {
  for (const auto& [name, value] : error.details) {
    if (name == key) return &value;
  }
  return nullptr;
}

std::optional<int64_t> Number(const Error& error, std::string_view key) {
  const std::string* const text = Detail(error, key);
  if (text == nullptr) return std::nullopt;
  int64_t value = 0;
  const auto end = text->data() + text->size();
  const auto [parsed, failure] = std::from_chars(text->data(), end, value);
  if (failure != std::errc() || parsed != end) return std::nullopt;
  return value;
}

std::optional<int64_t> RetryDelayMs(const Error& error) {
  if (const auto stated = Number(error, "retry_delay_ms"))
    return std::clamp<int64_t>(*stated, 0, kRetryDelayMsMax);
  if (SpecOf(error.reason).retry != RetryAdvice::kBackoff) return std::nullopt;
  return error.reason == Reason::kDiskFull ? kDiskFullRetryDelayMs : kRetryDelayMs;
}

std::optional<v1::LeaderHint> HintOf(const Error& error) {
  const auto epoch = Number(error, "leader_epoch");
  if (!epoch.has_value()) return std::nullopt;
  v1::LeaderHint hint;
  hint.set_leader_epoch(static_cast<int32_t>(*epoch));
  if (const auto leader = Number(error, "leader_id"); leader.has_value() && *leader >= 0)
    hint.set_leader_id(static_cast<int32_t>(*leader));
  if (const std::string* const topic = Detail(error, "topic"))
    hint.mutable_partition()->set_topic(Printable(*topic, kValueBytesMax));
  if (const auto partition = Number(error, "partition"))
    hint.mutable_partition()->set_partition(static_cast<int32_t>(*partition));
  if (const std::string* const host = Detail(error, "leader_host"))
    hint.mutable_endpoint()->set_host(Printable(*host, kValueBytesMax));
  if (const auto port = Number(error, "leader_port"))
    hint.mutable_endpoint()->set_port(static_cast<int32_t>(*port));
  hint.set_metadata_version(Number(error, "metadata_version").value_or(0));
  return hint;
}

// What ToStatus() will send: the message once more beside the serialized status.
size_t SizeOf(const google::rpc::Status& status) {
  return status.ByteSizeLong() + status.message().size();
}

// Adds `detail` unless the status would become too large.
void AddIfItFits(google::rpc::Status& status, const google::protobuf::Message& detail) {
  status.add_details()->PackFrom(detail);
  if (SizeOf(status) > kStatusBytesMax) status.mutable_details()->RemoveLast();
}

// ErrorInfo last of all to be filled: as much of the error's details as fits.
void FillErrorInfo(google::rpc::Status& status, const Error& error) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(ReasonName(error.reason)));
  info.set_domain(kDomain);
  google::protobuf::Any& any = *status.mutable_details(0);
  any.PackFrom(info);
  for (const auto& [key, value] : error.details) {
    google::rpc::ErrorInfo with = info;
    (*with.mutable_metadata())[Printable(key, kKeyBytesMax)] = Printable(value, kValueBytesMax);
    any.PackFrom(with);
    if (SizeOf(status) <= kStatusBytesMax) info = std::move(with);
  }
  any.PackFrom(info);
}

google::rpc::Status MakeStatus(const Error& error, const v1::PartialProduce* partial) {
  google::rpc::Status status;
  status.set_code(SpecOf(error.reason).grpc_code);
  status.set_message(Printable(error.message, kMessageBytesMax));
  status.add_details();  // ErrorInfo comes first, and takes what room the others leave
  FillErrorInfo(status, Error(error.reason, ""));
  if (const std::string* const outcome = Detail(error, "outcome")) {
    v1::WriteOutcome detail;
    detail.set_outcome(*outcome == "NOT_APPLIED" ? v1::WriteOutcome::OUTCOME_NOT_APPLIED
                                                 : v1::WriteOutcome::OUTCOME_UNKNOWN);
    AddIfItFits(status, detail);
  }
  if (const auto hint = HintOf(error)) AddIfItFits(status, *hint);
  if (const auto delay = RetryDelayMs(error)) {
    google::rpc::RetryInfo detail;
    detail.mutable_retry_delay()->set_seconds(*delay / 1000);
    detail.mutable_retry_delay()->set_nanos(static_cast<int32_t>(*delay % 1000) * 1'000'000);
    AddIfItFits(status, detail);
  }
  if (partial != nullptr) {
    v1::PartialProduce detail = *partial;
    auto& appended = *detail.mutable_appended();
    status.add_details()->PackFrom(detail);
    while (appended.size() > kPartialRangesMax || SizeOf(status) > kStatusBytesMax) {
      CHECK(!appended.empty());
      appended.RemoveLast();
      detail.set_truncated(true);
      status.mutable_details(status.details_size() - 1)->PackFrom(detail);
    }
  }
  FillErrorInfo(status, error);
  return status;
}

}  // namespace

google::rpc::Status ToRpcStatus(const Error& error) { return MakeStatus(error, nullptr); }

google::rpc::Status ToRpcStatus(const Error& error, const v1::PartialProduce& partial) {
  return MakeStatus(error, &partial);
}

grpc::Status ToStatus(const google::rpc::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message(),
                      status.SerializeAsString());
}

grpc::Status ToStatus(const Error& error) { return ToStatus(ToRpcStatus(error)); }

void AddReasonTrailer(grpc::ServerContextBase& context, const Error& error) {
  context.AddTrailingMetadata("x-gregor-reason", std::string(ReasonName(error.reason)));
  if (const std::string* const outcome = Detail(error, "outcome"))
    context.AddTrailingMetadata("x-gregor-outcome", Printable(*outcome, kValueBytesMax));
  if (const auto delay = RetryDelayMs(error))
    context.AddTrailingMetadata("grpc-retry-pushback-ms", std::to_string(*delay));
}

}  // namespace gregor
