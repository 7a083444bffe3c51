#ifndef GREGOR_TESTS_BASE_LOG_LINES_H_
#define GREGOR_TESTS_BASE_LOG_LINES_H_

#include <glog/logging.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

namespace gregor {

// What is logged while it lives. Thread: any.
class LogLines final : public google::LogSink {
 public:
  LogLines() { google::AddLogSink(this); }
  ~LogLines() override { google::RemoveLogSink(this); }
  // The lines that have `text`.
  int CountOf(const std::string& text) const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(std::count_if(lines_.begin(), lines_.end(), [&](const auto& line) {
      return line.find(text) != std::string::npos;
    }));
  }
  // The first line that has `part`, or "".
  std::string With(const std::string& part) const {
    const std::lock_guard lock(mutex_);
    for (const std::string& line : lines_) {
      if (line.find(part) != std::string::npos) return line;
    }
    return "";
  }

 private:
  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t size) override {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(message, size);
  }

  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_BASE_LOG_LINES_H_
