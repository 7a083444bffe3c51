#ifndef GREGOR_BASE_RESULT_H_
#define GREGOR_BASE_RESULT_H_

#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <variant>
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

// A T, or the Error that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  // Both are implicit on purpose.
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
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
    CHECK(!ok());
    return std::get<1>(state_);
  }
  Error&& error() && {
    CHECK(!ok());
    return std::get<1>(std::move(state_));
  }

 private:
  T& Checked() {
    CHECK(ok()) << std::get<1>(state_);
    return *std::get_if<0>(&state_);
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit on purpose

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& {
    CHECK(!ok());
    return *error_;
  }
  Error&& error() && {
    CHECK(!ok());
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
