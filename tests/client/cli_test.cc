#include "client/cli/commands.h"

#include <gtest/gtest.h>
#include <re2/re2.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/crc32c.h"
#include "tests/client/fake_server.h"
#include "tests/client/run_command.h"

namespace gregor {
namespace {

using Json = nlohmann::ordered_json;

// The help of a command, with all commands below it.
void CheckHelp(CLI::App& app, const std::string& path) {
  const std::string help = app.help();
  EXPECT_NE(help.find("--help"), std::string::npos) << path;
  EXPECT_FALSE(app.get_description().empty()) << path;
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  if (commands.empty() && path.find("completion") == std::string::npos) {
    EXPECT_NE(help.find("Example"), std::string::npos) << path;
    EXPECT_NE(help.find("gregor " + path.substr(7)), std::string::npos) << path;
  }
  for (const CLI::Option* const option : app.get_options())
    EXPECT_FALSE(option->get_description().empty()) << path << " " << option->get_name();
  for (CLI::App* const command : commands) CheckHelp(*command, path + " " + command->get_name());
}

TEST(Cli, EveryCommandHasHelpWithExamples) {
  CLI::App app{"test", "gregor"};
  GlobalOptions global;
  AddClientCommands(app, global);
  CheckHelp(app, "gregor");
}

class CliTest : public testing::Test {
 protected:
  CliTest() { server_.CreateTopic("orders", 1); }
  // With the server's address before the command.
  Ran Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--server", server_.address()});
    return RunCommand(std::move(arguments));
  }
  ~CliTest() override { std::remove(path_.c_str()); }
  std::string File(const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    return path_;
  }
  FakeServer server_;
  const std::string path_ =
      testing::TempDir() + "/cli_test_input_" + std::to_string(getpid());  // of this run alone
};

TEST_F(CliTest, ProducedLinesAreConsumedAsTheyWere) {
  const std::string text = "first\n\n\r\n\xff\xfe\nlast line\n";
  for (const std::string codec : {"none", "gzip", "snappy", "lz4", "zstd"}) {
    server_.CreateTopic(codec, 1);
    const Ran produced = Run({"produce", codec, "--file", File(text), "--compression", codec});
    EXPECT_EQ(produced.code, 0) << produced.err;
    EXPECT_EQ(produced.out, "");
    EXPECT_NE(produced.err.find("5 records written to " + codec), std::string::npos);
    const Ran consumed = Run({"consume", codec, "--exit-at-end"});
    EXPECT_EQ(consumed.code, 0) << consumed.err;
    EXPECT_EQ(consumed.out, text);
    EXPECT_EQ(consumed.err, "");
  }
}

TEST_F(CliTest, ALastLineWithoutEndIsARecordAndSaid) {
  const Ran produced = Run({"produce", "orders", "--file", File("a\nb")});
  EXPECT_NE(produced.err.find("2 records written"), std::string::npos);
  EXPECT_NE(produced.err.find("no line end"), std::string::npos);
  EXPECT_EQ(Run({"consume", "orders", "--exit-at-end"}).out, "a\nb\n");
  EXPECT_EQ(Run({"consume", "orders", "--exit-at-end", "--format", "raw"}).out, "ab");
}

TEST_F(CliTest, KeysHeadersAndNullsAreWritten) {
  const Ran produced = Run({"produce", "orders", "--file", File("a:1\nb:NULL\n"), "--key-separator",
                            ":", "--null-value", "NULL", "--header", "h=x=y", "--header", "i=2"});
  EXPECT_EQ(produced.code, 0) << produced.err;
  const Ran consumed = Run({"consume", "orders", "--exit-at-end", "--format", "json"});
  std::istringstream lines(consumed.out);
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const Json first = Json::parse(line);
  EXPECT_EQ(first["key"], "a");
  EXPECT_EQ(first["value"], "1");
  EXPECT_EQ(first["headers"],
            Json::parse(R"([{"key":"h","value":"x=y"},{"key":"i","value":"2"}])"));
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_TRUE(Json::parse(line)["value"].is_null());
}

TEST_F(CliTest, ALineWithoutSeparatorIsNamedAndWhatWasBeforeIsWritten) {
  const Ran produced = Run(
      {"produce", "orders", "--file", File("a:1\nno separator\nb:2\n"), "--key-separator", ":"});
  EXPECT_EQ(produced.code, kExitFailed);  // not bad usage: a line is written already
  EXPECT_NE(produced.err.find("line 2 has no \":\""), std::string::npos) << produced.err;
  EXPECT_EQ(server_.Values("orders", 0), std::vector<std::string>{"1"});
}

TEST_F(CliTest, ARefusedRecordFailsTheCommand) {
  server_.on_frame = [](const FrameSeen&) -> FrameAction {
    return {FrameAction::Kind::kRefuse, MakeStatus(Reason::kInvalidRecord, "not this one",
                                                   v1::WriteOutcome::OUTCOME_NOT_APPLIED)};
  };
  const Ran produced = Run({"produce", "orders", "--file", File("a\n")});
  EXPECT_EQ(produced.code, kExitFailed);
  EXPECT_NE(produced.err.find("0 records written to orders, 1 not"), std::string::npos);
  EXPECT_NE(produced.err.find("line 1: not this one [INVALID_RECORD]"), std::string::npos);
}

TEST_F(CliTest, ARecordThatTheServerRefusesIsNamedByItsLine) {
  server_.CreateTopic("many", 3);
  std::map<std::string, std::string> details;
  std::atomic<int> first_count{0};  // lines of the first batch of "many": how many, time decides
  server_.on_frame = [&](const FrameSeen& frame) -> FrameAction {
    if (frame.topic == "orders" && frame.number == 1) return {};
    if (frame.topic == "many") {
      int none = 0;
      first_count.compare_exchange_strong(none, frame.header.record_count);
      details = {{"record_index", std::to_string(frame.header.record_count - 1)}};
    }
    return {FrameAction::Kind::kRefuse, MakeStatus(Reason::kInvalidRecord, "not like this",
                                                   v1::WriteOutcome::OUTCOME_NOT_APPLIED, details)};
  };
  const std::string lines = "a:1\nb:2\nc:3\nd:4\n";
  // Batches of two lines; the second one is refused.
  Ran ran = Run({"produce", "orders", "--batch-bytes", "80", "--file", File(lines)});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_TRUE(RE2::PartialMatch(ran.err, "lines? [2-4]( to [2-4])?: not like this")) << ran.err;
  // The last record of a batch is the one.
  ran = Run({"produce", "many", "--partition", "0", "--linger-ms", "500", "--file", File(lines)});
  const std::string named = "line " + std::to_string(first_count.load()) + ": not like this";
  EXPECT_NE(ran.err.find(named), std::string::npos) << ran.err;
}

TEST_F(CliTest, ProduceGivesUpAfterTheDeliveryTimeout) {
  server_.on_frame = [](const FrameSeen&) -> FrameAction {
    return {FrameAction::Kind::kRefuse,
            MakeStatus(Reason::kLeaderNotAvailable, "the partition is offline",
                       v1::WriteOutcome::OUTCOME_NOT_APPLIED)};
  };
  const Ran ran = Run({"produce", "orders", "--delivery-timeout", "0.3", "--file", File("a\n")});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_NE(ran.err.find("line 1: not acknowledged within the delivery timeout"), std::string::npos)
      << ran.err;
  EXPECT_NE(ran.err.find("the partition is offline [LEADER_NOT_AVAILABLE]"), std::string::npos)
      << ran.err;
}

TEST_F(CliTest, ProduceWaitsForNothingMoreOnceARecordHasFailed) {
  server_.on_frame = [](const FrameSeen& frame) -> FrameAction {
    if (frame.number > 1) return {FrameAction::Kind::kSwallow, {}};
    return {FrameAction::Kind::kRefuse, MakeStatus(Reason::kInvalidRecord, "not this one",
                                                   v1::WriteOutcome::OUTCOME_NOT_APPLIED)};
  };
  const MonotonicTime begin = SystemClock().Now();
  const Ran ran = Run({"produce", "orders", "--batch-bytes", "80", "--delivery-timeout", "60",
                       "--file", File("a\nb\nc\nd\ne\nf\ng\nh\n")});
  EXPECT_LT(SystemClock().Now() - begin, std::chrono::seconds(30));
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_NE(ran.err.find("0 records written to orders, "), std::string::npos) << ran.err;
  EXPECT_TRUE(RE2::PartialMatch(ran.err, "lines? 1( to [2-8])?: not this one")) << ran.err;
}

TEST_F(CliTest, ABatchThatCannotBeReadIsNamedOrLeftOut) {
  const auto append = [&](const std::string& value, bool damaged) {
    BatchBuilder builder({.codec = Codec::kGzip});
    NewRecord record;
    record.value = value;
    builder.Add(record);
    std::string bytes = builder.Build().bytes.ToString();
    if (damaged) bytes[kBatchHeaderBytes] ^= 0x55;  // what gzip begins with
    BatchHeader header = PeekHeader(Slice::Own(bytes), bytes.size()).value();
    auto* const data = reinterpret_cast<uint8_t*>(bytes.data());
    header.crc = Crc32c(0, {data + kBatchCrcStart, bytes.size() - kBatchCrcStart});
    header.Encode(data);
    server_.Append("orders", 0, {header, Slice::Own(std::move(bytes))});
  };
  append("first", false);
  append("second", true);
  append("third", false);
  const Ran stopped = Run({"consume", "orders", "--exit-at-end"});
  EXPECT_EQ(stopped.code, kExitFailed);
  EXPECT_EQ(stopped.out, "first\n");
  EXPECT_NE(stopped.err.find("partition 0 of topic \"orders\", batch at offset 1: "),
            std::string::npos)
      << stopped.err;
  EXPECT_NE(stopped.err.find("--partition 0 --from 2"), std::string::npos) << stopped.err;
  EXPECT_NE(stopped.err.find("--skip-corrupt"), std::string::npos) << stopped.err;
  EXPECT_EQ(Run({"consume", "orders", "--exit-at-end", "--partition", "0", "--from", "2"}).out,
            "third\n");
  const Ran skipped = Run({"consume", "orders", "--exit-at-end", "--skip-corrupt"});
  EXPECT_EQ(skipped.code, kExitOk);
  EXPECT_EQ(skipped.out, "first\nthird\n");
  EXPECT_NE(skipped.err.find("left out: partition 0 of topic \"orders\", batch at offset 1: "),
            std::string::npos)
      << skipped.err;
}

TEST_F(CliTest, ARecordThatIsTooLargeIsNamedByItsLine) {
  server_.CreateTopic("small", 1, 100);
  const Ran produced = Run({"produce", "small", "--file", File("a\n" + std::string(200, 'x'))});
  EXPECT_EQ(produced.code, kExitFailed);
  EXPECT_NE(produced.err.find("line 2: "), std::string::npos) << produced.err;
  EXPECT_NE(produced.err.find("max.message.bytes"), std::string::npos);
}

TEST_F(CliTest, ARecordThatIsTooLargeAlsoCompressedIsNamedByItsLine) {
  server_.CreateTopic("small", 1, 100);
  std::string noise;
  uint32_t state = 1;
  for (int i = 0; i < 1000; ++i)
    noise += static_cast<char>('0' + ((state = state * 1664525 + 1013904223) >> 26));
  const Ran produced =
      Run({"produce", "small", "--compression", "zstd", "--file", File(noise + "\n")});
  EXPECT_EQ(produced.code, kExitFailed);
  EXPECT_NE(produced.err.find("line 1: a batch has "), std::string::npos) << produced.err;
  EXPECT_NE(produced.err.find("[BATCH_TOO_LARGE]"), std::string::npos) << produced.err;
}

TEST_F(CliTest, ATopicThatDoesNotExistIsSaidAlsoWithoutALine) {
  const Ran produced = Run({"produce", "missing", "--file", File("")});
  EXPECT_EQ(produced.code, kExitFailed);
  EXPECT_NE(produced.err.find("[TOPIC_NOT_FOUND]"), std::string::npos) << produced.err;
  EXPECT_EQ(produced.out, "");
  EXPECT_EQ(Run({"produce", "orders", "--file", File("")}).code, kExitOk);
}

TEST_F(CliTest, ProduceTellsItsTotalsAsJson) {
  const Ran produced = Run({"--output", "json", "produce", "orders", "--file", File("a\nb\n")});
  EXPECT_EQ(Json::parse(produced.out), Json::parse(R"({"topic":"orders","records":2,"failed":0})"));
  EXPECT_EQ(Run({"produce", "orders", "--quiet", "--file", File("a\n")}).err, "");
}

TEST_F(CliTest, ConsumeBeginsWhereItIsTold) {
  Run({"produce", "orders", "--file", File("0\n1\n2\n3\n4\n")});
  const auto consumed = [&](const std::string& from) {
    return Run({"consume", "orders", "--exit-at-end", "--from", from}).out;
  };
  EXPECT_EQ(consumed("beginning"), "0\n1\n2\n3\n4\n");
  EXPECT_EQ(consumed("3"), "3\n4\n");
  EXPECT_EQ(consumed("-2"), "3\n4\n");
  EXPECT_EQ(consumed("end"), "");
  EXPECT_EQ(consumed("@0"), "0\n1\n2\n3\n4\n");
  EXPECT_EQ(consumed("@2999-01-01T00:00:00Z"), "");
  EXPECT_EQ(Run({"consume", "orders", "--from", "1", "--max-records", "2"}).out, "1\n2\n");
  EXPECT_EQ(Run({"consume", "orders", "--max-records", "0"}).out, "");
}

TEST_F(CliTest, ConsumeReadsAllPartitionsOrOne) {
  server_.CreateTopic("many", 3);
  for (const std::string partition : {"0", "1", "2"})
    Run({"produce", "many", "--partition", partition, "--file", File(partition + "\n")});
  std::string all = Run({"consume", "many", "--exit-at-end", "--format", "{value}"}).out;
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, "012");
  EXPECT_EQ(Run({"consume", "many", "--exit-at-end", "--partition", "1"}).out, "1\n");
  const Ran missing = Run({"consume", "many", "--partition", "3"});
  EXPECT_EQ(missing.code, kExitFailed);
  EXPECT_NE(missing.err.find("it has 0 to 2"), std::string::npos);
}

