#include "controller/snapshot_source.h"

#include <utility>

namespace gregor {

void ReadWhole(const SnapshotSource::Reader& reader, Offset end_min,
               SnapshotSource::Fetched fetched) {
  reader({end_min, {}}, [fetched = std::move(fetched)](Result<ServedSnapshot> opened) mutable {
    if (!opened.ok()) return fetched(std::move(opened).error());
    const auto read = opened->read;
    const auto size = static_cast<size_t>(opened->size_bytes);
    read(0, size,
         [fetched = std::move(fetched),
          snapshot = *std::move(opened)](Result<std::string> bytes) mutable {
           if (!bytes.ok()) return fetched(std::move(bytes).error());
           fetched(TravellingSnapshot{snapshot.id, std::move(snapshot.voters), *std::move(bytes)});
         });
  });
}

}  // namespace gregor
