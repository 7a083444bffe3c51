#include "client/cli/line_reader.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gregor {

Result<std::optional<std::string_view>> LineReader::Next() {
  constexpr size_t kReadBytes = 256u << 10;
  while (true) {
    const void* const line_end = std::memchr(buffer_.data() + searched_, '\n', end_ - searched_);
    if (line_end != nullptr) {
      const size_t end = static_cast<size_t>(static_cast<const char*>(line_end) - buffer_.data());
      const std::string_view line(buffer_.data() + begin_, end - begin_);
      begin_ = searched_ = end + 1;
      ++count_;
      return std::optional(line);
    }
    searched_ = end_;
    if (at_end_) {
      if (begin_ == end_) return std::optional<std::string_view>();
      const std::string_view line(buffer_.data() + begin_, end_ - begin_);
      begin_ = end_;
      cut_ = true;
      ++count_;
      return std::optional(line);
    }
    // What was given is not needed any more; what is left moves to the front.
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    searched_ -= begin_;
    end_ -= std::exchange(begin_, 0);
    if (buffer_.size() - end_ < kReadBytes)
      buffer_.resize(std::max(2 * buffer_.size(), end_ + kReadBytes));
    ssize_t size = 0;
    do {
      size = read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    } while (size < 0 && errno == EINTR);
    if (size < 0)
      return Error(Reason::kUnspecified,
                   std::string("the input cannot be read") +
                       (count_ == 0 ? "" : " behind line " + std::to_string(count_)) + ": " +
                       std::strerror(errno));
    at_end_ = size == 0;
    end_ += static_cast<size_t>(size);
  }
}

}  // namespace gregor
