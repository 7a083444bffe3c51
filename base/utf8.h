#ifndef GREGOR_BASE_UTF8_H_
#define GREGOR_BASE_UTF8_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace gregor {

// Whether it is well-formed UTF-8, as Unicode 15 table 3-7 has it. Thread: any.
bool IsUtf8(std::string_view text);

// What somebody sent, in quotes, as a message can show it on a terminal: at most its first
// `bytes_max` bytes ("..." then), and bytes as \xNN where they are no UTF-8, or characters that a
// terminal acts on. Thread: any.
std::string ShowQuoted(std::string_view text, size_t bytes_max);

}  // namespace gregor

#endif  // GREGOR_BASE_UTF8_H_
