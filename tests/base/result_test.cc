#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <sstream>
#include <string>
#include <type_traits>

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

TEST(Result, IsCopiedAndAssignedWhateverBothHold) {
  const Result<std::string> value = std::string(100, 'v');
  const Result<std::string> error = Refused();
  for (const auto& from : {value, error}) {
    for (const auto& to : {value, error}) {
      Result<std::string> target = to;
      target = from;
      ASSERT_EQ(target.ok(), from.ok());
      if (from.ok()) {
        EXPECT_EQ(*target, *value);
      } else {
        EXPECT_EQ(target.error().details, error.error().details);
      }
    }
  }
  Result<std::string> self = value;
  const Result<std::string>& same = self;
  self = same;
  EXPECT_EQ(*self, *value);
}

TEST(Result, EndsWhatItHoldsOnceAndNothingElse) {
  const auto held = std::make_shared<int>(1);
  {
    Result<std::shared_ptr<int>> result = held;
    EXPECT_EQ(held.use_count(), 2);
    Result<std::shared_ptr<int>> moved = std::move(result);
    EXPECT_EQ(held.use_count(), 2);
    moved = Refused();
    EXPECT_EQ(held.use_count(), 1);
    moved = held;
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(Result, CanOnlyBeCopiedWhereItsValueCan) {
  EXPECT_TRUE(std::is_copy_constructible_v<Result<std::string>>);
  EXPECT_FALSE(std::is_copy_constructible_v<Result<std::unique_ptr<int>>>);
  EXPECT_TRUE(std::is_nothrow_move_constructible_v<Result<std::unique_ptr<int>>>);
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
