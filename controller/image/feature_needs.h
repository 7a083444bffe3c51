#ifndef GREGOR_CONTROLLER_IMAGE_FEATURE_NEEDS_H_
#define GREGOR_CONTROLLER_IMAGE_FEATURE_NEEDS_H_

#include <string>
#include <vector>

#include "base/result.h"
#include "controller/image/image.h"
#include "controller/image/records.h"

namespace gregor {

// What feature levels let one write. Thread: any.

// What of the image can be written above `level` only, for people: "acl (3), client quota (1)";
// empty: nothing. Topics are level 1 throughout, and not looked at.
std::string WhatNeedsMore(const MetadataImage& image, int32_t level);

// Whether these records may be written where `level` is in force, one of them changing it. Fails
// with kUnsupportedVersion, NOT_APPLIED, saying what to do.
Result<void> CheckLevels(const std::vector<pb::MetadataRecord>& records, int32_t level);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_FEATURE_NEEDS_H_
