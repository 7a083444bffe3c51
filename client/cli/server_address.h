#ifndef GREGOR_CLIENT_CLI_SERVER_ADDRESS_H_
#define GREGOR_CLIENT_CLI_SERVER_ADDRESS_H_

#include <string>

#include "base/result.h"

namespace gregor {

// What --server takes, as HOST:PORT: that itself, [IPV6]:PORT, or a host alone, whose port is 9094;
// or several of them with commas between. Whether there is such a host is not asked. Fails with
// kInvalidArgument. Thread: any.
Result<std::string> ParseServerAddresses(const std::string& text);

// Where there is a server unless something else is said.
inline constexpr char kDefaultServer[] = "127.0.0.1:9094";

// `given` by --server, or where that is empty what GREGOR_SERVER in the environment says, or else
// the default. Fails with kInvalidArgument, naming the variable, where that is no address.
Result<std::string> ChooseServer(const std::string& given);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_SERVER_ADDRESS_H_
