#include "broker/grpc/page_token.h"

#include <absl/strings/escaping.h>

#include <algorithm>

#include "base/siphash.h"

namespace gregor {
namespace {

constexpr char kVersion = 1;
constexpr size_t kNumberBytes = 8;
constexpr size_t kTokenBytesMax = 4096;

void AppendNumber(std::string& bytes, uint64_t number) {
  for (size_t i = 0; i < kNumberBytes; ++i) bytes += static_cast<char>(number >> (8 * i));
}

uint64_t ReadNumber(std::string_view bytes) {
  uint64_t number = 0;
  for (size_t i = kNumberBytes; i-- > 0;) number = number << 8 | static_cast<uint8_t>(bytes[i]);
  return number;
}

Error NoToken() {
  return Error(Reason::kInvalidArgument,
               "page.page_token is not one that this cluster gave: begin again without a token");
}

}  // namespace

Pages::Pages(const std::array<uint8_t, 16>& cluster_key,
             const std::vector<std::string_view>& filter)
    : key_(cluster_key) {
  SipHash hash(key_);
  for (const std::string_view part : filter) {
    hash.Add(part);
    hash.Add(uint64_t{part.size()});
  }
  filter_ = hash.Finish();
}

uint64_t Pages::Sign(std::string_view text) const {
  SipHash hash(key_);
  hash.Add("gregor.page");
  hash.Add(text);
  return hash.Finish();
}

Result<Pages::Page> Pages::Parse(const v1::PageRequest& request, Limits limits) const {
  if (request.page_size() < 0)
    return Error(Reason::kInvalidArgument, "page.page_size is negative; 0 is the default");
  Page page;
  page.size = static_cast<size_t>(request.page_size() == 0
                                      ? limits.size_default
                                      : std::min(request.page_size(), limits.size_max));
  if (request.page_token().empty()) return page;
  if (request.page_token().size() > kTokenBytesMax) return NoToken();
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(request.page_token(), &bytes) || bytes.empty()) return NoToken();
  if (bytes[0] != kVersion) {
    return Error(Reason::kPageTokenExpired,
                 "page.page_token was made by another version of Gregor: begin again without it");
  }
  // Version, filter, key, signature.
  if (bytes.size() <= 1 + 2 * kNumberBytes) return NoToken();
  const std::string_view all = bytes;
  const std::string_view text = all.substr(0, all.size() - kNumberBytes);
  if (ReadNumber(all.substr(text.size())) != Sign(text)) return NoToken();
  if (ReadNumber(text.substr(1)) != filter_) {
    return Error(Reason::kInvalidArgument,
                 "page.page_token belongs to another list: the rest of the request must be the "
                 "same for all pages");
  }
  page.after = text.substr(1 + kNumberBytes);
  return page;
}

std::string Pages::TokenAfter(std::string_view last) const {
  CHECK(!last.empty());
  std::string bytes(1, kVersion);
  AppendNumber(bytes, filter_);
  bytes += last;
  AppendNumber(bytes, Sign(bytes));
  return absl::WebSafeBase64Escape(bytes);
}

}  // namespace gregor