TEST_F(CliTest, OffsetsAreATableOrJson) {
  Run({"produce", "orders", "--file", File("a\nb\n")});
  server_.SetLogStart("orders", 0, 1);
  EXPECT_EQ(Run({"offsets", "orders"}).out,
            "PARTITION  START  END  RECORDS\n"
            "0          1      2    1\n");
  EXPECT_EQ(Json::parse(Run({"offsets", "orders", "--output", "json"}).out),
            Json::parse(R"([{"partition":0,"start":1,"end":2,"records":1}])"));
}

TEST_F(CliTest, OffsetsOfPartitionsWithoutALeaderAreCountedOnly) {
  server_.CreateTopic("split", 3);
  server_.LeaveWithoutLeader("split", 1);
  const Ran ran = Run({"offsets", "split", "--output", "json"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(Json::parse(ran.out), Json::parse(R"([{"partition":0,"start":0,"end":0,"records":0},
                            {"partition":2,"start":0,"end":0,"records":0}])"));
  EXPECT_NE(ran.err.find("1 of 3 partitions are not shown"), std::string::npos) << ran.err;
}

TEST_F(CliTest, ListsGoThroughAllPages) {
  for (const std::string name : {"a", "b", "c"}) server_.CreateTopic("x" + name, 1);
  const Json list = Json::parse(Run({"--output", "json", "topic", "list", "--prefix", "x"}).out);
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[2]["topic"], "xc");
}

TEST_F(CliTest, AnUnknownTopicFailsWithAHint) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"consume", "missing"},
                                                  {"offsets", "missing"},
                                                  {"produce", "missing", "--file", File("a\n")},
                                                  {"bench", "produce", "--topic", "missing"}}) {
    const Ran ran = Run(command);
    EXPECT_EQ(ran.code, kExitFailed) << command[0];
    EXPECT_NE(ran.err.find("TOPIC_NOT_FOUND"), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find("gregor topic create"), std::string::npos) << ran.err;
  }
}

