#ifndef GREGOR_CONTROLLER_IMAGE_FEATURE_LEVEL_H_
#define GREGOR_CONTROLLER_IMAGE_FEATURE_LEVEL_H_

#include <cstdint>

namespace gregor {

// Feature levels that this version reads and writes (docs/formats.md, "Feature levels").
inline constexpr int32_t kFeatureLevelMin = 1;
inline constexpr int32_t kFeatureLevel = 2;

// From which level on state hashes are written.
inline constexpr int32_t kStateHashLevel = 2;

// The feature's name, for clients.
inline constexpr char kMetadataFeature[] = "metadata";

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_FEATURE_LEVEL_H_
