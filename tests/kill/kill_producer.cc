// A producer of the kill test (kill_rounds.py): the C++ client, idempotent, many batches in flight.
// Writes until its run file goes away, and notes each delivery as a line "PARTITION BASE VALUE...".
#include <glog/logging.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <deque>
#include <fstream>
#include <map>
#include <mutex>

#include "base/random.h"
#include "client/producer.h"

namespace gregor {
namespace {

struct Options {
  std::string server, topic, name, acks_file, run_file;
  int32_t partitions = 0;
};

// Values on their way, by partition, in the order in which they were sent.
class Notes {
 public:
  explicit Notes(const std::string& path) : file_(path, std::ios::app) { PCHECK(file_.good()); }

  void Sent(int32_t partition, std::string value) {
    const std::lock_guard lock(mutex_);
    waiting_[partition].push_back(std::move(value));
  }
  void Delivered(const Delivery& delivery) {
    CHECK(delivery.error == nullptr) << *delivery.error;
    std::string line =
        std::to_string(delivery.partition.value) + " " + std::to_string(delivery.base_offset.value);
    {
      const std::lock_guard lock(mutex_);
      auto& waiting = waiting_[delivery.partition.value];
      CHECK_GE(waiting.size(), static_cast<size_t>(delivery.record_count));
      for (int32_t i = 0; i < delivery.record_count; ++i) {
        line += " " + waiting.front();
        waiting.pop_front();
      }
    }
    file_ << line << std::endl;
  }

 private:
  std::mutex mutex_;
  std::map<int32_t, std::deque<std::string>> waiting_;
  std::ofstream file_;  // of the producer's thread
};

bool IsOver(const Options& options) { return access(options.run_file.c_str(), F_OK) != 0; }

// The node may be killed while it is asked, too.
std::unique_ptr<Producer> Connect(const Options& options, const ProducerOptions& producer_options,
                                  Notes& notes) {
  while (!IsOver(options)) {
    auto producer = Producer::Create(
        producer_options, [&notes](const Delivery& delivery) { notes.Delivered(delivery); });
    if (producer.ok()) return *std::move(producer);
    CHECK(producer.error().reason == Reason::kLeaderNotAvailable) << producer.error();
    poll(nullptr, 0, 10);
  }
  return nullptr;
}

void Run(const Options& options) {
  Notes notes(options.acks_file);
  ProducerOptions producer_options;
  producer_options.server = options.server;
  producer_options.batch_bytes = 2000;      // many batches
  producer_options.memory_bytes = 200'000;  // the node's pace is the producer's
  producer_options.delivery_timeout = std::chrono::minutes(5);
  const auto producer = Connect(options, producer_options, notes);
  if (producer == nullptr) return;
  Random random(std::hash<std::string>()(options.name));
  for (int64_t number = 0; !IsOver(options); ++number) {
    const auto partition =
        static_cast<int32_t>(random.Below(static_cast<uint64_t>(options.partitions)));
    const std::string value = options.name + ":" + std::to_string(number);
    notes.Sent(partition, value);
    NewRecord record;
    record.value = value;
    const auto sent = producer->Send(options.topic, PartitionIndex{partition}, record);
    CHECK(sent.ok()) << sent.error();
    // A pace at which the checks of many rounds stay quick.
    if (number % 20 == 19) poll(nullptr, 0, 1);
  }
  producer->Flush();
}

}  // namespace
}  // namespace gregor

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  gregor::Options options;
  CLI::App app{"Writes to a node that is killed now and then"};
  app.add_option("--server", options.server)->required();
  app.add_option("--topic", options.topic)->required();
  app.add_option("--name", options.name)->required();
  app.add_option("--acks-file", options.acks_file)->required();
  app.add_option("--run-file", options.run_file)->required();
  app.add_option("--partitions", options.partitions)->required()->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  gregor::Run(options);
  return 0;
}
