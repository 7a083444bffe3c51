#include "base/result.h"

#include "base/check.h"

namespace gregor {

void DieWithoutValue(const Error& error) {
  LOG(FATAL) << "A result without a value was used: " << error;
  __builtin_unreachable();
}

void DieWithoutError() {
  LOG(FATAL) << "The error of a result that has a value was used.";
  __builtin_unreachable();
}

}  // namespace gregor
