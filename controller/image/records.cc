#include "controller/image/records.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iterator>

namespace gregor {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Prints messages by their descriptors.
class Printer {
 public:
  explicit Printer(bool as_json) : as_json_(as_json) {}

  std::string Print(const Message& message) const {
    std::vector<const FieldDescriptor*> fields;
    message.GetReflection()->ListFields(message, &fields);
    std::string text = "{";
    for (const FieldDescriptor* field : fields) {
      if (text.size() > 1) text += as_json_ ? "," : ", ";
      text += as_json_ ? QuoteJson(field->name()) + ":" : field->name() + ": ";
      text += field->is_repeated() ? PrintList(message, *field) : PrintValue(message, *field, -1);
    }
    return text + "}";
  }

  std::vector<std::pair<std::string, std::string>> Fields(const Message& message,
                                                          bool with_defaults) const {
    const auto& descriptor = *message.GetDescriptor();
    const auto& reflection = *message.GetReflection();
    std::vector<std::pair<std::string, std::string>> fields;
    for (int i = 0; i < descriptor.field_count(); ++i) {
      const FieldDescriptor& field = *descriptor.field(i);
      if (field.is_repeated()) {
        if (!with_defaults && reflection.FieldSize(message, &field) == 0) continue;
        fields.emplace_back(field.name(), PrintList(message, field));
        continue;
      }
      // What is zero is not "there", where there is no presence.
      const bool may_default = with_defaults && !field.has_presence();
      if (reflection.HasField(message, &field) || may_default)
        fields.emplace_back(field.name(), PrintValue(message, field, -1));
    }
    return fields;
  }

 private:
  std::string PrintList(const Message& message, const FieldDescriptor& field) const {
    std::string text = "[";
    const int size = message.GetReflection()->FieldSize(message, &field);
    for (int i = 0; i < size; ++i) {
      if (i > 0) text += as_json_ ? "," : ", ";
      text += PrintValue(message, field, i);
    }
    return text + "]";
  }

  // `at` -1: of a field that is not repeated.
  std::string PrintValue(const Message& message, const FieldDescriptor& field, int at) const {
    const auto& reflection = *message.GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Print(at < 0 ? reflection.GetMessage(message, &field)
                            : reflection.GetRepeatedMessage(message, &field, at));
      case FieldDescriptor::CPPTYPE_STRING: {
        const std::string value = at < 0 ? reflection.GetString(message, &field)
                                         : reflection.GetRepeatedString(message, &field, at);
        return QuoteJson(field.type() == FieldDescriptor::TYPE_BYTES ? PrintBytes(field, value)
                                                                     : value);
      }
      case FieldDescriptor::CPPTYPE_INT32:
        return std::to_string(at < 0 ? reflection.GetInt32(message, &field)
                                     : reflection.GetRepeatedInt32(message, &field, at));
      case FieldDescriptor::CPPTYPE_INT64:
        return std::to_string(reflection.GetInt64(message, &field));
      case FieldDescriptor::CPPTYPE_UINT64:
        if (field.full_name() == "gregor.internal.v1.StateHashRecord.hash")
          return QuoteJson(StateHashText(reflection.GetUInt64(message, &field)));
        return std::to_string(reflection.GetUInt64(message, &field));
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return PrintDouble(reflection.GetDouble(message, &field));
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int value = reflection.GetEnumValue(message, &field);
        const auto* const known = field.enum_type()->FindValueByNumber(value);
        return QuoteJson(known == nullptr ? std::to_string(value) : known->name());
      }
      case FieldDescriptor::CPPTYPE_BOOL:
        return reflection.GetBool(message, &field) ? "true" : "false";
      default:
        return QuoteJson("?");
    }
  }

  // The shortest text that is this number again.
  static std::string PrintDouble(double value) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, value);
    return {text, end.ptr};
  }

  static std::string PrintBytes(const FieldDescriptor& field, const std::string& bytes) {
    for (const char* secret : {"request_id_key", "salt", "stored_key", "server_key"}) {
      if (field.name() == secret) return "<secret>";
    }
    DirectoryId id;
    return ReadId(bytes, &id) ? id.ToString() : "<" + std::to_string(bytes.size()) + " bytes>";
  }

  const bool as_json_;
};

}  // namespace

