#include "base/edit_distance.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

TEST(EditDistance, CountsWhatIsChangedAddedAndLeftOut) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("abc", ""), 3u);
  EXPECT_EQ(EditDistance("listen", "listen"), 0u);
  EXPECT_EQ(EditDistance("listen", "liston"), 1u);
  EXPECT_EQ(EditDistance("lisen", "listen"), 1u);
  EXPECT_EQ(EditDistance("rolse", "roles"), 2u)
      << "two letters in each other's place are two changes";
}

}  // namespace
}  // namespace gregor
