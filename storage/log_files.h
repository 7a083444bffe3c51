#ifndef GREGOR_STORAGE_LOG_FILES_H_
#define GREGOR_STORAGE_LOG_FILES_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/file_system.h"
#include "storage/log_directory.h"
#include "storage/segment.h"

namespace gregor {

// The files of one log: "<segment>.log", "<segment>.index", "<base offset>.producers", "checkpoint"
// (docs/formats.md "A log's folder"). Thread: disk, unless said otherwise.

inline constexpr char kCheckpointFile[] = "checkpoint";
// Suffixes of a segment's files.
inline constexpr std::string_view kLogSuffix = "log";
inline constexpr std::string_view kIndexSuffix = "index";
inline constexpr std::string_view kProducersSuffix = "producers";  // named by the base offset alone
// Behind the name of a segment's file that is on its way out, or not ready yet.
inline constexpr std::string_view kDeletedSuffix = ".deleted";
inline constexpr std::string_view kUnfinishedSuffix = ".cleaned";

// The path of a segment's file. Thread: any.
std::string SegmentPath(const LogDirectory& directory, const TopicIdPartition& id,
                        const SegmentName& segment, std::string_view suffix = "log");

// Index file of a segment that is complete.
Result<void> WriteIndexFile(FileSystem& files, const std::string& folder, const Segment& segment);
// nullopt where it is missing, damaged, or of another size of the segment.
std::optional<SegmentIndex> ReadIndexFile(FileSystem& files, const std::string& folder,
                                          const Segment& segment);

// The index of a segment that is complete: from its file, or built again (and written, if that is
// possible). Damage in the segment, or what cannot be read, ends it early. Fails with kStorageError
// where the segment cannot be opened.
Result<std::shared_ptr<SegmentIndex>> LoadIndex(LogDirectory& directory, const TopicIdPartition& id,
                                                const Segment& segment, size_t batch_bytes_max,
                                                int64_t interval_bytes);

// Writes the bytes [begin, end) of the file again. After a sync that failed the system may hold
// pages that are not on the disk, and believe that they are: a later sync would pass them over.
// What is written anew it has to write.
Result<void> WriteAgain(File& file, uint64_t begin, uint64_t end);

// Segments that are no part of the log any more.
struct DeletedSegments {
  std::vector<SegmentName> names;
  Offset first_left{0};  // base offset of the oldest segment that stays
  // Base offsets at which no segment begins any more.
  std::vector<Offset> former_bases;
};
// Their files get another name, so that they are not taken for the log's, whatever happens; what is
// known of the producers in front of what stays is durable before. To be removed for good with
// RemoveDeleted().
Result<void> MarkDeleted(LogDirectory& directory, const TopicIdPartition& id,
                         const DeletedSegments& segments);
Result<void> RemoveDeleted(LogDirectory& directory, const TopicIdPartition& id,
                           const std::vector<SegmentName>& segments);

}  // namespace gregor

#endif  // GREGOR_STORAGE_LOG_FILES_H_
