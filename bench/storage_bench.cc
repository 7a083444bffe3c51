// Links: gregor_storage
// What the log layer costs on this machine's disk: ./dev bench storage. Works in a folder of its
// own in GREGOR_BENCH_DIR (default: the system's temporary folder), which should be on the disk
// that is asked about. Figures that decided something: docs/adr/0003.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <thread>

#include "base/random.h"
#include "storage/log.h"

namespace gregor {
namespace {

// A folder that goes with it.
class Folder {
 public:
  Folder() {
    const char* parent = std::getenv("GREGOR_BENCH_DIR");
    const std::filesystem::path in =
        parent != nullptr ? parent : std::filesystem::temp_directory_path();
    std::string path = (in / "storage-bench-XXXXXX").string();
    CHECK(mkdtemp(path.data()) != nullptr) << path;
    path_ = path;
  }
  ~Folder() { CHECK(RemoveTree(*NewPosixFileSystem(1), path_).ok()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// ---- ways to sync many files

enum Way { kEach, kThreads4, kThreads16, kWriteback, kUring, kWhole, kDefault };
constexpr const char* kWayNames[] = {"each",
                                     "4 threads",
                                     "16 threads",
                                     "writeback first, 4 threads",
                                     "io_uring",
                                     "syncfs",
                                     "what the file system picks"};

// As many fdatasync() calls at a time as there are files.
class Uring {
 public:
  Uring() {
    io_uring_params params = {};
    fd_ = static_cast<int>(syscall(SYS_io_uring_setup, kEntries, &params));
    if (fd_ < 0) return;
    const size_t ring_bytes =
        std::max(params.sq_off.array + params.sq_entries * sizeof(uint32_t),
                 params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe));
    ring_ = static_cast<char*>(
        mmap(nullptr, ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, IORING_OFF_SQ_RING));
    entries_ =
        static_cast<io_uring_sqe*>(mmap(nullptr, params.sq_entries * sizeof(io_uring_sqe),
                                        PROT_READ | PROT_WRITE, MAP_SHARED, fd_, IORING_OFF_SQES));
    params_ = params;
  }
  ~Uring() {
    if (fd_ >= 0) close(fd_);
  }
  bool works() const { return fd_ >= 0; }
  void Sync(const std::vector<int>& files) {
    for (size_t at = 0; at < files.size(); at += kEntries) {
      const size_t count = std::min<size_t>(kEntries, files.size() - at);
      std::atomic_ref<uint32_t> tail(Word(params_.sq_off.tail));
      const uint32_t mask = Word(params_.sq_off.ring_mask);
      for (size_t i = 0; i < count; ++i) {
        const uint32_t slot = (tail.load() + static_cast<uint32_t>(i)) & mask;
        entries_[slot] = {};
        entries_[slot].opcode = IORING_OP_FSYNC;
        entries_[slot].fd = files[at + i];
        entries_[slot].fsync_flags = IORING_FSYNC_DATASYNC;
        reinterpret_cast<uint32_t*>(ring_ + params_.sq_off.array)[slot] = slot;
      }
      tail.store(tail.load() + static_cast<uint32_t>(count));
      CHECK_EQ(syscall(SYS_io_uring_enter, fd_, count, count, IORING_ENTER_GETEVENTS, nullptr, 0),
               static_cast<long>(count));
      std::atomic_ref<uint32_t> head(Word(params_.cq_off.head));
      const uint32_t end = std::atomic_ref<uint32_t>(Word(params_.cq_off.tail)).load();
      for (uint32_t i = head.load(); i != end; ++i) {
        const auto* done = reinterpret_cast<io_uring_cqe*>(ring_ + params_.cq_off.cqes);
        CHECK_EQ(done[i & Word(params_.cq_off.ring_mask)].res, 0);
      }
      head.store(end);
    }
  }

 private:
  static constexpr unsigned kEntries = 128;
  uint32_t& Word(uint32_t offset) { return *reinterpret_cast<uint32_t*>(ring_ + offset); }

  int fd_ = -1;
  char* ring_ = nullptr;
  io_uring_sqe* entries_ = nullptr;
  io_uring_params params_ = {};
};

void SyncByThreads(const std::vector<int>& files, int threads) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < files.size(); i = next++) CHECK_EQ(fdatasync(files[i]), 0);
  };
  std::vector<std::thread> helpers;
  for (int i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
}

// So many files get 256 KiB in all, and are synced. `room`: they were extended in advance.
void SyncFiles(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  const auto way = static_cast<Way>(state.range(1));
  const bool room = state.range(2) != 0;
  constexpr size_t kBytes = 256 << 10;
  constexpr uint64_t kRoom = 64 << 20;
  const Folder folder;
  const auto files = NewPosixFileSystem(4);
  std::vector<FilePtr> opened;
  std::vector<int> descriptors;
  for (size_t i = 0; i < count; ++i) {
    const std::string path = folder.path() + "/" + std::to_string(i);
    opened.push_back(*files->Open(path, OpenMode::kCreate));
    if (room) CHECK(opened.back()->Allocate(kRoom / count).ok());
    descriptors.push_back(open(path.c_str(), O_RDWR | O_CLOEXEC));
  }
  CHECK(files->SyncAll(opened, {}).ok());
  Uring uring;
  if (way == kUring && !uring.works()) return state.SkipWithError("no io_uring here");
  const std::string data(kBytes / count, 'x');
  uint64_t position = 0;
  for (auto _ : state) {
    for (const FilePtr& file : opened) CHECK(file->Write(position, Slice::Copy(data)).ok());
    position += data.size();
    if (way == kWriteback) {
      for (const int file : descriptors) sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
    if (way == kEach) SyncByThreads(descriptors, 1);
    if (way == kThreads4 || way == kWriteback) SyncByThreads(descriptors, 4);
    if (way == kThreads16) SyncByThreads(descriptors, 16);
    if (way == kUring) uring.Sync(descriptors);
    if (way == kWhole) CHECK_EQ(syncfs(descriptors[0]), 0);
    if (way == kDefault) CHECK(files->SyncAll(opened, {}).ok());
  }
  for (const int file : descriptors) close(file);
  state.SetLabel(kWayNames[way]);
  state.SetBytesProcessed(static_cast<int64_t>(kBytes) * state.iterations());
}
BENCHMARK(SyncFiles)
    ->ArgNames({"files", "way", "room"})
    ->ArgsProduct({{2, 4, 8, 16, 64, 256, 1000},
                   benchmark::CreateDenseRange(kEach, kDefault, 1),
                   {1}})
    ->ArgsProduct({{4, 64}, {kThreads4, kWhole}, {0}})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

// ---- logs

// A log directory with the threads of a node, and logs in it.
class Node {
 public:
  explicit Node(const std::string& folder) {
    options_.path = folder + "/data";
    Random random(1);
    options_.cluster_id = random.NewUuid<ClusterId>();
    options_.node_id = NodeId{1};
    topic_ = random.NewUuid<TopicId>();
  }
  ~Node() { Kill(); }

  void Start() {
    disk_ = NewThreadDisk(*files_, {});
    loop_ = NewThreadLoop("loop");
    auto directory = LogDirectory::Open(*disk_, *loop_, options_);
    CHECK(directory.ok()) << directory.error();
    directory_ = *std::move(directory);
  }
  void OpenLogs(int count) {
    std::vector<std::future<std::unique_ptr<Log>>> opening;
    for (int i = 0; i < count; ++i) {
      auto opened = std::make_shared<std::promise<std::unique_ptr<Log>>>();
      opening.push_back(opened->get_future());
      loop_->Post("open", [this, i, opened] {
        Log::Options options;
        options.id = {topic_, PartitionIndex{i}};
        options.on_progress = [this, i] { OnProgress(static_cast<size_t>(i)); };
        Log::Open(*directory_, *loop_, std::move(options),
                  [opened](Result<std::unique_ptr<Log>> log) {
                    CHECK(log.ok()) << log.error();
                    opened->set_value(*std::move(log));
                  });
      });
    }
    for (auto& each : opening) logs_.push_back(each.get());
  }

  // Appends batches of 16 records of 1 KiB to all logs in turn, while no more than `window` bytes
  // are not synced, until `bytes` are.
  void Append(uint64_t bytes, uint64_t window) {
    std::promise<void> done;
    OnLoop([&] {
      left_ = bytes;
      window_ = window;
      finished_ = &done;
      Continue();
    });
    done.get_future().wait();
  }
  void Close() {
    std::atomic<size_t> closed{0};
    std::promise<void> all;
    OnLoop([&] {
      for (const auto& log : logs_) {
        log->Close([&](Result<void> result) {
          CHECK(result.ok()) << result.error();
          if (++closed == logs_.size()) all.set_value();
        });
      }
    });
    all.get_future().wait();
    std::promise<void> clean;
    disk_->Submit(Lane::kSync, "close", [&] {
      CHECK(directory_->CloseCleanly().ok());
      clean.set_value();
    });
    clean.get_future().wait();
    Kill();
  }
  // Leaves everything as it is.
  void Kill() {
    if (loop_ == nullptr) return;
    OnLoop([&] { logs_.clear(); });
    disk_.reset();
    directory_.reset();
    loop_.reset();
    synced_.clear();
    outstanding_ = 0;
  }

 private:
  void OnLoop(std::function<void()> work) {
    std::promise<void> done;
    loop_->Post("bench", [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  void Continue() {
    synced_.resize(logs_.size());
    while (left_ > 0 && outstanding_ < window_) {
      Log& log = *logs_[next_];
      next_ = (next_ + 1) % logs_.size();
      RecordBatch batch = batch_;
      batch.bytes = Slice::Copy(batch_bytes_);
      StampBatch(batch, log.ends().log_end, LeaderEpoch{1}, TimestampType::kCreateTime,
                 Timestamp{0});
      outstanding_ += batch_bytes_.size();
      left_ -= std::min<uint64_t>(left_, batch_bytes_.size());
      CHECK(log.Append(std::move(batch)).ok());
    }
    if (outstanding_ == 0 && left_ == 0) std::exchange(finished_, nullptr)->set_value();
  }
  void OnProgress(size_t index) {
    if (index >= synced_.size()) return;
    const Offset synced = logs_[index]->ends().synced_end;
    const int64_t records = synced - std::exchange(synced_[index], synced);
    if (records == 0) return;
    outstanding_ -= static_cast<uint64_t>(records) / 16 * batch_bytes_.size();
    if (finished_ != nullptr) Continue();
  }
  static RecordBatch MakeBatch() {
    BatchBuilder builder;
    Random random(2);
    for (int i = 0; i < 16; ++i) {
      std::string value;
      while (value.size() < 1024) value += static_cast<char>(random.Below(256));
      NewRecord record;
      record.value = value;
      record.timestamp = Timestamp{1};
      builder.Add(record);
    }
    return builder.Build();
  }

  const std::unique_ptr<FileSystem> files_ = NewPosixFileSystem(4);
  LogDirectory::Options options_;
  TopicId topic_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<LogDirectory> directory_;
  std::unique_ptr<Disk> disk_;
  std::vector<std::unique_ptr<Log>> logs_;

  const RecordBatch batch_ = MakeBatch();
  const std::string batch_bytes_ = batch_.bytes.ToString();
  std::vector<Offset> synced_;
  size_t next_ = 0;
  uint64_t left_ = 0, window_ = 0, outstanding_ = 0;
  std::promise<void>* finished_ = nullptr;
};

void AppendSynced(benchmark::State& state) {
  const Folder folder;
  Node node(folder.path());
  node.Start();
  node.OpenLogs(static_cast<int>(state.range(0)));
  constexpr uint64_t kBytes = 256 << 20;
  node.Append(kBytes / 4, 16 << 20);
  for (auto _ : state) node.Append(kBytes, 16 << 20);
  state.SetBytesProcessed(static_cast<int64_t>(kBytes) * state.iterations());
}
BENCHMARK(AppendSynced)
    ->ArgName("logs")
    ->Arg(1)
    ->Arg(4)
    ->Arg(64)
    ->Arg(1000)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(3);

// The yardstick: one file, writes of a mebibyte, each synced.
void AppendPlain(benchmark::State& state) {
  const Folder folder;
  constexpr uint64_t kBytes = 256 << 20;
  const int file = open((folder.path() + "/file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  const std::string data(1 << 20, 'x');
  off_t position = 0;
  for (auto _ : state) {
    for (uint64_t written = 0; written < kBytes; written += data.size()) {
      CHECK_EQ(pwrite(file, data.data(), data.size(), position), static_cast<ssize_t>(data.size()));
      CHECK_EQ(fdatasync(file), 0);
      position += static_cast<off_t>(data.size());
    }
  }
  close(file);
  state.SetBytesProcessed(static_cast<int64_t>(kBytes) * state.iterations());
}
BENCHMARK(AppendPlain)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(3);

// So many logs with a record each are opened: after a clean stop, or after a kill.
void OpenIdleLogs(benchmark::State& state) {
  const auto count = static_cast<int>(state.range(0));
  const bool clean = state.range(1) != 0;
  const Folder folder;
  Node node(folder.path());
  node.Start();
  node.OpenLogs(count);
  node.Append(static_cast<uint64_t>(count) * 16 << 10, 64 << 20);
  clean ? node.Close() : node.Kill();
  double heap_bytes = 0;
  for (auto _ : state) {
    node.Start();
    const size_t before = mallinfo2().uordblks;
    node.OpenLogs(count);
    state.PauseTiming();
    heap_bytes = static_cast<double>(mallinfo2().uordblks - before);
    clean ? node.Close() : node.Kill();
    state.ResumeTiming();
  }
  state.counters["heap_bytes_per_log"] = heap_bytes / count;
}
BENCHMARK(OpenIdleLogs)
    ->ArgNames({"logs", "clean"})
    ->ArgsProduct({{1000, 20000}, {0, 1}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(2);

// A log of so many mebibytes, all of them synced, is opened after a kill.
void OpenLargeLog(benchmark::State& state) {
  const Folder folder;
  Node node(folder.path());
  node.Start();
  node.OpenLogs(1);
  node.Append(static_cast<uint64_t>(state.range(0)) << 20, 16 << 20);
  node.Kill();
  for (auto _ : state) {
    node.Start();
    node.OpenLogs(1);
    state.PauseTiming();
    node.Kill();
    state.ResumeTiming();
  }
}
BENCHMARK(OpenLargeLog)
    ->ArgName("MiB")
    ->Arg(1024)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(3);

}  // namespace
}  // namespace gregor
