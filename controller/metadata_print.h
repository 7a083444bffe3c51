#ifndef GREGOR_CONTROLLER_METADATA_PRINT_H_
#define GREGOR_CONTROLLER_METADATA_PRINT_H_

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>

#include "base/record_batch.h"
#include "base/result.h"
#include "controller/format.h"
#include "controller/image/image.h"
#include "raft/core/types.h"

namespace gregor {

// kJson: one document a line.
enum class DumpFormat { kText, kJson };

// Prints the metadata of a node's files. The request_id key is shown as "<secret>". Thread: any.
class MetadataPrinter {
 public:
  // `out` outlives it.
  MetadataPrinter(DumpFormat format, std::ostream& out)
      : as_json_(format == DumpFormat::kJson), out_(out) {}

  bool as_json() const { return as_json_; }
  std::ostream& out() { return out_; }

  void Node(const NodeIdentity& identity, Term term);
  // Something that does not end the command.
  void Note(const std::string& name, const std::string& text);
  // The batch's records in [from, until), control records included. Fails with kStorageError where
  // one cannot be read.
  Result<void> Records(const RecordBatch& batch, Offset from, Offset until);
  // How much it is, and its objects.
  void Image(const MetadataImage& image);

 private:
  void Record(Offset offset, const BatchHeader& header, const std::string& text);

  const bool as_json_;
  std::ostream& out_;
};

// Calls `visit` with each record of a batch that is no control batch, its offset and bytes. Fails
// with kStorageError, and as `visit` does.
Result<void> VisitRecordsOf(
    const RecordBatch& batch,
    const std::function<Result<void>(Offset offset, std::string_view record)>& visit);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_METADATA_PRINT_H_
