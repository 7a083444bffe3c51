#include "storage/meta_properties.h"

#include <algorithm>
#include <cstdio>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace gregor {
namespace {

constexpr std::string_view kChecksum = "crc32c=";

std::string ChecksumLine(std::string_view lines) {
  char digits[12];
  std::snprintf(digits, sizeof digits, "%08x\n", Crc32c(0, Slice::Copy(lines).span()));
  return std::string(kChecksum) + digits;
}

}  // namespace

std::map<std::string, std::string, std::less<>> ParseProperties(std::string_view text) {
  std::map<std::string, std::string, std::less<>> properties;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t equals = line.find('=');
    if (equals != std::string_view::npos && line.front() != '#')
      properties[std::string(line.substr(0, equals))] = line.substr(equals + 1);
  }
  return properties;
}

std::string WithPropertiesChecksum(std::string lines) { return lines + ChecksumLine(lines); }

bool IsSoundProperties(std::string_view text) {
  const size_t at = text.find("\n" + std::string(kChecksum));
  // Written by an earlier release; a checksum that is cut off does not end its line.
  if (at == std::string_view::npos) return text.ends_with('\n');
  return text.substr(at + 1) == ChecksumLine(text.substr(0, at + 1));
}

}  // namespace gregor
