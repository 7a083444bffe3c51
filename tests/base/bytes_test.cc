#include "base/bytes.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace gregor {
namespace {

Bytes Of(std::initializer_list<std::string_view> parts) {
  Bytes bytes;
  for (const std::string_view part : parts) bytes.Append(Slice::Copy(part));
  return bytes;
}

TEST(Slice, SharesItsOwnerAndKeepsItAlive) {
  Slice part;
  const uint8_t* data = nullptr;
  {
    const Slice whole = Slice::Own("short");  // a string without memory of its own
    data = whole.data();
    part = whole.Sub(1, 3);
  }
  EXPECT_EQ(part.view(), "hor");
  EXPECT_EQ(part.data(), data + 1);
  EXPECT_EQ(Slice::Static("literal").view(), "literal");
  EXPECT_TRUE(Slice().empty());
  EXPECT_EQ(Slice().view(), "");
}

TEST(Slice, OwnerIsReleasedWithTheLastCopy) {
  auto owner = std::make_shared<int>(7);
  const std::weak_ptr<int> watch = owner;
  static const uint8_t kData[] = {1, 2, 3};
  auto slice = std::make_unique<Slice>(std::move(owner), kData, sizeof kData);
  Slice copy = slice->Sub(1, 1);
  slice.reset();
  EXPECT_FALSE(watch.expired());
  copy = Slice();
  EXPECT_TRUE(watch.expired());
}

TEST(SliceDeathTest, RefusesToLeaveItsBytes) {
  const Slice slice = Slice::Static("four");
  EXPECT_DEATH(slice.Sub(5, 0), "");
  EXPECT_DEATH(slice.Sub(2, 3), "");
  EXPECT_DEATH(slice.Sub(2, SIZE_MAX), "");
}

TEST(Bytes, ReadAsOneRun) {
  const Bytes bytes = Of({"one ", "", "two ", "three"});
  EXPECT_EQ(bytes.slices().size(), 3u);  // nothing is kept of an empty slice
  EXPECT_EQ(bytes.size(), 13u);
  EXPECT_EQ(bytes.ToString(), "one two three");
  EXPECT_EQ(bytes.Flatten().view(), "one two three");
  EXPECT_TRUE(Bytes().empty());
  EXPECT_EQ(Bytes().Flatten().size(), 0u);
  EXPECT_EQ(Bytes(Slice()).slices().size(), 0u);
}

TEST(Bytes, AreAppendedToEachOtherAndToThemselves) {
  Bytes bytes = Of({"a", "b"});
  bytes.Append(Of({"c", "d"}));
  EXPECT_EQ(bytes.ToString(), "abcd");
  bytes.Append(bytes);
  EXPECT_EQ(bytes.ToString(), "abcdabcd");
  EXPECT_EQ(bytes.size(), 8u);
}

TEST(Bytes, OfOneSliceAreFlatWithoutACopy) {
  const Slice slice = Slice::Own(std::string(100, 'x'));
  EXPECT_EQ(Bytes(slice).Flatten().data(), slice.data());
  EXPECT_EQ(Bytes(slice).Sub(10, 20).slices().front().data(), slice.data() + 10);
}

TEST(Bytes, EveryPartIsTheSameAsOfAString) {
  Random random(1);
  std::string text;
  Bytes bytes;
  for (int i = 0; i < 8; ++i) {
    const std::string part(random.Below(6), static_cast<char>('a' + i));
    text += part;
    bytes.Append(Slice::Copy(part));
  }
  for (size_t position = 0; position <= text.size(); ++position) {
    for (size_t size = 0; size <= text.size() - position; ++size) {
      const std::string expected = text.substr(position, size);
      const Bytes part = bytes.Sub(position, size);
      ASSERT_EQ(part.ToString(), expected);
      ASSERT_EQ(part.size(), size);
      std::vector<uint8_t> copy(size);
      bytes.CopyTo(position, copy);
      ASSERT_EQ(std::string(copy.begin(), copy.end()), expected);
    }
  }
}

TEST(BytesDeathTest, RefuseToGiveMoreThanThereIs) {
  const Bytes bytes = Of({"ab", "cd"});
  uint8_t out[5];
  EXPECT_DEATH(bytes.Sub(0, 5), "");
  EXPECT_DEATH(bytes.Sub(5, 0), "");
  EXPECT_DEATH(bytes.Sub(1, SIZE_MAX), "");
  EXPECT_DEATH(bytes.CopyTo(0, out), "");
}

}  // namespace
}  // namespace gregor
