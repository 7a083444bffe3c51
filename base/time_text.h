#ifndef GREGOR_BASE_TIME_TEXT_H_
#define GREGOR_BASE_TIME_TEXT_H_

#include <optional>
#include <string>

#include "base/types.h"

namespace gregor {

// Times of records as people write and read them. Thread: any.

// A time as in RFC 3339, or only its date; UTC without a zone. nullopt: it is none.
std::optional<Timestamp> ParseTime(const std::string& text);
// "2026-01-31T12:00:00.000Z".
std::string TimeText(Timestamp time);

}  // namespace gregor

#endif  // GREGOR_BASE_TIME_TEXT_H_
