#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <sstream>

namespace gregor {
namespace {

Error Refused() {
  return Error(Reason::kOffsetOutOfRange, "offset 3 is gone").With("log_start_offset", "17");
}

Result<int> Half(int value) {
  if (value % 2 != 0) return Refused();
  return value / 2;
}

Result<int> Quarter(int value) {
  ASSIGN_OR_RETURN(const int half, Half(value));
  ASSIGN_OR_RETURN(int quarter, Half(half));
  return quarter;
}

Result<void> Check(int value, int& calls) {
  RETURN_IF_ERROR(Half(value));
  ++calls;
  return {};
}

TEST(Result, HoldsAValueOrTheErrorThatSaysWhyThereIsNone) {
  const Result<int> good = Half(4);
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(good);
  EXPECT_EQ(*good, 2);
  EXPECT_EQ(good.value(), 2);
  const Result<int> bad = Half(5);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().reason, Reason::kOffsetOutOfRange);
  ASSERT_EQ(bad.error().details.size(), 1u);
  EXPECT_EQ(bad.error().details[0].second, "17");
}

TEST(Result, IsPassedOnByTheMacros) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_FALSE(Quarter(6).ok());
  EXPECT_FALSE(Quarter(7).ok());
  int calls = 0;
  EXPECT_TRUE(Check(2, calls).ok());
  EXPECT_FALSE(Check(1, calls).ok());
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(Check(1, calls).error().message, "offset 3 is gone");
}

TEST(Result, CarriesWhatCanOnlyBeMoved) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  EXPECT_EQ(**result, 5);
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 5);
}

TEST(Result, TellsAnErrorOfTheSameTypeAsItsValueApart) {
  const Result<std::string> text = std::string("value");
  EXPECT_TRUE(text.ok());
  EXPECT_EQ(text->size(), 5u);
}

TEST(Error, IsPrintedWithItsReason) {
  std::ostringstream out;
  out << Refused();
  EXPECT_EQ(out.str(), "OFFSET_OUT_OF_RANGE: offset 3 is gone");
}

TEST(ResultDeathTest, RefusesToGiveWhatIsNotThere) {
  EXPECT_DEATH(Half(1).value(), "offset 3 is gone");
  EXPECT_DEATH((void)Half(2).error(), "");
  EXPECT_DEATH((void)Result<void>().error(), "");
}

}  // namespace
}  // namespace gregor
