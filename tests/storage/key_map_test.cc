#include "storage/key_map.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/random.h"

namespace gregor {
namespace {

constexpr KeyMap::HashKey kFirst = {1, 2, 3};
constexpr KeyMap::HashKey kSecond = {4, 5, 6};

TEST(KeyMap, HasTheLatestOffsetOfEachKey) {
  KeyMap map(1 << 20, 10, kFirst, kSecond);
  EXPECT_FALSE(map.Find("a").has_value());
  ASSERT_TRUE(map.Put("a", Offset{1}));
  ASSERT_TRUE(map.Put("", Offset{2}));
  ASSERT_TRUE(map.Put("a", Offset{7}));
  EXPECT_EQ(map.Find("a"), Offset{7});
  EXPECT_EQ(map.Find(""), Offset{2});
  EXPECT_FALSE(map.Find("b").has_value());
  EXPECT_EQ(map.size(), 2u);
}

TEST(KeyMap, AgreesWithAMapOfTheKeysWhileItGrows) {
  KeyMap map(1 << 20, 1, kFirst, kSecond);
  std::map<std::string, Offset> expected;
  Random random(5);
  for (int64_t i = 0; i < 20'000; ++i) {
    const std::string key = "key-" + std::to_string(random.Below(5000));
    ASSERT_TRUE(map.Put(key, Offset{i}));
    expected[key] = Offset{i};
  }
  EXPECT_EQ(map.size(), expected.size());
  for (const auto& [key, offset] : expected) ASSERT_EQ(map.Find(key), offset) << key;
  for (int i = 5000; i < 6000; ++i)
    ASSERT_FALSE(map.Find("key-" + std::to_string(i)).has_value()) << i;
}

TEST(KeyMap, KeepsToItsMemoryAndThenTakesOnlyKeysThatItHas) {
  constexpr size_t kBytes = 10'000;
  KeyMap map(kBytes, 1'000'000, kFirst, kSecond);
  int64_t keys = 0;
  while (map.Put(std::to_string(keys), Offset{keys})) {
    ++keys;
    ASSERT_LE(map.memory_bytes(), kBytes);
    ASSERT_LT(keys, 1000);
  }
  // Most of the memory is used, not half of it.
  EXPECT_GT(keys, static_cast<int64_t>(kBytes / 24 / 2));
  EXPECT_EQ(map.size(), static_cast<size_t>(keys));
  EXPECT_FALSE(map.Find(std::to_string(keys)).has_value());
  EXPECT_TRUE(map.Put("0", Offset{5000}));
  EXPECT_EQ(map.Find("0"), Offset{5000});
  EXPECT_FALSE(map.Put("another", Offset{5001}));
}

TEST(KeyMap, TakesOneKeyWithNextToNoMemory) {
  KeyMap map(1, 0, kFirst, kSecond);
  // Or a log whose memory is too small would never be compacted.
  EXPECT_TRUE(map.Put("a", Offset{1}));
  EXPECT_EQ(map.Find("a"), Offset{1});
}

TEST(KeyMap, LaysKeysOutDifferentlyWithEachHashKey) {
  // Nobody can choose keys that meet, not knowing the hash keys: a map with others works as well.
  for (uint8_t seed = 0; seed < 20; ++seed) {
    KeyMap map(1 << 16, 100, {seed}, {static_cast<uint8_t>(seed + 1)});
    for (int64_t i = 0; i < 500; ++i) ASSERT_TRUE(map.Put(std::to_string(i), Offset{i}));
    for (int64_t i = 0; i < 500; ++i) ASSERT_EQ(map.Find(std::to_string(i)), Offset{i});
  }
}

}  // namespace
}  // namespace gregor
