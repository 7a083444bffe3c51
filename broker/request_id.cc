#include "broker/request_id.h"

#include "base/murmur2.h"
#include "base/siphash.h"

namespace gregor {
namespace {

void AddField(SipHash& hash, std::string_view field) {
  hash.Add(field.size());
  hash.Add(field);
}

// Null and empty differ.
void AddOptional(SipHash& hash, const std::optional<std::string_view>& field) {
  hash.Add(field.has_value() ? "v" : "n");
  if (field.has_value()) AddField(hash, *field);
}

}  // namespace

ProducerId ProducerIdOfRequest(const std::array<uint8_t, 16>& key, std::string_view principal,
                               std::string_view topic, std::string_view request_id) {
  SipHash hash(key);
  AddField(hash, principal);
  AddField(hash, topic);
  AddField(hash, request_id);
  return {kRequestIdRange | static_cast<int64_t>(hash.Finish() & (kRequestIdRange - 1))};
}

Sequence ContentSequence(const std::array<uint8_t, 16>& key,
                         std::optional<PartitionIndex> partition,
                         const std::vector<NewRecord>& records) {
  SipHash hash(key);
  hash.Add(partition.has_value() ? "v" : "n");
  if (partition.has_value()) hash.Add(static_cast<uint64_t>(partition->value));
  hash.Add(records.size());
  for (const NewRecord& record : records) {
    AddOptional(hash, record.key);
    AddOptional(hash, record.value);
    hash.Add(static_cast<uint64_t>(record.timestamp.value));
    hash.Add(record.headers.size());
    for (const RecordHeader& header : record.headers) {
      AddField(hash, header.key);
      AddOptional(hash, header.value);
    }
  }
  return {static_cast<int32_t>(hash.Finish() & 0x7fffffff)};
}

Error RequestIdReused() {
  return Error(Reason::kInvalidArgument,
               "this request_id was used before for other records, or for another partition: give "
               "every request an id of its own, and repeat a request unchanged")
      .With("outcome", "NOT_APPLIED");
}

uint64_t PartitionHashOfRequest(std::string_view request_id) {
  return Murmur2(request_id) & 0x7fffffff;
}

}  // namespace gregor
