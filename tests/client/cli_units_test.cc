#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <thread>

#include "client/cli/help.h"
#include "client/cli/histogram.h"
#include "client/cli/line_reader.h"
#include "client/cli/output.h"
#include "client/cli/producer_arguments.h"
#include "client/cli/record_format.h"
#include "client/cli/server_address.h"

namespace gregor {
namespace {

// --- lines ---

struct Pipe {
  Pipe() { CHECK_EQ(pipe(fds), 0); }
  ~Pipe() { close(fds[0]); }
  void Write(std::string_view text) const {
    CHECK_EQ(write(fds[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void End() const { close(fds[1]); }
  int fds[2];
};

std::vector<std::string> Lines(const std::string& text, bool* cut = nullptr) {
  const Pipe pipe;
  std::thread writer([&] {
    pipe.Write(text);
    pipe.End();
  });
  LineReader reader(pipe.fds[0]);
  std::vector<std::string> lines;
  while (true) {
    const auto line = reader.Next();
    CHECK(line.ok());
    if (!line->has_value()) break;
    lines.emplace_back(**line);
  }
  writer.join();
  if (cut != nullptr) *cut = reader.last_line_was_cut();
  EXPECT_EQ(reader.count(), static_cast<int64_t>(lines.size()));
  return lines;
}

using Strings = std::vector<std::string>;

TEST(LineReader, EmptyLinesCountAndBytesStayAsTheyAre) {
  EXPECT_EQ(Lines(""), Strings());
  EXPECT_EQ(Lines("\n"), Strings({""}));
  EXPECT_EQ(Lines("a\n\n\nb\n"), Strings({"a", "", "", "b"}));
  EXPECT_EQ(Lines("a\r\n\xff\xfe\n"), Strings({"a\r", "\xff\xfe"}));
  EXPECT_EQ(Lines(std::string("a\0b\n", 4)), Strings({std::string("a\0b", 3)}));
}

TEST(LineReader, ALastLineWithoutEndCounts) {
  bool cut = false;
  EXPECT_EQ(Lines("a\nb", &cut), Strings({"a", "b"}));
  EXPECT_TRUE(cut);
  EXPECT_EQ(Lines("a\nb\n", &cut), Strings({"a", "b"}));
  EXPECT_FALSE(cut);
}

TEST(LineReader, LinesMayBeLongerThanWhatIsReadAtOnce) {
  Strings lines;
  std::string text;
  for (const size_t size : {0, 1, 262143, 262144, 262145, 3000000, 5, 1000000}) {
    lines.emplace_back(size, static_cast<char>('a' + size % 26));
    text += lines.back() + "\n";
  }
  EXPECT_EQ(Lines(text), lines);
}

TEST(LineReader, ALineIsGivenAsSoonAsItIsThere) {
  const Pipe pipe;
  LineReader reader(pipe.fds[0]);
  pipe.Write("first\nsec");
  EXPECT_EQ(**reader.Next(), "first");
  pipe.Write("ond\n");
  EXPECT_EQ(**reader.Next(), "second");
  pipe.End();
  EXPECT_FALSE(reader.Next()->has_value());
}

TEST(LineReader, WhatCannotBeReadIsAnError) {
  LineReader reader(-1);
  EXPECT_FALSE(reader.Next().ok());
  const int folder = open("/", O_RDONLY);
  LineReader of_folder(folder);
  EXPECT_FALSE(of_folder.Next().ok());
  close(folder);
}

TEST(LineReader, AnInputThatBreaksOffIsNoBadUsage) {
  int terminal = -1, other_end = -1;
  ASSERT_EQ(openpty(&terminal, &other_end, nullptr, nullptr, nullptr), 0);
  ASSERT_EQ(write(other_end, "a\nb\n", 4), 4);
  close(other_end);  // reading then fails, once all was read
  LineReader reader(terminal);
  EXPECT_EQ(**reader.Next(), "a\r");
  EXPECT_EQ(**reader.Next(), "b\r");
  const auto failed = reader.Next();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(ExitCodeOf(failed.error()), kExitFailed);
  EXPECT_NE(failed.error().message.find("cannot be read behind line 2"), std::string::npos);
  close(terminal);
}

// --- formats ---

std::string Format(const std::string& text, const RecordView& record,
                   const std::string& null_value = "") {
  const auto format = RecordFormat::Parse(text, null_value);
  CHECK(format.ok()) << format.error();
  std::string out;
  format->Append("orders", PartitionIndex{3}, record, out);
  return out;
}

class RecordFormatTest : public testing::Test {
 protected:
  RecordFormatTest() {
    NewRecord record;
    record.key = "k";
    record.value = "v";
    record.headers = {{"a", "1"}, {"b", std::nullopt}};
    record.timestamp = Timestamp{1234};
    BatchBuilder builder;
    builder.Add(record);
    batch_ = builder.Build();
    reader_.emplace(*RecordReader::Open(batch_, 1 << 20));
    record_ = **reader_->Next();
    record_.offset = Offset{17};
  }
  RecordBatch batch_;
  std::optional<RecordReader> reader_;
  RecordView record_;
};

TEST_F(RecordFormatTest, TheDefaultIsTheValueAndALineEnd) {
  EXPECT_EQ(Format("", record_), "v\n");
  EXPECT_EQ(Format("raw", record_), "v");
  record_.value = std::nullopt;
  EXPECT_EQ(Format("", record_), "\n");
}

TEST_F(RecordFormatTest, ATemplateNamesFields) {
  EXPECT_EQ(
      Format("{topic}/{partition}@{offset} {timestamp}\\t{key}={value} [{headers}]\\n", record_),
      "orders/3@17 1234\tk=v [a=1,b=]\n");
  EXPECT_EQ(Format("\\{value} \\\\ {value}", record_), "{value} \\ v");
}

TEST_F(RecordFormatTest, BracesMayBeDoubled) {
  EXPECT_EQ(Format("{{\"k\": \"{key}\", \"v\": {value}}}", record_), "{\"k\": \"k\", \"v\": v}");
  EXPECT_EQ(Format("{{{value}}}{{}}}", record_), "{v}{}}");
}

TEST_F(RecordFormatTest, AnUnknownEscapeIsAnErrorThatSaysWhichThereAre) {
  for (const char* const text : {"\\x", "{value}\\d", "{value}\\"}) {
    const auto format = RecordFormat::Parse(text);
    ASSERT_FALSE(format.ok()) << text;
    EXPECT_EQ(format.error().reason, Reason::kInvalidArgument);
    EXPECT_NE(format.error().message.find("\\\\"), std::string::npos) << format.error();
  }
  EXPECT_EQ(Format("\\n\\t\\r\\0\\\\\\{\\}", record_), std::string("\n\t\r\0\\{}", 7));
}

TEST_F(RecordFormatTest, WordsAreTakenInAnyCase) {
  EXPECT_EQ(Format("JSON", record_), Format("json", record_));
  EXPECT_EQ(Format("Raw", record_), "v");
}

TEST_F(RecordFormatTest, ATemplateWithoutFieldShowsNothing) {
  for (const char* const text : {"", "json", "RAW", "{offset}", "a{{}}{key}"})
    EXPECT_TRUE(RecordFormat::Parse(text)->ShowsRecords()) << text;
  for (const char* const text : {"csv", "\\n", "{{value}}"})
    EXPECT_FALSE(RecordFormat::Parse(text)->ShowsRecords()) << text;
}

TEST(Unescape, EscapesAreThoseOfAFormat) {
  EXPECT_EQ(*Unescape("a\\tb\\\\\\n"), "a\tb\\\n");
  EXPECT_EQ(*Unescape("::"), "::");
  EXPECT_FALSE(Unescape("\\").ok());
  EXPECT_FALSE(Unescape("\\x").ok());
}

TEST_F(RecordFormatTest, NullMayBeShownAsSomethingElseThanEmpty) {
  record_.key = "";
  record_.value = std::nullopt;
  EXPECT_EQ(Format("", record_, "NULL"), "NULL\n");
  EXPECT_EQ(Format("raw", record_, "NULL"), "NULL");
  EXPECT_EQ(Format("[{key}] {value} {headers}", record_, "NULL"), "[] NULL a=1,b=NULL");
  EXPECT_TRUE(Json::parse(Format("json", record_, "NULL"))["value"].is_null());
}

TEST_F(RecordFormatTest, AnUnknownFieldIsAnErrorThatSaysWhichThereAre) {
  for (const char* const text : {"{valeu}", "{value", "{}"}) {
    const auto format = RecordFormat::Parse(text);
    ASSERT_FALSE(format.ok()) << text;
    EXPECT_EQ(format.error().reason, Reason::kInvalidArgument);
    EXPECT_NE(format.error().message.find("{timestamp}"), std::string::npos);
  }
  EXPECT_EQ(RecordFormat::Parse("a{valeu}b").error().message.find("\"{valeu}\" is no field;"), 0u);
  EXPECT_EQ(RecordFormat::Parse("a{value").error().message.find("\"{value\" lacks its };"), 0u);
}

TEST_F(RecordFormatTest, JsonTellsTextBytesAndNullApart) {
  EXPECT_EQ(Json::parse(Format("json", record_)),
            Json::parse(R"({"topic":"orders","partition":3,"offset":17,"timestamp":1234,"key":"k",
                            "value":"v","headers":[{"key":"a","value":"1"},
                                                   {"key":"b","value":null}]})"));
  record_.key = std::nullopt;
  record_.value = std::string_view("\xff\x00\x01", 3);
  record_.header_count = 0;
  record_.headers = {};
  const Json json = Json::parse(Format("json", record_));
  EXPECT_TRUE(json["key"].is_null());
  EXPECT_EQ(json["value"], Json({{"base64", "/wAB"}}));
  EXPECT_EQ(json.count("headers"), 0u);
  EXPECT_EQ(Format("json", record_).back(), '\n');
}

TEST_F(RecordFormatTest, Base64IsPadded) {
  const auto encoded = [&](std::string_view bytes) {
    record_.value = bytes;
    return Json::parse(Format("json", record_))["value"]["base64"].get<std::string>();
  };
  EXPECT_EQ(encoded("\xff"), "/w==");
  EXPECT_EQ(encoded("\xff\xff"), "//8=");
  EXPECT_EQ(encoded("\xff\xff\xff\xff"), "/////w==");
}

TEST(FromArgument, SaysWhereToBegin) {
  using Kind = FromArgument::Kind;
  const auto expect = [](const std::string& text, Kind kind, int64_t value) {
    const auto from = ParseFrom(text);
    ASSERT_TRUE(from.ok()) << from.error();
    EXPECT_EQ(from->kind, kind) << text;
    EXPECT_EQ(from->value, value) << text;
  };
  expect("beginning", Kind::kBeginning, 0);
  expect("end", Kind::kEnd, 0);
  expect("earliest", Kind::kBeginning, 0);
  expect("latest", Kind::kEnd, 0);
  expect("0", Kind::kOffset, 0);
  expect("123", Kind::kOffset, 123);
  expect("-10", Kind::kTail, 10);
  expect("-0", Kind::kTail, 0);
  expect("@1700000000000", Kind::kTime, 1700000000000);
  expect("@1970-01-02T00:00:00", Kind::kTime, 86400000);
  expect("@2026-01-31T12:00:00Z", Kind::kTime, 1769860800000);
  expect("@2026-01-31T12:00:00.250Z", Kind::kTime, 1769860800250);
  expect("@2026-01-31T12:00:00+02:00", Kind::kTime, 1769853600000);
  expect("@2026-01-31", Kind::kTime, 1769817600000);
  for (const char* const text : {"", "-", "start", "1x", "@", "@yesterday", "@2026-01-31T12:00:00X",
                                 "-9223372036854775808", "99999999999999999999"}) {
    EXPECT_FALSE(ParseFrom(text).ok()) << text;
  }
  for (const std::string text : {"@-5", "@1969-12-31"}) {
    const auto from = ParseFrom(text);
    ASSERT_FALSE(from.ok()) << text;
    EXPECT_EQ(from.error().message, "\"" + text + "\" is a time before 1970");
  }
}

TEST(ServerAddress, IsAHostAndAPort) {
  const auto expect = [](const std::string& text, const std::string& address) {
    const auto parsed = ParseServerAddresses(text);
    ASSERT_TRUE(parsed.ok()) << text << ": " << parsed.error();
    EXPECT_EQ(*parsed, address);
  };
  expect("localhost", "localhost:9094");
  expect("broker-1.example.org:19094", "broker-1.example.org:19094");
  expect("127.0.0.1:1", "127.0.0.1:1");
  expect("[::1]", "[::1]:9094");
  expect("[::1]:65535", "[::1]:65535");
  expect("[fe80::1%eth0]:9094", "[fe80::1%eth0]:9094");
  expect("a:1,b,[::1]", "a:1,b:9094,[::1]:9094");
  for (const char* const text : {"",
                                 ":9094",
                                 "localhost:",
                                 "localhost:abc",
                                 "localhost:0",
                                 "localhost:99999",
                                 "localhost:-1",
                                 "localhost:9094/",
                                 "http://localhost:9094",
                                 "a:1,",
                                 ",a:1",
                                 "a,b c",
                                 "a b:1",
                                 "::1",
                                 "::1:9094",
                                 "[::1",
                                 "[]:1",
                                 "[::1]9094",
                                 "[::1]x:9094",
                                 "local host"}) {
    const auto parsed = ParseServerAddresses(text);
    ASSERT_FALSE(parsed.ok()) << text << " as " << *parsed;
    EXPECT_EQ(parsed.error().reason, Reason::kInvalidArgument);
    EXPECT_NE(parsed.error().message.find("HOST:PORT"), std::string::npos);
  }
}

// --- numbers ---

TEST(Histogram, QuantilesAreWithinAThirtiethOfTheValues) {
  Histogram histogram;
  for (int i = 1; i <= 100000; ++i) histogram.Add(std::chrono::microseconds(i));
  for (const double fraction : {0.1, 0.5, 0.9, 0.99, 0.999}) {
    const double expected = fraction * 100000;
    const double got = static_cast<double>(histogram.Quantile(fraction).count()) / 1000;
    EXPECT_GE(got, expected * 0.999);
    EXPECT_LE(got, expected * 1.035 + 1);
  }
  EXPECT_EQ(histogram.Quantile(1), std::chrono::microseconds(100000));
  EXPECT_EQ(histogram.max(), std::chrono::microseconds(100000));
}

TEST(Histogram, EmptyOnesAreZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.Quantile(0.99), Duration(0));
  histogram.ForEachOctave([](Duration, Duration, int64_t) { FAIL(); });
}

TEST(Histogram, OctavesHoldEveryValueOnce) {
  Histogram histogram, other;
  for (const int64_t value : {0, 1, 2, 3, 31, 32, 33, 1000, 1023, 1024, 5000000})
    histogram.Add(std::chrono::microseconds(value));
  other.Add(std::chrono::hours(3), 2);
  histogram.Add(other);
  int64_t sum = 0;
  Duration last_end(0);
  histogram.ForEachOctave([&](Duration begin, Duration end, int64_t count) {
    EXPECT_EQ(begin, last_end);
    EXPECT_LT(begin, end);
    last_end = end;
    sum += count;
  });
  EXPECT_EQ(sum, 13);
  EXPECT_EQ(histogram.count(), 13);
  EXPECT_GE(last_end, std::chrono::hours(3));
}

// --- arguments and output ---

TEST(Help, TextIsWrappedAtSpacesAndExamplesAreLeftAlone) {
  EXPECT_EQ(Wrap("one two three four", 9), "one two\nthree\nfour");
  EXPECT_EQ(Wrap("a line that is long\n\n  gregor with a long example", 10),
            "a line\nthat is\nlong\n\n  gregor with a long example");
  EXPECT_EQ(Wrap("unbreakableunbreakable word", 5), "unbreakableunbreakable\nword");
  EXPECT_EQ(Wrap("", 5), "");
}

TEST(Output, PairsAreCutAtTheFirstEqualsSign) {
  const auto pairs = SplitPairs({"a=1", "b=", "c=d=e"});
  ASSERT_TRUE(pairs.ok());
  EXPECT_EQ(*pairs, (std::vector<std::pair<std::string, std::string>>{
                        {"a", "1"}, {"b", ""}, {"c", "d=e"}}));
  EXPECT_FALSE(SplitPairs({"a=1", "b"}).ok());
  EXPECT_FALSE(SplitPair("=b").ok());
}

TEST(Output, ConfigsAreGivenOnce) {
  EXPECT_TRUE(SplitConfigs({"a=1", "b=1"}).ok());
  const auto twice = SplitConfigs({"a=1", "b=1", "a=2"});
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().reason, Reason::kInvalidArgument);
  EXPECT_EQ(twice.error().message, "a is given twice");
}

TEST(Arguments, AcksAreWordsOrKafkasNumbersOrACount) {
  const auto acks = [](const std::string& text) {
    ProducerArguments arguments;
    arguments.acks = text;
    const ProducerOptions options = arguments.ToOptions("server");
    return std::pair(options.acks, options.acks_count);
  };
  EXPECT_EQ(acks("all"), std::pair(ClientAcks::kAll, 0));
  EXPECT_EQ(acks("-1"), std::pair(ClientAcks::kAll, 0));
  EXPECT_EQ(acks("leader"), std::pair(ClientAcks::kLeader, 0));
  EXPECT_EQ(acks("1"), std::pair(ClientAcks::kLeader, 0));
  EXPECT_EQ(acks("none"), std::pair(ClientAcks::kNone, 0));
  EXPECT_EQ(acks("0"), std::pair(ClientAcks::kNone, 0));
  EXPECT_EQ(acks("2"), std::pair(ClientAcks::kCount, 2));
  for (const char* const bad : {"", "-2", "most", "2.5", "99999999999", "2 "})
    EXPECT_FALSE(ParseAcks(bad).has_value()) << bad;
}

TEST(Arguments, NumbersKeepToWhatTheirVariableHolds) {
  EXPECT_EQ(Between(1, 5)("5"), "");
  EXPECT_EQ(Between(0, INT32_MAX)("99999999999"),
            "\"99999999999\" is no whole number from 0 to 2147483647");
  EXPECT_EQ(AtLeast(1)("0"), "\"0\" is no whole number of at least 1");
  EXPECT_NE(AtLeast(1)("99999999999999999999"), "");
}

TEST(Output, ListsAreTablesOrJson) {
  const Json list = {{{"name", "a"}, {"count", 5}}, {{"name", "longer"}, {"list", {1, 2}}}};
  GlobalOptions global;
  testing::internal::CaptureStdout();
  PrintList(global, list, {"name", "count", "list"});
  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            "NAME    COUNT  LIST\n"
            "a       5      -\n"
            "longer  -      1,2\n");
  global.output = "json";
  testing::internal::CaptureStdout();
  PrintList(global, list, {"name"});
  EXPECT_EQ(Json::parse(testing::internal::GetCapturedStdout()), list);
}

TEST(Output, BytesThatAreNoTextDoNotBreakJson) {
  EXPECT_TRUE(Json::accept(Dump({{"name", "\xff"}})));
}

TEST(Output, ErrorsSayWhatToDo) {
  testing::internal::CaptureStderr();
  PrintError(
      Error(Reason::kLeaderNotAvailable, "no server answers at h:1").With("unreachable", "h"));
  const std::string unreachable = testing::internal::GetCapturedStderr();
  EXPECT_NE(unreachable.find("no server answers at h:1"), std::string::npos);
  EXPECT_NE(unreachable.find("gregor server"), std::string::npos);
  EXPECT_NE(unreachable.find("GREGOR_SERVER"), std::string::npos);
  EXPECT_EQ(unreachable.find("LEADER_NOT_AVAILABLE"), std::string::npos);
  testing::internal::CaptureStderr();
  PrintError(Error(Reason::kTopicNotFound, "there is no topic \"x\""));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("gregor topic create"), std::string::npos);
  EXPECT_EQ(ExitCodeOf(Error(Reason::kInvalidArgument, "")), kExitUsage);
  EXPECT_EQ(ExitCodeOf(Error(Reason::kTopicNotFound, "")), kExitFailed);
}

TEST(ProducerArguments, BecomeOptions) {
  ProducerArguments arguments;
  EXPECT_EQ(arguments.ToOptions("h:1").batch_bytes, ProducerOptions().batch_bytes);
  EXPECT_EQ(arguments.ToOptions("h:1").acks, ClientAcks::kAll);
  EXPECT_EQ(arguments.ToOptions("h:1").server, "h:1");
  arguments = {.acks = "leader", .compression = "zstd", .batch_bytes = 1234, .linger_ms = 0.5};
  const ProducerOptions options = arguments.ToOptions("h:1");
  EXPECT_EQ(options.acks, ClientAcks::kLeader);
  EXPECT_EQ(options.compression, Codec::kZstd);
  EXPECT_EQ(options.batch_bytes, 1234u);
  EXPECT_EQ(options.linger, std::chrono::microseconds(500));
}

}  // namespace
}  // namespace gregor