TEST_F(CliTest, WithoutServerEveryCommandSaysWhereAndWhatToDo) {
  server_.Stop();
  for (const std::vector<std::string>& command : {std::vector<std::string>{"topic", "list"},
                                                  {"consume", "orders"},
                                                  {"offsets", "orders"},
                                                  {"produce", "orders", "--file", File("a\n")},
                                                  {"cluster", "describe"},
                                                  {"bench", "admin", "--records", "1"}}) {
    const Ran ran = Run(command);
    EXPECT_EQ(ran.code, kExitFailed) << command[0];
    EXPECT_NE(ran.err.find(server_.address()), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find("gregor server"), std::string::npos) << ran.err;
    EXPECT_EQ(ran.out, "");
  }
}

TEST_F(CliTest, BadArgumentsExitWithTwo) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{},
        {"nonsense"},
        {"topic"},
        {"topic", "create"},
        {"topic", "create", "x", "--partitions", "0"},
        {"topic", "create", "x", "--config", "a"},
        {"topic", "create", "x", "--config", "a=1", "--config", "a=2"},
        {"topic", "alter", "x", "--config", "a=1", "--config", "a=2"},
        {"config", "set", "--topic", "x", "a=1", "a=2"},
        {"produce", "orders", "--acks", "-2"},
        {"produce", "orders", "--partition", "99999999999"},
        {"consume", "orders", "--partition", "99999999999"},
        {"consume", "orders", "--format", "\\x"},
        {"produce", "orders", "--compression", "zip"},
        {"consume", "orders", "--from", "never"},
        {"consume", "orders", "--format", "{nothing}"},
        {"topic", "alter", "orders"},
        {"config", "get", "retention.ms"},
        {"--output", "xml", "topic", "list"},
        {"bench", "produce", "--records", "0"},
        {"produce", "orders", "--file", "/no/such/file"}}) {
    const Ran ran = Run(command);
    EXPECT_EQ(ran.code, kExitUsage) << (command.empty() ? "" : command[0]) << ran.err;
    EXPECT_NE(ran.err, "");
  }
}

