#include <memory>

#include "base/random.h"
#include "client/admin.h"
#include "client/cli/bench.h"
#include "client/cli/help.h"
#include "client/router.h"
#include "gregor/v1/produce.pb.h"

namespace gregor {
namespace {

constexpr Duration kCallTimeout = std::chrono::seconds(30);
constexpr int64_t kDefaultTopics = 1000;  // of `bench admin`

using BenchRun = Result<void> (*)(GlobalOptions&, const BenchArguments&);
using Arguments = std::shared_ptr<BenchArguments>;

CLI::App* AddBench(CLI::App& bench, GlobalOptions& global, const char* name, const char* help,
                   BenchRun run, const Arguments& arguments) {
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

// Of records that are written beside what is measured.
void AddExtraRecordSize(CLI::App* command, const Arguments& arguments, const char* help) {
  command->add_option("--record-size", arguments->extra_record_size, help)
      ->check(AtLeast(0))
      ->type_name("BYTES");
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
      ->check(Between(1, 1024))
      ->type_name("N")
      ->capture_default_str();
}

void AddProduce(CLI::App& bench, GlobalOptions& global) {
  const auto arguments = std::make_shared<BenchArguments>();
  CLI::App* const command =
      AddBench(bench, global, "produce", "Write records, as fast as it goes or at a rate",
               BenchProduce, arguments);
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
  CLI::App* const command = AddBench(bench, global, "consume", "Read a topic from its beginning",
                                     BenchConsume, arguments);
  AddTopic(command, arguments, "Topic");
  AddRecords(command, arguments,
             "Stop after so many, at the end of a batch (default: at the end of the topic)", 0);
  AddExtraRecordSize(
      command, arguments,
      "Where the topic has fewer than --records (default then: 1000000), write those "
      "that are missing before, not measured, with so many bytes of value");
  AddRate(command, arguments, "Records a second, all clients together; 0: as fast as it goes");
  AddCount(command, "--clients", arguments->clients,
           "Clients, each with its own connection and share of the partitions");
  AddCount(command, "--concurrency", arguments->concurrency,
           "Consumers per client, each with its own stream and share of the client's partitions");
  AddExamples(*command, {"gregor bench consume --topic bench",
                         "gregor bench consume --record-size 1024 --records 1000000 --clients 2"});
}

void AddLatency(CLI::App& bench, GlobalOptions& global) {
  const auto arguments = std::make_shared<BenchArguments>();
  CLI::App* const command = AddBench(bench, global, "latency",
                                     "Write one record at a time, and wait until a consumer has it",
                                     BenchLatency, arguments);
  AddTopic(command, arguments, "Topic, which must exist");
  AddRecords(command, arguments, "How many, all pairs together (default: 10000)", 10'000);
  AddRecordSize(command, arguments);
  AddRate(command, arguments,
          "Records a second, all pairs together; 0: the next one when this one has come");
  AddCount(command, "--clients", arguments->clients,
           "Clients, each with a connection to write and one to read");
  AddCount(command, "--concurrency", arguments->concurrency,
           "Pairs of a sender and a consumer per client, one after the other on the partitions");
  arguments->producer.AddOptions(*command);
  AddExamples(*command, {"gregor bench latency --records 10000"});
}

void AddAdmin(CLI::App& bench, GlobalOptions& global) {
  const auto arguments = std::make_shared<BenchArguments>();
  arguments->topic = "bench-admin";
  CLI::App* const command =
      AddBench(bench, global, "admin", "Create and delete topics", BenchAdmin, arguments);
  AddTopic(command, arguments, "What the names of the topics begin with");
  AddRecords(command, arguments, "How many topics (default: 1000, or without end with --seconds)",
             0);
  command
      ->add_option("--seconds", arguments->seconds,
                   "Begin no further topic after so long; 0: as many as --records says")
      ->check(AtLeast(0))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--partitions", arguments->partitions, "Partitions of each topic")
      ->check(AtLeast(1))
      ->type_name("N")
      ->capture_default_str();
  AddExtraRecordSize(command, arguments,
                     "Write a record with so many bytes of value into each topic before it is "
                     "deleted, as one more call (default: none)");
  AddRate(command, arguments, "Calls a second, all together; 0: as fast as it goes");
  AddCount(command, "--clients", arguments->clients, "Clients, each with its own connection");
  AddCount(command, "--concurrency", arguments->concurrency, "Calls at a time, per client");
  AddExamples(*command,
              {"gregor bench admin --records 1000 --concurrency 8",
               "gregor bench admin --concurrency 64 --seconds 10 --server a:9094,b:9094,c:9094",
               "gregor bench admin --partitions 10000 --records 1"},
              "The latencies are those of single calls: a creation or a deletion.");
}

// What one thread of `bench admin` does and measures.
class AdminCalls {
 public:
  AdminCalls(std::shared_ptr<Router> router, const BenchArguments& arguments, double rate)
      : router_(std::move(router)), admin_(router_), arguments_(arguments), pace_(rate) {}

  // Creates a topic, and deletes it.
  Result<void> CreateAndDelete(const std::string& topic) {
    RETURN_IF_ERROR(Measure([&]() -> Result<void> {
      v1::CreateTopicRequest request;
      request.set_topic(topic);
      request.set_partitions(arguments_.partitions);
      RETURN_IF_ERROR(admin_.CreateTopic(request));
      return {};
    }));
    if (arguments_.extra_record_size.has_value())
      RETURN_IF_ERROR(Measure([&] { return WriteRecord(topic); }));
    return Measure([&] { return admin_.DeleteTopic(topic, false); });
  }
  void AddTo(BenchResult& result) const {
    result.latencies.Add(latencies_);
    result.behind_max = std::max(result.behind_max, pace_.behind_max());
  }

 private:
  template <typename Call>
  Result<void> Measure(const Call& call) {
    const MonotonicTime due = pace_.Wait();
    RETURN_IF_ERROR(call());
    latencies_.Add(SystemClock().Now() - due);
    return {};
  }
  Result<void> WriteRecord(const std::string& topic) {
    v1::ProduceRequest request;
    request.set_topic(topic);
    request.set_partition(0);
    request.add_records()->set_value(
        RandomText(static_cast<size_t>(*arguments_.extra_record_size)));
    const PartitionIndex first{0};
    if (!router_->LeaderOf(topic, first).has_value())
      RETURN_IF_ERROR(router_->AskForTopic(topic, kCallTimeout));
    const auto leader = router_->LeaderOf(topic, first);
    const auto channel = leader.has_value() ? router_->ChannelTo(*leader) : router_->AnyNode();
    RETURN_IF_ERROR(
        channel->Call<v1::ProduceResponse>("/gregor.v1.ProduceService/Produce", request));
    return {};
  }

  const std::shared_ptr<Router> router_;
  const Admin admin_;
  const BenchArguments& arguments_;
  Pace pace_;
  Histogram latencies_;
};

}  // namespace

Result<void> BenchAdmin(GlobalOptions& global, const BenchArguments& arguments) {
  // Another run's topics are none of ours.
  const std::string prefix =
      arguments.topic + "-" + std::to_string(Random::FromSystem().Below(1'000'000'000)) + "-";
  const int32_t threads = arguments.clients * arguments.concurrency;
  std::vector<std::shared_ptr<Router>> routers;
  for (int32_t i = 0; i < arguments.clients; ++i) {
    routers.push_back(Router::Create(global.server, {.own_connection = true}));
    // Where there are several addresses, clients begin at one after the other.
    for (int32_t skip = i; skip > 0; --skip) routers.back()->Avoid(*routers.back()->AnyNode());
  }
  const int64_t topics = arguments.records > 0   ? arguments.records
                         : arguments.seconds > 0 ? INT64_MAX
                                                 : kDefaultTopics;
  const int64_t calls_per_topic = arguments.extra_record_size.has_value() ? 3 : 2;
  std::atomic<int64_t> next{0};
  BenchResult result{.bench = "admin", .unit = "calls"};
  std::mutex result_mutex;
  Progress progress(arguments, "calls", topics == INT64_MAX ? 0 : calls_per_topic * topics);
  const Duration cpu = CpuTime();
  const MonotonicTime start = SystemClock().Now();
  const MonotonicTime end = arguments.seconds > 0 ? start + std::chrono::seconds(arguments.seconds)
                                                  : MonotonicTime::max();
  RETURN_IF_ERROR(RunThreads(threads, [&](int32_t thread) -> Result<void> {
    AdminCalls calls(routers[static_cast<size_t>(thread % arguments.clients)], arguments,
                     static_cast<double>(arguments.rate) / threads);
    for (int64_t i; SystemClock().Now() < end && (i = next.fetch_add(1)) < topics;) {
      RETURN_IF_ERROR(calls.CreateAndDelete(prefix + std::to_string(i)));
      progress.Add(calls_per_topic);
    }
    const std::lock_guard lock(result_mutex);
    calls.AddTo(result);
    return {};
  }));
  result.took = SystemClock().Now() - start;
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
