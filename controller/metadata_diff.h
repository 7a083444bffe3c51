#ifndef GREGOR_CONTROLLER_METADATA_DIFF_H_
#define GREGOR_CONTROLLER_METADATA_DIFF_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controller/image/image.h"

namespace gregor {

// One object that is not the same in two images.
struct ObjectChange {
  enum class Kind { kAdded, kRemoved, kChanged };
  // A field's value as text, or as JSON; nullopt: it is not there.
  struct Field {
    std::string name;
    std::optional<std::string> before;
    std::optional<std::string> after;
  };
  Kind kind = Kind::kChanged;
  // "cluster", "broker", "config", "topic", "partition", "acl", "user", "quota", or a record's
  // name.
  std::string type;
  std::string name;           // of the object among those
  std::vector<Field> fields;  // that differ; of one that came or went: all that are set
};

// What makes `after` of `before`, by object, in the order of types and names. Of a topic that came
// or went as a whole partitions are only counted. Values are JSON, or for people. Thread: any.
std::vector<ObjectChange> DiffObjects(const MetadataImage& before, const MetadataImage& after,
                                      bool as_json);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_METADATA_DIFF_H_
