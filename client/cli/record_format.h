#ifndef GREGOR_CLIENT_CLI_RECORD_FORMAT_H_
#define GREGOR_CLIENT_CLI_RECORD_FORMAT_H_

#include <string>
#include <variant>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"

namespace gregor {

// How `gregor consume` prints a record. Thread: its owner's.
class RecordFormat {
 public:
  // "json", "raw" (the value alone), both in any case, or a template: text with {topic} {partition}
  // {offset} {timestamp} {key} {value} {headers}, with \n \t \r \0 \\ \{ \}, and with {{ and }}
  // for braces; empty: the value and a line end. `null_value` stands for keys and values that are
  // null, save in JSON. Fails with kInvalidArgument on an unknown field or escape.
  static Result<RecordFormat> Parse(const std::string& text, std::string null_value = "");

  // Whether it shows anything of a record; a template without field does not.
  bool ShowsRecords() const;
  // Appends the record to `out`.
  void Append(const std::string& topic, PartitionIndex partition, const RecordView& record,
              std::string& out) const;

 private:
  enum class Field { kTopic, kPartition, kOffset, kTimestamp, kKey, kValue, kHeaders };
  using Part = std::variant<std::string, Field>;
  static Result<std::vector<Part>> ParseTemplate(const std::string& text);
  void AppendField(Field field, const std::string& topic, PartitionIndex partition,
                   const RecordView& record, std::string& out) const;

  bool json_ = false;
  std::string null_value_;
  std::vector<Part> parts_;
};

// "beginning" or "earliest", "end" or "latest", an offset, -N, @MILLISECONDS, @2026-01-31 or
// @2026-01-31T12:00:00, with or without fraction and zone (UTC without).
struct FromArgument {
  enum class Kind { kBeginning, kEnd, kOffset, kTail, kTime };
  Kind kind = Kind::kEnd;
  int64_t value = 0;
};
// Fails with kInvalidArgument.
Result<FromArgument> ParseFrom(const std::string& text);

// `text` with what its \n \t \r \0 \\ \{ \} stand for. Fails with kInvalidArgument on other
// escapes.
Result<std::string> Unescape(const std::string& text);

// All of `text` as a whole number.
bool ParseWholeNumber(std::string_view text, int64_t* value);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_RECORD_FORMAT_H_