TEST_F(CliTest, BenchPrintsOneJsonDocumentOrAHistogram) {
  const Ran json = Run({"bench", "produce", "--topic", "orders", "--records", "1000", "--clients",
                        "2", "--concurrency", "2", "--record-size", "10", "--json"});
  EXPECT_EQ(json.code, 0) << json.err;
  const Json document = Json::parse(json.out);
  EXPECT_EQ(document["records"], 1000);
  EXPECT_EQ(document["bytes"], 10000);
  EXPECT_GT(document["latency_ms"]["p99"], 0);
  EXPECT_EQ(json.err, "");
  EXPECT_EQ(server_.Values("orders", 0).size(), 1000u);

  const Ran consume = Run({"bench", "consume", "--topic", "orders", "--json"});
  EXPECT_EQ(Json::parse(consume.out)["bytes"], 10000);
  EXPECT_EQ(Json::parse(Run({"bench", "consume", "--topic", "orders", "--records", "10", "--output",
                             "json"})
                            .out)["bench"],
            "consume");

  const Ran latency =
      Run({"bench", "latency", "--topic", "orders", "--records", "20", "--concurrency", "2"});
  EXPECT_EQ(latency.code, 0) << latency.err;
  EXPECT_NE(latency.out.find("20 records in"), std::string::npos) << latency.out;
  EXPECT_NE(latency.out.find("p99.9"), std::string::npos);
  EXPECT_NE(latency.out.find("#"), std::string::npos);
}

