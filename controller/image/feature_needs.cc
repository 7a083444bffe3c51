#include "controller/image/feature_needs.h"

#include <map>

#include "base/check.h"
#include "controller/image/rows.h"

namespace gregor {

std::string WhatNeedsMore(const MetadataImage& image, int32_t level) {
  std::map<std::string, int64_t> counts;
  const auto visited =
      VisitRowsBesideTopics(image, [&](std::string_view, const std::string& bytes) -> Result<void> {
        ASSIGN_OR_RETURN(const pb::MetadataRecord record, ParseRecord(bytes));
        if (FeatureLevelOf(record) > level) ++counts[RecordTypeName(record)];
        return {};
      });
  CHECK(visited.ok()) << visited.error();
  std::string text;
  for (const auto& [name, count] : counts)
    text += (text.empty() ? "" : ", ") + name + " (" + std::to_string(count) + ")";
  return text;
}

Result<void> CheckLevels(const std::vector<pb::MetadataRecord>& records, int32_t level) {
  for (const pb::MetadataRecord& record : records) {
    if (record.has_feature_level()) {
      level = record.feature_level().level();
      continue;
    }
    const int32_t needed = FeatureLevelOf(record);
    if (needed <= level) continue;
    return Error(Reason::kUnsupportedVersion,
                 "this needs feature level " + std::to_string(needed) + ", and the cluster is at " +
                     std::to_string(level) +
                     ": once all nodes run a version that has it, raise the level with `gregor "
                     "cluster features upgrade`")
        .With("outcome", "NOT_APPLIED");
  }
  return {};
}

}  // namespace gregor
