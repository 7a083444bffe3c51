#ifndef GREGOR_BROKER_GRPC_METADATA_DIFF_H_
#define GREGOR_BROKER_GRPC_METADATA_DIFF_H_

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "controller/image/image.h"
#include "gregor/v1/cluster.pb.h"

namespace gregor {

// Which topics a watcher wants. Thread: any.
class TopicFilter {
 public:
  // Fails with kInvalidArgument (too many names, a pattern that is too long or is none).
  static Result<std::unique_ptr<TopicFilter>> Parse(const v1::WatchMetadataRequest& request);
  virtual ~TopicFilter() = default;

  virtual bool Takes(std::string_view topic) const = 0;
  // Names that were asked for, whether they exist or not.
  virtual const std::set<std::string, std::less<>>& names() const = 0;
  // Whether `names` are all it takes.
  virtual bool names_only() const = 0;
};

// What a watcher is told to get from one image to a later one, in messages of bounded size. Thread:
// its owner's.
class MetadataDiff {
 public:
  struct Options {
    ImagePtr before;  // nullptr: the watcher knows nothing yet
    ImagePtr after;
    // Topics that may differ; nullopt: any.
    std::optional<std::vector<std::string>> topics;
    bool brokers = true;  // whether they may differ
    // What a message takes in memory, which is some ten times its size on the wire: that is what a
    // stalled stream holds.
    size_t message_bytes_max = 128u << 10;
  };

  // REQUIRES: `filter` outlives this.
  MetadataDiff(Options options, const TopicFilter& filter);

  // Fills the next message, which is empty at first. False: nothing is left to be told, and
  // `message` is as it was.
  bool Next(v1::GetMetadataResponse& message);
  // Whether Next() would find nothing; where true after a message, that was the last one.
  bool done();
  const ImagePtr& after() const { return options_.after; }

 private:
  bool FillNames();
  void Tell(const std::string& name, v1::GetMetadataResponse& message);
  void TellDeleted(const TopicImage& topic, v1::GetMetadataResponse& message);
  void TellChanged(const TopicImage* before, const TopicImage& after,
                   v1::GetMetadataResponse& message);
  void TellMissing(const std::string& name, v1::GetMetadataResponse& message);
  bool Differs(const std::string& name) const;

  Options options_;
  const TopicFilter& filter_;
  bool told_brokers_ = false;
  std::vector<std::string> names_;  // to go, last first
  std::string all_after_;           // where the walk over all names goes on
  bool names_end_ = false;          // no names come after names_
  bool told_deleted_ = false;       // of the topic at hand
  PartitionIndex partition_{0};     // where the topic at hand goes on
  size_t bytes_ = 0;                // of the message at hand
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_METADATA_DIFF_H_
