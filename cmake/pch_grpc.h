// For the folders that speak gRPC: the standard headers and gRPC's, parsed once.
#include "cmake/pch_std.h"

#include <grpcpp/grpcpp.h>
