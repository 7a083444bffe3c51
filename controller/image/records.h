#ifndef GREGOR_CONTROLLER_IMAGE_RECORDS_H_
#define GREGOR_CONTROLLER_IMAGE_RECORDS_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "controller/image/feature_level.h"
#include "gregor/internal/v1/metadata.pb.h"

namespace gregor {

namespace pb = internal::v1;

// Metadata records as bytes (docs/formats.md). Thread: any.

// From which feature level on records of this type may be written. REQUIRES: a record is set.
int32_t FeatureLevelOf(const pb::MetadataRecord& record);
// What records of this type are about, for people: "register broker".
std::string RecordTypeName(const pb::MetadataRecord& record);

// Which type the bytes of a record say that they are of, as MetadataRecord numbers them, without
// reading further; 0 where they say nothing. Costs nothing beside ParseRecord().
int RecordTypeOf(std::string_view record);
// Fails with kStorageError where the bytes are not one record in canonical form, or have a type or
// field that this version does not know: it never skips one.
Result<pb::MetadataRecord> ParseRecord(std::string_view bytes);
// The same for many of them: a record takes the memory of the last one, which is most of what its
// parsing costs. Keeps that of the largest record. Thread: its owner's.
class RecordParser {
 public:
  // The record is valid until the next call.
  Result<const pb::MetadataRecord*> Parse(std::string_view bytes);

 private:
  friend Result<pb::MetadataRecord> ParseRecord(std::string_view bytes);
  void Clear(int type);

  pb::MetadataRecord record_;
  std::string written_;
};
// The canonical form. REQUIRES: a record is set.
std::string SerializeRecord(const pb::MetadataRecord& record);

// Ids in records: 16 bytes. False if there are not so many.
template <typename Id>
bool ReadId(std::string_view bytes, Id* id) {
  if (bytes.size() != id->bytes.size()) return false;
  std::copy(bytes.begin(), bytes.end(), id->bytes.begin());
  return true;
}
template <size_t kSize>
std::string ToBytes(const std::array<uint8_t, kSize>& bytes) {
  return std::string(bytes.begin(), bytes.end());
}

// A state hash for people: 16 hexadecimal digits.
std::string StateHashText(uint64_t hash);

// A record on one line: JSON, or (with bare names) for people. Ids are shown as elsewhere, secrets
// as
// "<secret>". Numbers, texts and lists that are zero or empty are left out.
std::string DescribeRecord(const pb::MetadataRecord& record, bool as_json);
// The fields of a message, in order, each as DescribeRecord() shows it: those that are set, or
// `with_defaults` also what is zero or empty (but not what is absent).
std::vector<std::pair<std::string, std::string>> DescribeFields(
    const google::protobuf::Message& message, bool as_json, bool with_defaults);
// `text` as a string of JSON, quotes included.
std::string QuoteJson(std::string_view text);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_RECORDS_H_
