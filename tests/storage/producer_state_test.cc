#include "storage/producer_state.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "storage/request_ids.h"

namespace gregor {
namespace {

using Batch = ProducerState::Batch;

BatchHeader Header(int64_t id, int16_t epoch, int32_t sequence, int32_t records,
                   int64_t base_offset = 0) {
  BatchHeader header;
  header.producer_id = {id};
  header.producer_epoch = {epoch};
  header.base_sequence = {sequence};
  header.last_offset_delta = records - 1;
  header.record_count = records;
  header.base_offset = {base_offset};
  header.max_timestamp = {1000 + base_offset};
  return header;
}

// nullopt: the batch would be appended.
std::optional<Offset> DuplicateOf(const ProducerState& state, const BatchHeader& header) {
  const auto found = state.Check(header);
  EXPECT_TRUE(found.ok()) << found.error();
  if (!found.ok() || !found->has_value()) return std::nullopt;
  return (*found)->base_offset;
}

Reason Refusal(const ProducerState& state, const BatchHeader& header) {
  const auto found = state.Check(header);
  return found.ok() ? Reason::kUnspecified : found.error().reason;
}

TEST(ProducerState, BatchesWithoutProducerAlwaysPass) {
  ProducerState state;
  state.Note(Header(-1, -1, -1, 3), {0});
  EXPECT_EQ(DuplicateOf(state, Header(-1, -1, -1, 3)), std::nullopt);
  EXPECT_EQ(state.id_count(), 0u);
}

TEST(ProducerState, SequencesFollowEachOther) {
  ProducerState state;
  state.Note(Header(7, 0, 0, 10, 100), {0});
  EXPECT_EQ(DuplicateOf(state, Header(7, 0, 10, 5)), std::nullopt);
  EXPECT_EQ(Refusal(state, Header(7, 0, 11, 5)), Reason::kOutOfOrderSequence);
  EXPECT_EQ(Refusal(state, Header(7, 0, 9, 5)), Reason::kOutOfOrderSequence);
  EXPECT_EQ(state.Check(Header(7, 0, 12, 1)).error().details[0].second, "10");
}

TEST(ProducerState, UnknownProducerBeginsAtZero) {
  EXPECT_EQ(DuplicateOf(ProducerState(), Header(7, 3, 0, 1)), std::nullopt);
  const auto refused = ProducerState().Check(Header(7, 3, 4711, 1));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kUnknownProducerId);
  EXPECT_EQ(refused.error().details[0].second, "0");
}

TEST(ProducerState, RetryOfOneOfTheLastFiveBatchesIsADuplicate) {
  ProducerState state;
  for (int i = 0; i < 7; ++i) state.Note(Header(7, 0, i * 10, 10, 100 + i * 10), {0});
  for (int i = 2; i < 7; ++i) {
    EXPECT_EQ(DuplicateOf(state, Header(7, 0, i * 10, 10)), Offset{100 + i * 10}) << i;
  }
  EXPECT_EQ(Refusal(state, Header(7, 0, 10, 10)), Reason::kOutOfOrderSequence);
  EXPECT_EQ(Refusal(state, Header(7, 0, 60, 9)), Reason::kOutOfOrderSequence);  // same base only
  EXPECT_EQ(Refusal(state, Header(7, 0, 65, 5)), Reason::kOutOfOrderSequence);  // part of it
}

TEST(ProducerState, SequencesWrapToZero) {
  ProducerState state;
  state.Note(Header(7, 0, INT32_MAX - 1, 2, 5), {0});
  EXPECT_EQ(DuplicateOf(state, Header(7, 0, 0, 3)), std::nullopt);
  state.Clear();
  state.Note(Header(7, 0, INT32_MAX - 1, 4, 5), {0});  // 2147483646, 2147483647, 0, 1
  EXPECT_EQ(state.LastOf({7})->last_sequence, Sequence{1});
  EXPECT_EQ(DuplicateOf(state, Header(7, 0, 2, 1)), std::nullopt);
  EXPECT_EQ(DuplicateOf(state, Header(7, 0, INT32_MAX - 1, 4)), Offset{5});
  EXPECT_EQ(Refusal(state, Header(7, 0, 0, 1)), Reason::kOutOfOrderSequence);
}

TEST(ProducerState, NewEpochBeginsAtZeroAndFencesTheOld) {
  ProducerState state;
  state.Note(Header(7, 1, 0, 10), {0});
  EXPECT_EQ(Refusal(state, Header(7, 0, 10, 1)), Reason::kInvalidProducerEpoch);
  EXPECT_EQ(Refusal(state, Header(7, 0, 0, 10)), Reason::kInvalidProducerEpoch);
  EXPECT_EQ(Refusal(state, Header(7, 2, 10, 1)), Reason::kOutOfOrderSequence);
  EXPECT_EQ(DuplicateOf(state, Header(7, 2, 0, 10)), std::nullopt);
  state.Note(Header(7, 2, 0, 1), {0});
  // The batches of the old epoch are gone with it.
  EXPECT_EQ(Refusal(state, Header(7, 2, 0, 10)), Reason::kOutOfOrderSequence);
}

TEST(ProducerState, ProducerKnownByAMarkerOnlyBeginsAtZero) {
  ProducerState state;
  BatchHeader marker = Header(7, 3, -1, 1);
  marker.attributes = BatchHeader::kControlBit | BatchHeader::kTransactionalBit;
  state.Note(marker, {0});
  EXPECT_EQ(Refusal(state, Header(7, 3, 5, 1)), Reason::kOutOfOrderSequence);
  EXPECT_EQ(DuplicateOf(state, Header(7, 3, 0, 1)), std::nullopt);
  EXPECT_EQ(Refusal(state, Header(7, 2, 0, 1)), Reason::kInvalidProducerEpoch);
  EXPECT_FALSE(state.LastOf({7}));
}

TEST(ProducerState, MarkerOfTheSameEpochKeepsTheBatches) {
  ProducerState state;
  state.Note(Header(7, 3, 0, 4, 10), {0});
  BatchHeader marker = Header(7, 3, -1, 1, 14);
  marker.attributes = BatchHeader::kControlBit | BatchHeader::kTransactionalBit;
  state.Note(marker, {0});
  EXPECT_EQ(DuplicateOf(state, Header(7, 3, 0, 4)), Offset{10});
}

TEST(ProducerState, ExpiryForgetsIdsThatWereQuiet) {
  ProducerBudget budget(1 << 20);
  ProducerState state({.expiration_ms = 1000, .budget = &budget});
  state.Note(Header(1, 0, 0, 1), {0});
  state.Note(Header(2, 0, 0, 1), {500});
  state.Note(Header(1, 0, 1, 1), {700});
  state.Expire({1500});
  EXPECT_EQ(state.id_count(), 2u);
  state.Expire({1501});
  EXPECT_EQ(state.id_count(), 1u);
  EXPECT_TRUE(state.LastOf({1}));
  EXPECT_FALSE(state.LastOf({2}));
  state.Expire({10000});
  EXPECT_EQ(state.id_count(), 0u);
  EXPECT_EQ(state.memory_bytes(), sizeof(ProducerState));
  EXPECT_EQ(budget.evicted_count(), 0u);
  EXPECT_EQ(budget.used_bytes(), 0u);
}

TEST(ProducerState, ClockThatWentBackDoesNotKeepIdsForEver) {
  ProducerState state({.expiration_ms = 1000});
  state.Note(Header(1, 0, 0, 1), {1000000});
  state.Expire({5000});
  state.Expire({6001});
  EXPECT_EQ(state.id_count(), 0u);
}

TEST(ProducerState, OldestIdGoesFirstWhenThereAreTooMany) {
  ProducerBudget budget(1 << 20);
  ProducerState state({.ids_max = 3, .budget = &budget});
  for (int id = 0; id < 4; ++id) {
    state.Note(Header(id, 0, 0, 1), {id});
    if (id == 2) state.Note(Header(0, 0, 1, 1), {id});
  }
  EXPECT_EQ(state.id_count(), 3u);
  EXPECT_EQ(budget.evicted_count(), 1u);
  EXPECT_TRUE(state.LastOf({0}));
  EXPECT_FALSE(state.LastOf({1}));
}

TEST(ProducerState, TheOldestMakeRoomWhereTheBudgetOfAllIsUsedUp) {
  ProducerBudget budget(10 * 220);
  ProducerState first({.budget = &budget});
  for (int id = 0; id < 8; ++id) first.Note(Header(id, 0, 0, 1), {id});
  {
    ProducerState second({.budget = &budget});
    for (int id = 0; id < 5; ++id) second.Note(Header(id, 0, 0, 1), {id});
    EXPECT_EQ(first.id_count(), 8u);  // others' ids are not touched
    EXPECT_EQ(second.id_count(), 2u);
    EXPECT_TRUE(second.LastOf({4}));
    EXPECT_EQ(budget.evicted_count(), 3u);
    // It moves with the state.
    ProducerState third(std::move(second));
    second = std::move(third);
    EXPECT_EQ(budget.used_bytes(), 10u * 220);
    ProducerState copy({.budget = &budget});
    ASSERT_TRUE(copy.Decode(second.Encode(Offset{9})).ok());
    EXPECT_EQ(budget.used_bytes(), 12u * 220);
  }
  EXPECT_EQ(budget.used_bytes(), 8u * 220);
  first.Clear();
  EXPECT_EQ(budget.used_bytes(), 0u);
}

TEST(ProducerState, RequestIdIsFoundWhateverItsContent) {
  ProducerState state;
  const int64_t id = kRequestIdRange + 12345;
  state.Note(Header(id, 0, 777, 3, 40), {99});
  const auto last = state.LastOf({id});
  ASSERT_TRUE(last);
  EXPECT_EQ(*last, (Batch{{777}, {779}, {40}, {42}, {99}}));
  EXPECT_EQ(DuplicateOf(state, Header(id, 0, 777, 3)), Offset{40});
  EXPECT_EQ(Refusal(state, Header(id, 0, 778, 3)), Reason::kInvalidArgument);
  EXPECT_EQ(DuplicateOf(state, Header(id + 1, 0, 777, 3)), std::nullopt);
  EXPECT_FALSE(state.LastOf({id + 1}));
}

TEST(ProducerState, RequestIdsLeaveByTimeAndCountWithoutTouchingProducers) {
  ProducerBudget budget(1 << 20);
  ProducerState state(
      {.ids_max = 2, .request_window_ms = 1000, .request_ids_max = 10, .budget = &budget});
  state.Note(Header(1, 0, 0, 1), {0});
  state.Note(Header(2, 0, 0, 1), {0});
  for (int i = 0; i < 25; ++i) state.Note(Header(kRequestIdRange + i, 0, i, 1, i), {i * 10});
  EXPECT_EQ(state.id_count(), 12u);
  EXPECT_EQ(budget.evicted_count(), 15u);
  EXPECT_FALSE(state.LastOf({kRequestIdRange + 14}));
  EXPECT_EQ(state.LastOf({kRequestIdRange + 15})->base_offset, Offset{15});
  state.Expire({1201});
  EXPECT_FALSE(state.LastOf({kRequestIdRange + 20}));
  EXPECT_TRUE(state.LastOf({kRequestIdRange + 21}));
  EXPECT_TRUE(state.LastOf({1}));
  EXPECT_TRUE(state.LastOf({2}));
  state.Note(Header(kRequestIdRange + 30, 0, 1, 1, 30), {5000});  // clears what expired
  EXPECT_EQ(state.id_count(), 3u);
}

TEST(ProducerState, RequestIdThatComesAgainAfterItsWindowCountsFromThen) {
  ProducerState state({.request_window_ms = 1000});
  state.Note(Header(kRequestIdRange, 0, 5, 1, 1), {0});
  state.Note(Header(kRequestIdRange, 0, 6, 1, 2), {900});
  state.Expire({1500});
  EXPECT_EQ(state.LastOf({kRequestIdRange})->base_offset, Offset{2});
  state.Expire({1901});
  EXPECT_FALSE(state.LastOf({kRequestIdRange}));
  EXPECT_EQ(state.memory_bytes(), sizeof(ProducerState));
}

TEST(ProducerState, MemoryIsSmall) {
  EXPECT_LE(sizeof(ProducerState), 64u);
  ProducerState state;
  EXPECT_EQ(state.memory_bytes(), sizeof(ProducerState));
  for (int i = 0; i < 100000; ++i) {
    state.Note(Header(kRequestIdRange + i * 7919, 0, i, 1, i), {0});
    if (i < 1000) continue;
    ASSERT_LE(state.memory_bytes() / static_cast<size_t>(i), 48u) << i;
  }
}

TEST(ProducerState, RememberedEndsNameWhatCompactionMustKeep) {
  ProducerState state;
  state.Note(Header(7, 0, 0, 4, 10), {0});
  state.Note(Header(7, 0, 4, 2, 20), {0});
  state.Note(Header(kRequestIdRange, 0, 9, 3, 30), {0});
  EXPECT_EQ(state.RememberedEnds(), (std::vector<Offset>{{13}, {21}, {32}}));
  for (int i = 0; i < 5; ++i) state.Note(Header(7, 0, 6 + i, 1, 40 + i), {0});
  EXPECT_EQ(
      state.RememberedEnds(),
      (std::vector<Offset>{{40}, {41}, {42}, {43}, {44}, {32}}));  // a retry of these is known
}

// A state with some of everything.
ProducerState Sample() {
  ProducerState state;
  for (int i = 0; i < 9; ++i) {
    state.Note(Header(i % 3, 1, i * 2, 2, i * 2), {i});
    state.Note(Header(kRequestIdRange + i % 8, 0, i, 1, 100 + i), {i});
  }
  BatchHeader marker = Header(50, 3, -1, 1);
  marker.attributes = BatchHeader::kControlBit;
  state.Note(marker, {9});
  return state;
}

TEST(ProducerState, SnapshotKeepsEverything) {
  const ProducerState state = Sample();
  const std::string snapshot = state.Encode({123});
  ProducerState copy;
  copy.Note(Header(99, 0, 0, 1), {0});
  const auto end = copy.Decode(snapshot);
  ASSERT_TRUE(end.ok()) << end.error();
  EXPECT_EQ(*end, Offset{123});
  EXPECT_EQ(copy.Encode({123}), snapshot);
  EXPECT_FALSE(copy.LastOf({99}));
  EXPECT_EQ(DuplicateOf(copy, Header(0, 1, 6, 2)), Offset{6});
  EXPECT_EQ(Refusal(copy, Header(50, 3, 1, 1)), Reason::kOutOfOrderSequence);
  EXPECT_EQ(copy.LastOf({kRequestIdRange})->base_offset, Offset{108});
}

TEST(ProducerState, EmptySnapshotCostsNothing) {
  ProducerState state;
  ASSERT_TRUE(state.Decode(ProducerState().Encode({5})).ok());
  EXPECT_EQ(state.memory_bytes(), sizeof(ProducerState));
}

TEST(ProducerState, SnapshotIsCutToNarrowerBounds) {
  ProducerState state({.ids_max = 2, .request_ids_max = 3});
  ASSERT_TRUE(state.Decode(Sample().Encode({5})).ok());
  EXPECT_EQ(state.id_count(), 5u);
  EXPECT_TRUE(state.LastOf({2}));
  EXPECT_FALSE(state.LastOf({0}));
}

TEST(ProducerState, DamagedSnapshotIsRefusedAndLeavesNothing) {
  const std::string good = Sample().Encode({123});
  for (size_t size = 0; size < good.size(); ++size) {
    ProducerState state = Sample();
    EXPECT_FALSE(state.Decode(good.substr(0, size)).ok()) << size;
    EXPECT_EQ(state.id_count(), 0u);
  }
  Random random(5);
  for (int i = 0; i < 2000; ++i) {
    std::string bad = good;
    const size_t at = random.Below(bad.size());
    bad[at] = static_cast<char>(bad[at] ^ (1 << random.Below(8)));
    ProducerState state;
    EXPECT_FALSE(state.Decode(bad).ok()) << at;
    EXPECT_EQ(state.id_count(), 0u);
  }
}

TEST(RequestIds, AgreesWithAMap) {
  Random random(3);
  for (const uint64_t id_count : {5u, 300u, 100000u}) {
    RequestIds ids;
    std::map<int64_t, int64_t> expected;  // id to base offset
    for (int64_t i = 0; i < 20000; ++i) {
      if (!ids.empty() && random.Below(100) < (i / 4000 % 2 == 0 ? 30u : 65u)) {
        const auto oldest = ids.oldest();
        if (oldest.id != kNoProducerId) expected.erase(oldest.id.value);
        ids.DropOldest();
      } else {
        const int64_t id = kRequestIdRange + static_cast<int64_t>(random.Below(id_count)) * 4096;
        ids.Add({.id = {id}, .base_offset = {i}});
        expected[id] = i;
      }
      const int64_t asked = kRequestIdRange + static_cast<int64_t>(random.Below(id_count)) * 4096;
      const auto* found = ids.Find({asked});
      ASSERT_EQ(found != nullptr, expected.contains(asked));
      if (found == nullptr) continue;
      ASSERT_EQ(found->base_offset.value, expected[asked]);
    }
    for (const auto& [id, offset] : expected) ASSERT_EQ(ids.Find({id})->base_offset.value, offset);
  }
}

}  // namespace
}  // namespace gregor
