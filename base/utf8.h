#ifndef GREGOR_BASE_UTF8_H_
#define GREGOR_BASE_UTF8_H_

#include <string_view>

namespace gregor {

// Whether it is well-formed UTF-8, as Unicode 15 table 3-7 has it. Thread: any.
bool IsUtf8(std::string_view text);

}  // namespace gregor

#endif  // GREGOR_BASE_UTF8_H_
