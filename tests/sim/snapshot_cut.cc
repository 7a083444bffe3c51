#include "tests/sim/snapshot_cut.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/crc32c.h"
#include "controller/image/records.h"
#include "storage/encoding.h"

namespace gregor {
namespace {

constexpr size_t kMagicBytes = 8;

uint32_t CrcOf(std::string_view bytes, uint32_t crc = 0) {
  return Crc32c(crc, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

std::vector<std::string_view> FramesOf(std::string_view bytes) {
  std::vector<std::string_view> frames;
  bytes.remove_prefix(kMagicBytes);
  while (!bytes.empty()) {
    std::string_view head = bytes;
    const auto size = *TakeBigEndian<uint32_t>(&head);
    frames.push_back(bytes.substr(2 * sizeof(uint32_t), size));
    bytes.remove_prefix(2 * sizeof(uint32_t) + size);
  }
  return frames;
}

}  // namespace

std::string WithoutRows(const std::string& bytes, size_t count, bool hidden) {
  std::string cut = bytes.substr(0, kMagicBytes);
  uint32_t checksum = 0;
  const auto add = [&](std::string_view frame) {
    PutBigEndian(&cut, static_cast<uint32_t>(frame.size()));
    PutBigEndian(&cut, CrcOf(frame));
    cut += frame;
    checksum = CrcOf(frame, checksum);
  };
  const auto frames = FramesOf(bytes);
  const size_t kept = frames.size() - 1 - std::min(count, frames.size() - 2);
  pb::SnapshotFrame header;
  CHECK(header.ParseFromArray(frames[0].data(), static_cast<int>(frames[0].size())));
  if (hidden) header.mutable_header()->clear_state_hash();
  add(header.SerializeAsString());
  for (size_t i = 1; i < kept; ++i) add(frames[i]);
  if (!hidden) return cut;
  pb::SnapshotFrame footer;
  footer.mutable_footer()->set_row_count(static_cast<int64_t>(kept) - 1);
  footer.mutable_footer()->set_checksum(checksum);
  add(footer.SerializeAsString());
  return cut;
}

}  // namespace gregor
