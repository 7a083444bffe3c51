#ifndef GREGOR_CONTROLLER_METADATA_DUMP_H_
#define GREGOR_CONTROLLER_METADATA_DUMP_H_

#include <iosfwd>
#include <string>

#include "base/result.h"
#include "base/types.h"
#include "controller/metadata_print.h"
#include "storage/file_system.h"

namespace gregor {

struct MetadataDumpOptions {
  DumpFormat format = DumpFormat::kText;
  // Every record of the log that is still there, one a line: offset, term, time, record.
  bool records = true;
  bool image = true;  // what the records up to `until` mean
  Offset from{0};
  Offset until{INT64_MAX};
};

// Prints the metadata of a stopped node: reads the files as they are, changes nothing, and takes no
// lock. Where `until` lies inside of a transaction the image is the one before that, and a line
// says so. Fails with kStorageError where files are missing or damaged, after having printed what
// comes before that. Thread: any that may block.
Result<void> DumpMetadata(FileSystem& files, const std::string& data_dir,
                          const MetadataDumpOptions& options, std::ostream& out);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_METADATA_DUMP_H_
