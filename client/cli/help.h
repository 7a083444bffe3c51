#ifndef GREGOR_CLIENT_CLI_HELP_H_
#define GREGOR_CLIENT_CLI_HELP_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"

namespace gregor {

// Makes the help of `app`, and of commands that are added to it afterwards, readable on a terminal:
// lines are wrapped, defaults are words. A command line that is wrong is answered with what is
// wrong and where help is. Thread: main.
void SetUpHelp(CLI::App& app);

// A check of a whole number: `least` or more, at most what its variable holds.
CLI::Validator AtLeast(int64_t least);
CLI::Validator Between(int64_t least, int64_t most);
// A check of a number, whole or not.
CLI::Validator NumberBetween(double least, double most);
// A check of text that must not be empty.
CLI::Validator NotEmpty();
// Puts what `parse` makes of a value in its place, or refuses it with the error's message.
CLI::Validator Rewriting(std::function<Result<std::string>(const std::string&)> parse);

// `text` in lines of at most `width` characters, cut at spaces; line ends stay, and lines that
// begin with a space are left as they are.
std::string Wrap(const std::string& text, size_t width);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_HELP_H_
