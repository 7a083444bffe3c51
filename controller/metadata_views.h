#ifndef GREGOR_CONTROLLER_METADATA_VIEWS_H_
#define GREGOR_CONTROLLER_METADATA_VIEWS_H_

#include <iosfwd>
#include <string>

#include "base/result.h"
#include "controller/metadata_history.h"
#include "controller/metadata_print.h"
#include "storage/file_system.h"

namespace gregor {

// The metadata of a file at a moment: of a data directory, or of a snapshot.
struct MetadataSource {
  std::string path;
  MetadataMoment moment;
};

// Prints where the source stands, and its objects. Fails as MetadataHistory does. Thread: any that
// may block.
Result<void> PrintMetadataAt(FileSystem& files, const MetadataSource& source, DumpFormat format,
                             std::ostream& out);

// Prints what makes the second of the first, by object; with `records` also the records between
// them. Fails as MetadataHistory does, and with kInvalidArgument where `records` are wanted of two
// sources that are not one data directory, earlier moment first. Thread: any that may block.
Result<void> PrintMetadataDiff(FileSystem& files, const MetadataSource& first,
                               const MetadataSource& second, bool records, DumpFormat format,
                               std::ostream& out);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_METADATA_VIEWS_H_