namespace {

// Whether a message, or one within it, has fields that this version does not know. Written out for
// what there are many of: reflection would take longer than the parsing.
template <typename T>
bool HasOwnUnknownFields(const T& message) {
  return !T::GetReflection()->GetUnknownFields(message).empty();
}
bool HasUnknownFields(const pb::PartitionsRecord& record) {
  return HasOwnUnknownFields(record) ||
         std::any_of(record.partitions().begin(), record.partitions().end(),
                     HasOwnUnknownFields<pb::PartitionsRecord::Partition>);
}
bool HasUnknownFields(const pb::PartitionChangeRecord& record) {
  return HasOwnUnknownFields(record) || HasOwnUnknownFields(record.isr()) ||
         HasOwnUnknownFields(record.eligible()) || HasOwnUnknownFields(record.adding()) ||
         HasOwnUnknownFields(record.removing());
}
bool HasUnknownFields(const Message& message) {
  const auto& reflection = *message.GetReflection();
  if (!reflection.GetUnknownFields(message).empty()) return true;
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const int size = field->is_repeated() ? reflection.FieldSize(message, field) : -1;
    if (size < 0 && HasUnknownFields(reflection.GetMessage(message, field))) return true;
    for (int i = 0; i < size; ++i) {
      if (HasUnknownFields(reflection.GetRepeatedMessage(message, field, i))) return true;
    }
  }
  return false;
}
bool IsKnown(const pb::MetadataRecord& record) {
  switch (record.record_case()) {
    case pb::MetadataRecord::RECORD_NOT_SET:
      return false;
    case pb::MetadataRecord::kPartitions:
      return !HasOwnUnknownFields(record) && !HasUnknownFields(record.partitions());
    case pb::MetadataRecord::kPartitionChange:
      return !HasOwnUnknownFields(record) && !HasUnknownFields(record.partition_change());
    default:
      return !HasUnknownFields(record);
  }
}

}  // namespace

int RecordTypeOf(std::string_view record) {
  constexpr uint32_t kWireTypeBits = 3;
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const uint8_t*>(record.data()),
                                               static_cast<int>(record.size()));
  return static_cast<int>(input.ReadTag() >> kWireTypeBits);
}

Result<pb::MetadataRecord> ParseRecord(std::string_view bytes) {
  RecordParser parser;
  RETURN_IF_ERROR(parser.Parse(bytes));
  return std::move(parser.record_);
}

Result<const pb::MetadataRecord*> RecordParser::Parse(std::string_view bytes) {
  constexpr size_t kBytesMax = 1u << 30;
  Clear(RecordTypeOf(bytes));
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()),
                                               static_cast<int>(std::min(bytes.size(), kBytesMax)));
  if (bytes.size() > kBytesMax || !record_.MergeFromCodedStream(&input) ||
      !input.ConsumedEntireMessage()) {
    return Error(Reason::kStorageError, "not a metadata record: its bytes cannot be decoded");
  }
  // What is written in another way than ours does not come out as it went in.
  if (IsKnown(record_) && record_.ByteSizeLong() == bytes.size()) {
    written_.resize(bytes.size());
    record_.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(written_.data()));
    if (written_ == bytes) return &record_;
  }
  return Error(Reason::kStorageError,
               "a metadata record (type " + std::to_string(RecordTypeOf(bytes)) +
                   ") that this version does not know wholly: a newer version wrote it, which must "
                   "be used");
}

// What is in a oneof would be freed with the record, so it is cleared in its place.
void RecordParser::Clear(int type) {
  if (record_.record_case() != type || type == pb::MetadataRecord::RECORD_NOT_SET)
    return record_.Clear();
  const auto& reflection = *pb::MetadataRecord::GetReflection();
  const auto* const field = pb::MetadataRecord::descriptor()->FindFieldByNumber(type);
  reflection.MutableMessage(&record_, field)->Clear();
  reflection.MutableUnknownFields(&record_)->Clear();
}

int32_t FeatureLevelOf(const pb::MetadataRecord& record) {
  // The numbers of record types rise: with each level begin some more.
  struct Level {
    int first_number;
    int32_t level;
  };
  constexpr Level kLevels[] = {{1, 1}, {14, 2}};
  static_assert(kLevels[std::size(kLevels) - 1].level == kFeatureLevel);
  CHECK(record.record_case() != pb::MetadataRecord::RECORD_NOT_SET);
  int32_t level = 0;
  for (const Level& each : kLevels) {
    if (record.record_case() >= each.first_number) level = each.level;
  }
  return level;
}

std::string RecordTypeName(const pb::MetadataRecord& record) {
  const FieldDescriptor* const field =
      pb::MetadataRecord::descriptor()->FindFieldByNumber(record.record_case());
  if (field == nullptr) return "unknown";
  std::string name = field->name();
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

std::string SerializeRecord(const pb::MetadataRecord& record) {
  CHECK(record.record_case() != pb::MetadataRecord::RECORD_NOT_SET);
  return record.SerializeAsString();
}

std::string DescribeRecord(const pb::MetadataRecord& record, bool as_json) {
  return Printer(as_json).Print(record);
}

std::string StateHashText(uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

std::vector<std::pair<std::string, std::string>> DescribeFields(const Message& message,
                                                                bool as_json, bool with_defaults) {
  return Printer(as_json).Fields(message, with_defaults);
}

std::string QuoteJson(std::string_view text) {
  std::string quoted = "\"";
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') {
      quoted += {'\\', letter};
    } else if (byte < ' ' || byte == 127) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      quoted += escaped;
    } else {
      quoted += letter;
    }
  }
  return quoted + "\"";
}

}  // namespace gregor
