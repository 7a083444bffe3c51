#include "storage/encoding.h"

#include "base/crc32c.h"

namespace gregor {
namespace {

uint32_t CrcOf(std::string_view text) {
  return Crc32c(0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

}  // namespace

void PutText(std::string* out, std::string_view text) {
  PutBigEndian(out, static_cast<uint32_t>(text.size()));
  *out += text;
}

std::optional<std::string_view> TakeText(std::string_view* rest) {
  const auto size = TakeBigEndian<uint32_t>(rest);
  if (!size.has_value() || *size > rest->size()) return std::nullopt;
  const std::string_view text = rest->substr(0, *size);
  rest->remove_prefix(*size);
  return text;
}

std::string Seal(uint32_t magic, std::string_view body) {
  std::string text;
  text.reserve(2 * sizeof(uint32_t) + body.size());
  PutBigEndian(&text, magic);
  PutBigEndian(&text, CrcOf(body));
  return text.append(body);
}

std::optional<std::string_view> Unseal(uint32_t magic, std::string_view text) {
  const auto found = TakeBigEndian<uint32_t>(&text);
  const auto crc = TakeBigEndian<uint32_t>(&text);
  if (!crc.has_value() || *found != magic || CrcOf(text) != *crc) return std::nullopt;
  return text;
}

}  // namespace gregor
