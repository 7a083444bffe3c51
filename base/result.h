#ifndef GREGOR_BASE_RESULT_H_
#define GREGOR_BASE_RESULT_H_

#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/reason.h"  // generated from proto/gregor/v1/errors.proto

namespace gregor {

// Why something that can fail did. The message tells a person what was wrong and what to do;
// `details` are the same facts for programs (gRPC ErrorInfo.metadata), such as
// {"log_start_offset", "17"}.
struct Error {
  Reason reason = Reason::kUnspecified;
  std::string message;
  std::vector<std::pair<std::string, std::string>> details;

  Error(Reason reason, std::string message) : reason(reason), message(std::move(message)) {}
  Error& With(std::string key, std::string value) & {
    details.emplace_back(std::move(key), std::move(value));
    return *this;
  }
  Error&& With(std::string key, std::string value) && {
    details.emplace_back(std::move(key), std::move(value));
    return std::move(*this);
  }
  // "REASON: message", for logs.
  std::string ToString() const { return std::string(ReasonName(reason)) + ": " + message; }
  friend std::ostream& operator<<(std::ostream& out, const Error& error) {
    return out << error.ToString();
  }
};

// Ends the process: a value was asked for that is not there, or an error.
[[noreturn]] void DieWithoutValue(const Error& error);
[[noreturn]] void DieWithoutError();

// A T, or the Error that says why there is none. (A union and not a std::variant, whose code for
// each T took a tenth of the time to build.)
template <typename T>
class [[nodiscard]] Result {
 public:
  // Both are implicit on purpose.
  Result(T value) : value_(std::move(value)), ok_(true) {}       // NOLINT
  Result(Error error) : error_(std::move(error)), ok_(false) {}  // NOLINT

  Result(const Result& other) requires std::is_copy_constructible_v<T> : ok_(other.ok_) {
    if (ok_) {
      std::construct_at(&value_, other.value_);
    } else {
      std::construct_at(&error_, other.error_);
    }
  }
  Result(Result&& other) noexcept : ok_(other.ok_) { TakeFrom(other); }
  // Taken by value, so that nothing is lost where a copy cannot be made.
  Result& operator=(Result other) noexcept {
    Destroy();
    ok_ = other.ok_;
    TakeFrom(other);
    return *this;
  }
  ~Result() { Destroy(); }

  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  // REQUIRES: ok().
  T& value() & { return Checked(); }
  const T& value() const& { return const_cast<Result*>(this)->Checked(); }
  T&& value() && { return std::move(Checked()); }
  T& operator*() & { return Checked(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(Checked()); }
  T* operator->() { return &Checked(); }
  const T* operator->() const { return &value(); }
  // REQUIRES: !ok().
  const Error& error() const& {
    if (ok_) DieWithoutError();
    return error_;
  }
  Error&& error() && {
    if (ok_) DieWithoutError();
    return std::move(error_);
  }

 private:
  T& Checked() {
    if (!ok_) DieWithoutValue(error_);
    return value_;
  }
  void TakeFrom(Result& other) noexcept {
    if (ok_) {
      std::construct_at(&value_, std::move(other.value_));
    } else {
      std::construct_at(&error_, std::move(other.error_));
    }
  }
  void Destroy() {
    if (ok_) {
      std::destroy_at(&value_);
    } else {
      std::destroy_at(&error_);
    }
  }

  union {
    T value_;
    Error error_;
  };
  bool ok_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit on purpose

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& {
    if (ok()) DieWithoutError();
    return *error_;
  }
  Error&& error() && {
    if (ok()) DieWithoutError();
    return *std::move(error_);
  }

 private:
  std::optional<Error> error_;
};

// return the error of `expression` (a Result) if it has one.
#define RETURN_IF_ERROR(expression)                               \
  do {                                                            \
    if (auto gregor_result = (expression); !gregor_result.ok()) { \
      return std::move(gregor_result).error();                    \
    }                                                             \
  } while (false)

// `declaration` = the value of `expression` (a Result), or return its error.
#define ASSIGN_OR_RETURN(declaration, expression) \
  GREGOR_ASSIGN_OR_RETURN(GREGOR_CONCAT(gregor_result_, __LINE__), declaration, expression)
#define GREGOR_ASSIGN_OR_RETURN(result, declaration, expression) \
  auto result = (expression);                                    \
  if (!result.ok()) return std::move(result).error();            \
  declaration = std::move(result).value()
#define GREGOR_CONCAT(a, b) GREGOR_CONCAT_INNER(a, b)
#define GREGOR_CONCAT_INNER(a, b) a##b

}  // namespace gregor

#endif  // GREGOR_BASE_RESULT_H_