TEST_F(CliTest, AddPartitionsTakesTheTotalByTwoNames) {
  for (const std::string option : {"--total", "--partitions"}) {
    // The server of this test cannot do it: the command line is right.
    const Ran ran = Run({"topic", "add-partitions", "orders", option, "4"});
    EXPECT_EQ(ran.code, kExitFailed) << ran.err;
    EXPECT_EQ(Run({"topic", "add-partitions", "orders", option, "0"}).code, kExitUsage);
  }
  EXPECT_EQ(Run({"topic", "add-partitions", "orders"}).code, kExitUsage);
  const std::string script = RunCommand({"completion", "bash"}).out;
  EXPECT_NE(script.find("\"gregor topic add-partitions --partitions\")"), std::string::npos);
}

TEST(Cli, EveryBenchTakesTheSameOptionsAndSaysWhatTheyMean) {
  for (const std::string bench : {"produce", "consume", "latency", "admin"}) {
    const Ran help = RunCommand({"bench", bench, "--help"});
    for (const std::string option : {"--topic", "--record-size", "--records", "--rate", "--clients",
                                     "--concurrency", "--json"}) {
      EXPECT_TRUE(RE2::PartialMatch(help.out, "\n +" + option + "[ ,][^\n]*[a-z]{3}"))
          << bench << " " << option << "\n"
          << help.out;
    }
  }
}

