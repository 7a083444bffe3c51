#include "controller/image/records.h"

#include <google/protobuf/text_format.h>

namespace gregor {

Result<pb::MetadataRecord> ParseRecord(std::string_view bytes) {
  constexpr size_t kBytesMax = 1u << 30;
  pb::MetadataRecord record;
  if (bytes.size() > kBytesMax ||
      !record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error(Reason::kStorageError, "not a metadata record: its bytes cannot be decoded");
  }
  record.DiscardUnknownFields();
  const bool known = record.record_case() != pb::MetadataRecord::RECORD_NOT_SET;
  // What is unknown or written in another way than ours does not come out as it went in.
  if (known && record.ByteSizeLong() == bytes.size() && record.SerializeAsString() == bytes)
    return record;
  return Error(Reason::kStorageError,
               std::string("a metadata record that this version does not know") +
                   (known ? " wholly (" + std::to_string(record.record_case()) + ")" : "") +
                   ": a newer version wrote it, which must be used");
}

std::string SerializeRecord(const pb::MetadataRecord& record) {
  CHECK(record.record_case() != pb::MetadataRecord::RECORD_NOT_SET);
  return record.SerializeAsString();
}

}  // namespace gregor
