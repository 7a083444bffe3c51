#ifndef GREGOR_CLIENT_CLI_LINE_READER_H_
#define GREGOR_CLIENT_CLI_LINE_READER_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gregor {

// Cuts what comes from a file descriptor into lines. Bytes other than the line end are left as they
// are, NUL and carriage return too. Gives a line as soon as it is there, also on a terminal or
// pipe. Thread: its owner's.
class LineReader {
 public:
  // REQUIRES: `fd` stays open.
  explicit LineReader(int fd) : fd_(fd) {}

  // The next line without its end, valid until the next call; nullopt after the last. What follows
  // the last line end is a line, too, unless it is empty. Fails with kUnspecified where the
  // descriptor cannot be read: not bad usage, as lines before were given.
  Result<std::optional<std::string_view>> Next();
  // How many lines there were so far.
  int64_t count() const { return count_; }
  // Whether the last line had no end.
  bool last_line_was_cut() const { return cut_; }

 private:
  const int fd_;
  std::string buffer_;
  size_t begin_ = 0;     // of what was not given yet
  size_t searched_ = 0;  // no line end before it
  size_t end_ = 0;
  bool at_end_ = false;
  bool cut_ = false;
  int64_t count_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_LINE_READER_H_
