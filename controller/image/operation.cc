#include "controller/image/operation.h"

namespace gregor {

std::string_view OperationOutcome(const Error& error) {
  for (const auto& [key, value] : error.details) {
    if (key == "outcome") return value;
  }
  return "";
}

}  // namespace gregor
