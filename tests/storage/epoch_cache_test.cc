#include "storage/epoch_cache.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace gregor {
namespace {

using Entry = EpochCache::Entry;

EpochCache Make(std::vector<Entry> entries) {
  EpochCache cache;
  for (const Entry& entry : entries) cache.Assign(entry.epoch, entry.start);
  return cache;
}

TEST(EpochCache, KeepsWhereEachEpochBegan) {
  const EpochCache cache = Make({{{1}, {0}}, {{4}, {10}}, {{5}, {25}}});
  EXPECT_EQ(cache.entries(), (std::vector<Entry>{{{1}, {0}}, {{4}, {10}}, {{5}, {25}}}));
  EXPECT_EQ(cache.last(), (Entry{{5}, {25}}));
}

TEST(EpochCache, AssigningTheLastEpochAgainKeepsItsStart) {
  EpochCache cache = Make({{{1}, {0}}});
  cache.Assign({1}, {7});
  EXPECT_EQ(cache.entries(), (std::vector<Entry>{{{1}, {0}}}));
}

TEST(EpochCache, AssigningDropsEntriesAtOrAfterTheNewOne) {
  EpochCache cache = Make({{{1}, {0}}, {{4}, {10}}, {{5}, {25}}});
  cache.Assign({6}, {10});  // nothing was written in 4 and 5 after all
  EXPECT_EQ(cache.entries(), (std::vector<Entry>{{{1}, {0}}, {{6}, {10}}}));
  cache.Assign({2}, {30});  // a follower whose log was reset takes an older epoch
  EXPECT_EQ(cache.entries(), (std::vector<Entry>{{{1}, {0}}, {{2}, {30}}}));
}

TEST(EpochCache, CuttingTheEndDropsEpochsThatBeginThere) {
  EpochCache cache = Make({{{1}, {0}}, {{4}, {10}}, {{5}, {25}}});
  cache.TruncateFromEnd({26});
  EXPECT_EQ(cache.last(), (Entry{{5}, {25}}));
  cache.TruncateFromEnd({25});
  EXPECT_EQ(cache.last(), (Entry{{4}, {10}}));
  cache.TruncateFromEnd({0});
  EXPECT_FALSE(cache.last());
}

TEST(EpochCache, CuttingTheStartKeepsTheEpochThatCoversIt) {
  EpochCache cache = Make({{{1}, {0}}, {{4}, {10}}, {{5}, {25}}});
  cache.TruncateFromStart({12});
  EXPECT_EQ(cache.entries(), (std::vector<Entry>{{{4}, {12}}, {{5}, {25}}}));
  cache.TruncateFromStart({25});
  EXPECT_EQ(cache.entries(), (std::vector<Entry>{{{5}, {25}}}));
  cache.TruncateFromStart({40});
  EXPECT_EQ(cache.entries(), (std::vector<Entry>{{{5}, {40}}}));
  cache.TruncateFromStart({3});  // never back
  EXPECT_EQ(cache.entries(), (std::vector<Entry>{{{5}, {40}}}));
}

TEST(EpochCache, TellsTheEpochOfAnOffset) {
  const EpochCache cache = Make({{{1}, {5}}, {{4}, {10}}});
  EXPECT_FALSE(cache.EpochAt({4}));
  EXPECT_EQ(cache.EpochAt({5}), LeaderEpoch{1});
  EXPECT_EQ(cache.EpochAt({9}), LeaderEpoch{1});
  EXPECT_EQ(cache.EpochAt({10}), LeaderEpoch{4});
  EXPECT_EQ(cache.EpochAt({1000}), LeaderEpoch{4});
  EXPECT_FALSE(EpochCache().EpochAt({0}));
}

TEST(EpochCache, TellsWhereAnEpochEnded) {
  const EpochCache cache = Make({{{1}, {0}}, {{4}, {10}}, {{5}, {25}}});
  EXPECT_FALSE(cache.EndOf({0}, {30}));
  EXPECT_EQ(cache.EndOf({1}, {30}), (Entry{{1}, {10}}));
  EXPECT_EQ(cache.EndOf({3}, {30}), (Entry{{1}, {10}}));  // 2 and 3 wrote nothing here
  EXPECT_EQ(cache.EndOf({4}, {30}), (Entry{{4}, {25}}));
  EXPECT_EQ(cache.EndOf({5}, {30}), (Entry{{5}, {30}}));
  EXPECT_EQ(cache.EndOf({9}, {30}), (Entry{{5}, {30}}));
}

TEST(EpochCache, CheckpointRoundTrips) {
  for (const EpochCache& cache :
       {EpochCache(), Make({{{0}, {0}}}), Make({{{1}, {0}}, {{INT32_MAX}, {INT64_MAX}}})}) {
    const auto decoded = EpochCache::Decode(cache.Encode());
    ASSERT_TRUE(decoded.ok()) << decoded.error();
    EXPECT_EQ(decoded->entries(), cache.entries());
  }
}

TEST(EpochCache, DamagedCheckpointIsRefused) {
  const std::string good = Make({{{1}, {0}}, {{4}, {10}}, {{5}, {25}}}).Encode();
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(EpochCache::Decode(good.substr(0, size)).ok()) << size;
  }
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      EXPECT_FALSE(EpochCache::Decode(bad).ok()) << at << ' ' << bit;
    }
  }
  EXPECT_FALSE(EpochCache::Decode(good + "\n").ok());
  EXPECT_FALSE(EpochCache::Decode("gregor-epochs 1\n18446744073709551615\n").ok());
}

TEST(EpochCache, StaysInOrderWhateverComes) {
  Random random(11);
  EpochCache cache;
  for (int i = 0; i < 5000; ++i) {
    const Offset offset{static_cast<int64_t>(random.Below(100))};
    const uint64_t what = random.Below(10);
    if (what < 7) {
      cache.Assign({static_cast<int32_t>(random.Below(20))}, offset);
    } else if (what == 7) {
      cache.TruncateFromEnd(offset);
    } else if (what == 8) {
      cache.TruncateFromStart(offset);
    }
    for (size_t k = 1; k < cache.entries().size(); ++k) {
      ASSERT_LT(cache.entries()[k - 1].epoch, cache.entries()[k].epoch);
      ASSERT_LT(cache.entries()[k - 1].start, cache.entries()[k].start);
    }
    ASSERT_TRUE(EpochCache::Decode(cache.Encode()).ok());
  }
}

}  // namespace
}  // namespace gregor
