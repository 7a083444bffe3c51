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
  // "json", "raw" (the value alone), or a template: text with {topic} {partition} {offset}
  // {timestamp} {key} {value} {headers} and \n \t \\ \{; empty: the value and a line end. Fails
  // with kInvalidArgument on an unknown field.
  static Result<RecordFormat> Parse(const std::string& text);

  // Appends the record to `out`.
  void Append(const std::string& topic, PartitionIndex partition, const RecordView& record,
              std::string& out) const;

 private:
  enum class Field { kTopic, kPartition, kOffset, kTimestamp, kKey, kValue, kHeaders };
  using Part = std::variant<std::string, Field>;
  static void AppendField(Field field, const std::string& topic, PartitionIndex partition,
                          const RecordView& record, std::string& out);

  bool json_ = false;
  std::vector<Part> parts_;
};

// "beginning", "end", an offset, -N, @MILLISECONDS, @2026-01-31 or @2026-01-31T12:00:00, with or
// without fraction and zone (UTC without).
struct FromArgument {
  enum class Kind { kBeginning, kEnd, kOffset, kTail, kTime };
  Kind kind = Kind::kEnd;
  int64_t value = 0;
};
// Fails with kInvalidArgument.
Result<FromArgument> ParseFrom(const std::string& text);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_RECORD_FORMAT_H_