TEST_F(CliTest, BenchConsumeFillsATopicThatHasTooLittle) {
  server_.CreateTopic("four", 4);
  const std::vector<std::string> command = {"bench",         "consume", "--topic",   "four",
                                            "--record-size", "10",      "--records", "1000",
                                            "--clients",     "2",       "--json"};
  for (int i = 0; i < 2; ++i) {  // the second time everything is there
    const Ran ran = Run(command);
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(ran.err, "");
    EXPECT_EQ(Json::parse(ran.out)["records"], 1000);
    EXPECT_EQ(Json::parse(ran.out)["bytes"], 10000);
    size_t stored = 0;
    for (int32_t partition = 0; partition < 4; ++partition)
      stored += server_.Values("four", partition).size();
    EXPECT_EQ(stored, 1000u);
  }
  // Without that nothing is written, also where there is nothing to read.
  server_.CreateTopic("empty", 1);
  EXPECT_EQ(Json::parse(Run({"bench", "consume", "--topic", "empty", "--json"}).out)["records"], 0);
}

TEST_F(CliTest, BenchConsumersShareTheirClientsConnection) {
  server_.CreateTopic("four", 4);
  for (const std::string partition : {"0", "1", "2", "3"})
    Run({"produce", "four", "--partition", partition, "--file", File("a\nb\n")});
  const Ran ran = Run(
      {"bench", "consume", "--topic", "four", "--clients", "2", "--concurrency", "3", "--json"});
  EXPECT_EQ(Json::parse(ran.out)["records"], 8) << ran.err;
}

TEST_F(CliTest, BenchLatencyTakesClientsAndARate) {
  const Ran ran = Run({"bench", "latency", "--topic", "orders", "--records", "20", "--clients", "2",
                       "--concurrency", "2", "--rate", "400", "--record-size", "3", "--json"});
  const Json document = Json::parse(ran.out);
  EXPECT_EQ(document["records"], 20) << ran.err;
  EXPECT_EQ(document["bytes"], 60);
  EXPECT_GE(document["behind_max_ms"].get<double>(), 0);
}

TEST_F(CliTest, BenchConsumeKeepsToARate) {
  const Ran ran = Run({"bench", "consume", "--topic", "orders", "--record-size", "1", "--records",
                       "100", "--rate", "500", "--json"});
  EXPECT_LE(Json::parse(ran.out)["records_per_second"].get<double>(), 510) << ran.err;
}

TEST_F(CliTest, BenchKeepsToARate) {
  const Ran ran = Run({"bench", "produce", "--topic", "orders", "--records", "100", "--rate", "500",
                       "--record-size", "1", "--json"});
  const Json document = Json::parse(ran.out);
  EXPECT_LE(document["records_per_second"].get<double>(), 510);
  EXPECT_GE(document["behind_max_ms"].get<double>(), 0);
}

TEST_F(CliTest, ABadNumberIsSaidInTheOptionsWords) {
  const Ran partition = Run({"consume", "orders", "--partition", "99999999999"});
  EXPECT_NE(partition.err.find("no whole number from 0 to 2147483647"), std::string::npos)
      << partition.err;
  const Ran before = Run({"topic", "delete-records", "orders", "--before", "soon"});
  EXPECT_NE(before.err.find("--before: \"soon\" is no whole number of at least -1"),
            std::string::npos)
      << before.err;
  EXPECT_EQ(before.err.find("convert"), std::string::npos);
}

TEST_F(CliTest, CompletionAsksTheServerForNames) {
  server_.CreateTopic("others", 1);
  server_.CreateTopic("users", 1);
  EXPECT_EQ(Run({"completion", "words", "topics"}).out, "orders\nothers\nusers\n");
  EXPECT_EQ(Run({"completion", "words", "topics", "o"}).out, "orders\nothers\n");
  EXPECT_EQ(Run({"completion", "words", "topic-configs"}).out, "max.message.bytes\n");
  EXPECT_EQ(Run({"completion", "words", "topic-assignments"}).out, "max.message.bytes=\n");
  server_.Stop();
  const Ran alone = Run({"completion", "words", "topics"});
  EXPECT_EQ(alone.code, kExitOk);
  EXPECT_EQ(alone.out + alone.err, "");
}

