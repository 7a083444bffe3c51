#ifndef GREGOR_CONTROLLER_IMAGE_ROWS_H_
#define GREGOR_CONTROLLER_IMAGE_ROWS_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "controller/image/image.h"
#include "controller/image/records.h"
#include "controller/image/replay.h"

namespace gregor {

// An image as rows: a key for each object, and the record that makes it. Stores and snapshots keep
// rows; in the order of their keys they replay to the image (keys: docs/formats.md). Equal images
// have equal rows. Thread: any that may take a while.

// Partitions of a topic that share one row.
inline constexpr int32_t kPartitionsPerRow = 128;

using RowVisitor = std::function<Result<void>(std::string_view key, const std::string& record)>;

// Calls `visit` for each row of the image, in order, until it fails. The version is not in it.
Result<void> VisitRows(const MetadataImage& image, const RowVisitor& visit);

// The same without topics.
Result<void> VisitRowsBesideTopics(const MetadataImage& image, const RowVisitor& visit);

// The same for one topic: its record, its configs if it has any, its partitions.
Result<void> VisitTopicRows(const TopicImage& topic, const RowVisitor& visit);

// A row that is new or changed, or (nullopt) gone.
struct RowChange {
  std::string key;
  std::optional<std::string> record;
  // Whether there was a row before.
  bool replaces = false;
  friend bool operator==(const RowChange&, const RowChange&) = default;
};
// What makes the rows of `after` of those of `before` (nullptr: none). Keys are distinct.
std::vector<RowChange> DiffRows(const MetadataImage* before, const MetadataImage& after);

// The state hash of an image, made anew (docs/formats.md, "State hash").
uint64_t StateHashOf(const MetadataImage& image);
// Gives `after` its state hash and size, from those of `before`: takes time in proportion to what
// is different.
void UpdateStateHash(const MetadataImage& before, MetadataImage& after);

// Makes an image of rows, which come in order. Fails with kStorageError where they contradict each
// other.
class ImageLoader {
 public:
  ImageLoader() : replay_(nullptr) {}
  Result<void> Add(std::string_view key, std::string_view record);
  int64_t row_count() const { return row_count_; }
  // Once. Fails with kStorageError where they make another state than that of `position`.
  Result<ImagePtr> Finish(const ImagePosition& position);

 private:
  Replay replay_;
  std::string last_key_;
  int64_t row_count_ = 0;
};

// Records of single objects, as the controller writes them, too.
pb::MetadataRecord MakeBrokerRecord(const BrokerImage& broker, bool with_epoch);
void AddPartition(const PartitionImage& partition, pb::PartitionsRecord& record);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_ROWS_H_
