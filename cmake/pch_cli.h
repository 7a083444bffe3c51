// For what has a command line: gRPC's headers, and those that parse arguments and print JSON.
#include "cmake/pch_grpc.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
