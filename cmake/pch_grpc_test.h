// For tests of the folders that speak gRPC.
#include "cmake/pch_grpc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
