#include "controller/image/persistent_map.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/random.h"

namespace gregor {
namespace {

using Map = PersistentMap<int, std::string>;

std::map<int, std::string> Contents(const Map& map) {
  std::map<int, std::string> contents;
  int last = INT32_MIN;
  map.VisitAll([&](int key, const std::string& value) {
    EXPECT_GT(key, last) << "keys must rise";
    last = key;
    contents[key] = value;
  });
  EXPECT_EQ(contents.size(), map.size());
  return contents;
}

TEST(PersistentMap, AnEmptyOneFindsNothing) {
  Map map;
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.Find(1), nullptr);
  map.Erase(1);
  map.VisitFrom(0, [](int, const std::string&) -> bool {
    ADD_FAILURE();
    return true;
  });
  EXPECT_FALSE(map.Transform([](int, const std::string&) { return std::optional<std::string>(); }));
}

TEST(PersistentMap, RandomChangesAgreeWithAnOrderedMap) {
  Random random(7);
  Map map;
  std::map<int, std::string> model;
  for (int round = 0; round < 400; ++round) {
    std::map<int, std::optional<std::string>> changes;
    const auto count = random.Below(round % 10 == 0 ? 300 : 3);
    for (uint64_t i = 0; i < count; ++i) {
      const int key = static_cast<int>(random.Below(2000));
      auto& change = changes[key];
      change.reset();
      if (!random.Chance(0.4)) change = std::to_string(random.Below(1000));
    }
    for (const auto& [key, value] : changes) {
      if (value.has_value()) {
        model[key] = *value;
      } else {
        model.erase(key);
      }
    }
    map.Apply({changes.begin(), changes.end()});
    ASSERT_EQ(Contents(map), model) << "round " << round;
  }
  for (int key = -1; key < 2001; ++key) {
    const auto found = model.find(key);
    const std::string* value = map.Find(key);
    ASSERT_EQ(value != nullptr, found != model.end());
    if (value != nullptr) {
      EXPECT_EQ(*value, found->second);
    }
  }
}

TEST(PersistentMap, ACopyKeepsWhatItHad) {
  Map map;
  for (int key = 0; key < 1000; ++key) map.Set(key, "old");
  const Map before = map;
  map.Set(500, "new");
  map.Erase(3);
  EXPECT_EQ(*before.Find(500), "old");
  EXPECT_EQ(before.size(), 1000u);
  EXPECT_EQ(*before.Find(3), "old");
  EXPECT_EQ(*map.Find(500), "new");
  EXPECT_EQ(map.Find(3), nullptr);
  // Values that did not change are shared, not copied.
  EXPECT_EQ(map.Find(900), before.Find(900));
}

TEST(PersistentMap, TransformSharesWhatItLeaves) {
  Map map;
  for (int key = 0; key < 1000; ++key) map.Set(key, "old");
  Map changed = map;
  EXPECT_TRUE(changed.Transform([](int key, const std::string&) {
    return key < 10 ? std::optional<std::string>("new") : std::nullopt;
  }));
  EXPECT_EQ(*changed.Find(9), "new");
  EXPECT_EQ(*map.Find(9), "old");
  EXPECT_EQ(changed.Find(999), map.Find(999));
}

TEST(PersistentMap, VisitFromBeginsAtTheKeyAndEndsWhenTold) {
  Map map;
  for (int key = 0; key < 1000; key += 2) map.Set(key, "");
  std::vector<int> seen;
  map.VisitFrom(301, [&](int key, const std::string&) {
    seen.push_back(key);
    return seen.size() < 3;
  });
  EXPECT_EQ(seen, (std::vector<int>{302, 304, 306}));
}

}  // namespace
}  // namespace gregor