TEST(Cli, TheServerMayBeGivenByTheEnvironment) {
  setenv("GREGOR_SERVER", "127.0.0.1:1", 1);
  const Ran ran = RunCommand({"topic", "list"});
  unsetenv("GREGOR_SERVER");
  EXPECT_NE(ran.err.find("127.0.0.1:1 "), std::string::npos) << ran.err;
}

TEST_F(CliTest, ABadAddressInTheEnvironmentIsLookedAtOnlyWhereItIsNeeded) {
  setenv("GREGOR_SERVER", "http://a:1", 1);
  const Ran ran = RunCommand({"topic", "list"});
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_NE(ran.err.find("GREGOR_SERVER in the environment: \"http://a:1\" is no HOST:PORT"),
            std::string::npos)
      << ran.err;
  EXPECT_EQ(ran.err.find("--server"), std::string::npos) << ran.err;
  EXPECT_EQ(Run({"topic", "list"}).code, kExitOk);  // --server wins
  EXPECT_EQ(RunCommand({"help", "topic"}).code, kExitOk);
  EXPECT_EQ(RunCommand({"completion", "bash"}).code, kExitOk);
  unsetenv("GREGOR_SERVER");
}

TEST(Cli, AnOptionThatThereIsNotIsNoCommand) {
  const Ran option = RunCommand({"--foo"});
  EXPECT_EQ(option.code, kExitUsage);
  EXPECT_NE(option.err.find("`gregor` does not take: --foo"), std::string::npos) << option.err;
  EXPECT_EQ(option.err.find("no command"), std::string::npos) << option.err;
  const Ran near = RunCommand({"topic", "--outptu"});
  EXPECT_NE(near.err.find("`gregor topic` does not take: --outptu"), std::string::npos) << near.err;
  EXPECT_NE(RunCommand({"foo", "--foo"}).err.find("no command `gregor foo`"), std::string::npos);
}

TEST(Cli, HiddenCommandsAreNotNamed) {
  const std::string error = RunCommand({"completion", "tcsh"}).err;
  EXPECT_NE(error.find("Commands of `gregor completion`: bash zsh fish\n"), std::string::npos)
      << error;
}

TEST(Cli, BadArgumentsAreRefusedBeforeAServerIsAsked) {
  for (const std::vector<std::string>& bad :
       {std::vector<std::string>{"--header", "foo"}, std::vector<std::string>{"--file", "/"}}) {
    std::vector<std::string> arguments = {"--server", "127.0.0.1:1", "produce", "orders"};
    arguments.insert(arguments.end(), bad.begin(), bad.end());
    const Ran ran = RunCommand(arguments);
    EXPECT_EQ(ran.code, kExitUsage) << ran.err;
    EXPECT_NE(ran.err.find(bad.back()), std::string::npos) << ran.err;
  }
}

TEST(Cli, CompletionKnowsCommandsAndOptions) {
  const Ran bash = RunCommand({"completion", "bash"});
  EXPECT_EQ(bash.code, 0);
  EXPECT_NE(bash.out.find("\"gregor topic create\") echo "), std::string::npos);
  EXPECT_NE(bash.out.find("--replication-factor"), std::string::npos);
  EXPECT_NE(bash.out.find("\"gregor consume --from\") echo \"beginning end\""), std::string::npos);
  EXPECT_NE(bash.out.find("\"gregor\"*\" --output\") echo \"table json\""), std::string::npos)
      << bash.out;
  EXPECT_NE(RunCommand({"completion", "zsh"}).out.find("bashcompinit"), std::string::npos);
  const std::string fish = RunCommand({"completion", "fish"}).out;
  EXPECT_NE(fish.find("case 'gregor topic create'\n"), std::string::npos);
  EXPECT_NE(fish.find("case 'gregor* --output'\n            echo 'table json'"), std::string::npos);
}

}  // namespace
}  // namespace gregor
