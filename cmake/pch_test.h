// For tests: the standard headers, GoogleTest's and GoogleMock's, parsed once.
#include "cmake/pch_std.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
