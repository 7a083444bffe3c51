#ifndef GREGOR_TESTS_CONTROLLER_IMAGE_REPLAY_HARNESS_H_
#define GREGOR_TESTS_CONTROLLER_IMAGE_REPLAY_HARNESS_H_

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "controller/image/replay.h"
#include "tests/controller/image/record_maker.h"

namespace gregor {

// Replays records one batch after the other, as a log would, beginning with a cluster's first ones.
class ReplayHarness : public testing::Test {
 protected:
  ReplayHarness() { Commit({make_.FeatureLevel(), make_.Cluster()}); }

  MetadataDelta Commit(const std::vector<pb::MetadataRecord>& records) {
    Replay replay(image_);
    for (const auto& record : records) {
      const auto applied = replay.Apply(next_, SerializeRecord(record));
      EXPECT_TRUE(applied.ok()) << applied.error();
      next_ = next_ + 1;
    }
    MetadataDelta delta = replay.Finish({next_, LeaderEpoch{1}, Timestamp{5}});
    EXPECT_EQ(delta.before, image_);
    image_ = delta.after;
    return delta;
  }
  // Why `record` is refused; empty: it is not.
  std::string Refusal(const pb::MetadataRecord& record) {
    Replay replay(image_);
    const auto applied = replay.Apply(next_, SerializeRecord(record));
    return applied.ok() ? "" : applied.error().message;
  }

  RecordMaker make_;
  Offset next_{0};
  ImagePtr image_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_CONTROLLER_IMAGE_REPLAY_HARNESS_H_
