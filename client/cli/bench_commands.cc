#include <memory>

#include "base/random.h"
#include "client/admin.h"
#include "client/cli/bench.h"
#include "client/cli/help.h"

namespace gregor {
namespace {

using Run = Result<void> (*)(GlobalOptions&, const BenchArguments&);
using Arguments = std::shared_ptr<BenchArguments>;

CLI::App* Add(CLI::App& bench, GlobalOptions& global, const char* name, const char* help, Run run,
              const Arguments& arguments) {
  CLI::App* const command = bench.add_subcommand(name, help);
  command->add_flag("--json", arguments->as_json, "One JSON document on stdout, nothing else");
  OnCommand(*command, global, [&global, arguments, run] {
    arguments->as_json = arguments->as_json || global.output == "json";
    return run(global, *arguments);
  });
  return command;
}

void AddTopic(CLI::App* command, const Arguments& arguments, const char* help) {
  command->add_option("--topic", arguments->topic, help)->type_name("NAME")->capture_default_str();
}

void AddRecords(CLI::App* command, const Arguments& arguments, const char* help, int64_t records) {
  arguments->records = records;
  command->add_option("--records", arguments->records, help)->check(AtLeast(1))->type_name("N");
}

void AddRecordSize(CLI::App* command, const Arguments& arguments) {
  command->add_option("--record-size", arguments->record_size, "Bytes of a record's value")
      ->check(AtLeast(0))
      ->type_name("BYTES")
      ->capture_default_str();
}

void AddRate(CLI::App* command, const Arguments& arguments, const char* help) {
  command->add_option("--rate", arguments->rate, help)
      ->check(AtLeast(0))
      ->type_name("N")
      ->capture_default_str();
}

void AddCount(CLI::App* command, const char* name, int32_t& count, const char* help) {
  command->add_option(name, count, help)
      ->check(CLI::Range(1, 1024))
      ->type_name("N")
      ->capture_default_str();
}

void AddProduce(CLI::App& bench, GlobalOptions& global) {
  const auto arguments = std::make_shared<BenchArguments>();
  CLI::App* const command =
      Add(bench, global, "produce", "Write records, as fast as it goes or at a rate", BenchProduce,
          arguments);
  AddTopic(command, arguments, "Topic, which must exist");
  AddRecords(command, arguments, "How many (default: 1000000)", 1'000'000);
  AddRecordSize(command, arguments);
  AddRate(command, arguments, "Records a second, all clients together; 0: as fast as it goes");
  command
      ->add_option("--keys", arguments->keys,
                   "Records have one of so many keys at random, and the partition of their key; 0: "
                   "no key, and another partition with every batch")
      ->check(AtLeast(0))
      ->type_name("N")
      ->capture_default_str();
  AddCount(command, "--clients", arguments->clients, "Producers, each with its own connection");
  AddCount(command, "--concurrency", arguments->concurrency, "Threads that send, per producer");
  arguments->producer.AddOptions(*command);
  AddExamples(*command,
              {"gregor topic create bench --partitions 4 && gregor bench produce",
               "gregor bench produce --record-size 100 --records 10000000",
               "gregor bench produce --rate 20000 --records 600000 --json"},
              "The latency of a record runs from when the first record of its batch was given to "
              "the producer until the batch was acknowledged.");
}

void AddConsume(CLI::App& bench, GlobalOptions& global) {
  const auto arguments = std::make_shared<BenchArguments>();
  CLI::App* const command =
      Add(bench, global, "consume", "Read a topic from its beginning", BenchConsume, arguments);
  AddTopic(command, arguments, "Topic");
  AddRecords(command, arguments, "Stop after so many (default: at the end of the topic)", 0);
  AddCount(command, "--clients", arguments->clients,
           "Consumers, each with its own connection and share of the partitions");
  AddExamples(*command, {"gregor bench consume --topic bench"});
}

void AddLatency(CLI::App& bench, GlobalOptions& global) {
  const auto arguments = std::make_shared<BenchArguments>();
  CLI::App* const command =
      Add(bench, global, "latency", "Write one record at a time, and wait until a consumer has it",
          BenchLatency, arguments);
  AddTopic(command, arguments, "Topic, which must exist");
  AddRecords(command, arguments, "How many, all pairs together (default: 10000)", 10'000);
  AddRecordSize(command, arguments);
  AddRate(command, arguments,
          "Records a second, all pairs together; 0: the next one when this one has come");
  AddCount(command, "--concurrency", arguments->concurrency,
           "Pairs of a producer and a consumer, one after the other on the partitions");
  arguments->producer.AddOptions(*command);
  AddExamples(*command, {"gregor bench latency --records 10000"});
}

void AddAdmin(CLI::App& bench, GlobalOptions& global) {
  const auto arguments = std::make_shared<BenchArguments>();
  arguments->topic = "bench-admin";
  CLI::App* const command =
      Add(bench, global, "admin", "Create and delete topics", BenchAdmin, arguments);
  AddTopic(command, arguments, "What the names of the topics begin with");
  AddRecords(command, arguments, "How many topics (default: 1000)", 1000);
  AddCount(command, "--concurrency", arguments->concurrency, "Calls at a time");
  AddExamples(*command, {"gregor bench admin --records 1000 --concurrency 8"});
}

}  // namespace

// Creates and deletes topics of one partition.
Result<void> BenchAdmin(GlobalOptions& global, const BenchArguments& arguments) {
  // Another run's topics are none of ours.
  const std::string prefix =
      arguments.topic + "-" + std::to_string(Random::FromSystem().Below(1'000'000'000)) + "-";
  std::atomic<int64_t> next{0};
  std::vector<Histogram> histograms(static_cast<size_t>(arguments.concurrency));
  Progress progress(arguments, "calls", 2 * arguments.records);
  const Duration cpu = CpuTime();
  const MonotonicTime start = SystemClock().Now();
  RETURN_IF_ERROR(RunThreads(arguments.concurrency, [&](int32_t thread) -> Result<void> {
    const Admin admin(Channel::Connect(global.server, {.own_connection = true}));
    Histogram& histogram = histograms[static_cast<size_t>(thread)];
    for (int64_t i; (i = next.fetch_add(1)) < arguments.records;) {
      v1::CreateTopicRequest request;
      request.set_topic(prefix + std::to_string(i));
      request.set_partitions(1);
      const MonotonicTime sent = SystemClock().Now();
      RETURN_IF_ERROR(admin.CreateTopic(request));
      const MonotonicTime created = SystemClock().Now();
      RETURN_IF_ERROR(admin.DeleteTopic(request.topic(), false));
      histogram.Add(created - sent);
      histogram.Add(SystemClock().Now() - created);
      progress.Add(2);
    }
    return {};
  }));
  BenchResult result{.bench = "admin", .unit = "calls", .took = SystemClock().Now() - start};
  for (const Histogram& histogram : histograms) result.latencies.Add(histogram);
  result.count = result.latencies.count();
  Report(arguments, result, cpu);
  return {};
}

void AddBenchCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const bench = app.add_subcommand("bench", "Measure throughput and latency of a server");
  bench->require_subcommand(1);
  AddProduce(*bench, global);
  AddConsume(*bench, global);
  AddLatency(*bench, global);
  AddAdmin(*bench, global);
}

}  // namespace gregor
