#include "tests/sim/processes.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include "base/check.h"

namespace gregor {
namespace {

bool ReadAll(int file, void* out, size_t size) {
  auto* at = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t count = read(file, at, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

bool WriteAll(int file, const void* data, size_t size) {
  const auto* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t count = write(file, at, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    CHECK_EQ(pipe(ends.data()), 0);
    from = ends[0];
    to = ends[1];
  }
  int from = -1;
  int to = -1;
};

// A process that is told what to do, and says what came of it.
class Worker {
 public:
  explicit Worker(const std::function<std::string(uint64_t)>& work) {
    const Pipe orders, answers;
    pid_ = fork();
    CHECK_GE(pid_, 0);
    if (pid_ == 0) {
      close(orders.to);
      close(answers.from);
      Serve(work, orders.from, answers.to);
      _exit(0);
    }
    close(orders.from);
    close(answers.to);
    orders_ = orders.to;
    answers_ = answers.from;
  }
  ~Worker() {
    close(orders_);
    close(answers_);
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  int answers() const { return answers_; }
  void Begin(uint64_t index) {
    index_ = index;
    // Where it is gone already the answer says so.
    (void)WriteAll(orders_, &index, sizeof index);
  }
  // Waits for what comes of what was begun.
  Outcome Take() const {
    Outcome outcome{index_, {}, true};
    uint64_t size = 0;
    if (!ReadAll(answers_, &size, sizeof size)) return outcome;
    outcome.text.resize(size);
    outcome.died = !ReadAll(answers_, outcome.text.data(), size);
    return outcome;
  }

 private:
  static void Serve(const std::function<std::string(uint64_t)>& work, int orders, int answers) {
    for (uint64_t index = 0; ReadAll(orders, &index, sizeof index);) {
      const std::string text = work(index);
      const uint64_t size = text.size();
      if (!WriteAll(answers, &size, sizeof size) || !WriteAll(answers, text.data(), size)) return;
    }
  }

  pid_t pid_ = -1;
  int orders_ = -1;
  int answers_ = -1;
  uint64_t index_ = 0;
};

}  // namespace

void RunInProcesses(int process_count, uint64_t count,
                    const std::function<std::string(uint64_t)>& work,
                    const std::function<bool(const Outcome&)>& take) {
  signal(SIGPIPE, SIG_IGN);  // a worker may be gone before it is told
  std::vector<std::unique_ptr<Worker>> workers;
  uint64_t next = 0;
  while (next < count && workers.size() < static_cast<size_t>(process_count)) {
    workers.push_back(std::make_unique<Worker>(work));
    workers.back()->Begin(next++);
  }
  while (!workers.empty()) {
    std::vector<pollfd> waiting;
    for (const auto& worker : workers) waiting.push_back({worker->answers(), POLLIN, 0});
    if (poll(waiting.data(), waiting.size(), -1) < 0) {
      CHECK_EQ(errno, EINTR);
      continue;
    }
    const auto ready = std::find_if(waiting.begin(), waiting.end(),
                                    [](const pollfd& each) { return each.revents != 0; });
    const auto place = static_cast<size_t>(ready - waiting.begin());
    const Outcome outcome = workers[place]->Take();
    if (!take(outcome)) return;
    if (outcome.died && next < count) workers[place] = std::make_unique<Worker>(work);
    if (next < count) {
      workers[place]->Begin(next++);
    } else {
      workers.erase(workers.begin() + static_cast<ptrdiff_t>(place));
    }
  }
}

Said ListenTo(const std::function<void(const std::function<void(const std::string&)>& say)>& work) {
  const Pipe ends;
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    close(ends.from);
    close(STDERR_FILENO);  // where a check says at length why it ends the process
    work([&](const std::string& text) { (void)WriteAll(ends.to, text.data(), text.size()); });
    _exit(0);
  }
  close(ends.to);
  Said said;
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = read(ends.from, buffer.data(), buffer.size())) > 0;)
    said.text.append(buffer.data(), static_cast<size_t>(count));
  close(ends.from);
  int status = 0;
  waitpid(child, &status, 0);
  said.died = WIFSIGNALED(status);
  return said;
}

int ProcessorCount() {
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return 1;
  return std::max(1, CPU_COUNT(&usable));
}

}  // namespace gregor
