#include "client/cli/record_format.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "base/time_text.h"

namespace gregor {
namespace {

using Json = nlohmann::ordered_json;

std::string Base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j)
      word = word << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j)
      text += i + j > bytes.size() ? '=' : kDigits[word >> (18 - 6 * j) & 63];
  }
  return text;
}

// Text as it is; bytes that are no UTF-8 as an object, so that the two are told apart.
Json Shown(const std::optional<std::string_view>& bytes) {
  if (!bytes.has_value()) return nullptr;
  try {
    Json text = std::string(*bytes);
    (void)text.dump();
    return text;
  } catch (const Json::exception&) {
    return {{"base64", Base64(*bytes)}};
  }
}

void AppendJson(const std::string& topic, PartitionIndex partition, const RecordView& record,
                std::string& out) {
  Json json = {{"topic", topic},
               {"partition", partition.value},
               {"offset", record.offset.value},
               {"timestamp", record.timestamp.value},
               {"key", Shown(record.key)},
               {"value", Shown(record.value)}};
  if (record.header_count > 0) {
    Json headers = Json::array();
    for (const RecordHeader& header : DecodeHeaders(record)) {
      headers.push_back({{"key", Shown(header.key)}, {"value", Shown(header.value)}});
    }
    json["headers"] = headers;
  }
  out += json.dump();
  out += '\n';
}

Error Bad(const std::string& message) { return Error(Reason::kInvalidArgument, message); }

// What \c stands for.
Result<char> Escaped(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case '0':
      return '\0';
    case '\\':
    case '{':
    case '}':
      return c;
    default:
      return Bad(std::string("\"\\") + c +
                 "\" is no escape; there are \\n \\t \\r \\0 \\\\ \\{ \\}");
  }
}

Error EndsWithEscape() { return Bad("it ends with a single \\; \\\\ stands for one"); }

}  // namespace

Result<std::string> Unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      plain += text[i];
      continue;
    }
    if (i + 1 == text.size()) return EndsWithEscape();
    ASSIGN_OR_RETURN(const char escaped, Escaped(text[++i]));
    plain += escaped;
  }
  return plain;
}

bool ParseWholeNumber(std::string_view text, int64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

Result<RecordFormat> RecordFormat::Parse(const std::string& text, std::string null_value) {
  RecordFormat format;
  format.null_value_ = std::move(null_value);
  std::string word = text;
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (word == "json") {
    format.json_ = true;
  } else if (text.empty()) {
    format.parts_ = {Field::kValue, std::string("\n")};
  } else if (word == "raw") {
    format.parts_ = {Field::kValue};
  } else {
    ASSIGN_OR_RETURN(format.parts_, ParseTemplate(text));
  }
  return format;
}

Result<std::vector<RecordFormat::Part>> RecordFormat::ParseTemplate(const std::string& text) {
  static const std::map<std::string, Field, std::less<>> kFields = {
      {"topic", Field::kTopic},    {"partition", Field::kPartition},
      {"offset", Field::kOffset},  {"timestamp", Field::kTimestamp},
      {"key", Field::kKey},        {"value", Field::kValue},
      {"headers", Field::kHeaders}};
  std::vector<Part> parts;
  std::string literal;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = std::string_view(text).substr(i);
    if (rest.starts_with("{{") || rest.starts_with("}}")) {
      literal += text[i++];
    } else if (text[i] == '\\') {
      if (rest.size() == 1) return EndsWithEscape();
      ASSIGN_OR_RETURN(const char escaped, Escaped(text[++i]));
      literal += escaped;
    } else if (text[i] == '{') {
      const size_t end = text.find('}', i);
      const bool is_closed = end != std::string::npos;
      const std::string shown = text.substr(i, is_closed ? end + 1 - i : end);
      const auto field = kFields.find(is_closed ? shown.substr(1, shown.size() - 2) : "");
      if (field == kFields.end()) {
        return Bad("\"" + shown + "\" " + (is_closed ? "is no field" : "lacks its }") +
                   "; there are {topic} {partition} {offset} {timestamp} {key} {value} {headers}, "
                   "and {{ stands for a brace");
      }
      if (!literal.empty()) parts.push_back(std::exchange(literal, {}));
      parts.push_back(field->second);
      i = end;
    } else {
      literal += text[i];
    }
  }
  if (!literal.empty()) parts.push_back(literal);
  return parts;
}

bool RecordFormat::ShowsRecords() const {
  return json_ || std::any_of(parts_.begin(), parts_.end(),
                              [](const Part& part) { return std::holds_alternative<Field>(part); });
}

void RecordFormat::AppendField(Field field, const std::string& topic, PartitionIndex partition,
                               const RecordView& record, std::string& out) const {
  switch (field) {
    case Field::kTopic:
      out += topic;
      return;
    case Field::kPartition:
      out += std::to_string(partition.value);
      return;
    case Field::kOffset:
      out += std::to_string(record.offset.value);
      return;
    case Field::kTimestamp:
      out += std::to_string(record.timestamp.value);
      return;
    case Field::kKey:
      out += record.key.value_or(null_value_);
      return;
    case Field::kValue:
      out += record.value.value_or(null_value_);
      return;
    case Field::kHeaders:
      bool first = true;
      for (const RecordHeader& header : DecodeHeaders(record)) {
        if (!std::exchange(first, false)) out += ',';
        out.append(header.key).append("=").append(header.value.value_or(null_value_));
      }
      return;
  }
}

void RecordFormat::Append(const std::string& topic, PartitionIndex partition,
                          const RecordView& record, std::string& out) const {
  if (json_) return AppendJson(topic, partition, record, out);
  for (const Part& part : parts_) {
    if (const auto* const literal = std::get_if<std::string>(&part)) {
      out += *literal;
    } else {
      AppendField(std::get<Field>(part), topic, partition, record, out);
    }
  }
}

Result<FromArgument> ParseFrom(const std::string& text) {
  if (text == "beginning" || text == "earliest")
    return FromArgument{FromArgument::Kind::kBeginning, 0};
  if (text == "end" || text == "latest") return FromArgument{FromArgument::Kind::kEnd, 0};
  int64_t value = 0;
  if (text.starts_with("@")) {
    const std::string time = text.substr(1);
    bool is_time = ParseWholeNumber(time, &value);
    if (!is_time) {
      const auto parsed = ParseTime(time);
      is_time = parsed.has_value();
      if (is_time) value = parsed->value;
    }
    if (is_time && value < 0) return Bad("\"" + text + "\" is a time before 1970");
    if (is_time) return FromArgument{FromArgument::Kind::kTime, value};
  } else if (ParseWholeNumber(text, &value) && value > INT64_MIN) {
    // -0 is no offset: no record before the end.
    return text.starts_with("-") ? FromArgument{FromArgument::Kind::kTail, -value}
                                 : FromArgument{FromArgument::Kind::kOffset, value};
  }
  return Bad(
      "\"" + text +
      "\" is none of beginning, end, an offset, -N (N records before the end), @MILLISECONDS and "
      "@2026-01-31T12:00:00Z");
}

}  // namespace gregor
