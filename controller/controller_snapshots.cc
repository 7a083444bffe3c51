// ControllerImpl: snapshots that come from other nodes, and go to them.
#include <utility>

#include "controller/controller_impl.h"
#include "controller/image/image_diff.h"
#include "controller/image/snapshot.h"

namespace gregor {

void ControllerImpl::OnSnapshotOffered(NodeId leader, const raft::SnapshotId& snapshot) {
  if (installing_ || options_.snapshots == nullptr || closing_ || keeper_ == nullptr) return;
  installing_ = true;
  LOG(INFO) << "The metadata log of node " << leader << " begins behind this node's: a snapshot up "
            << "to offset " << snapshot.end << " is fetched";
  options_.snapshots->Fetch(leader, snapshot.end, [this, alive = alive_](auto fetched) {
    if (*alive) OnFetched(std::move(fetched));
  });
}

void ControllerImpl::OnFetched(Result<TravellingSnapshot> fetched) {
  if (!fetched.ok()) return EndInstall(fetched.error());
  const raft::SnapshotId id = fetched->id;
  auto voters = fetched->voters;
  CheckFetched(*std::move(fetched),
               [this, id, voters = std::move(voters)](Result<DecodedSnapshot> snapshot) mutable {
                 if (!snapshot.ok()) return EndInstall(snapshot.error());
                 InstallSnapshot(*std::move(snapshot), id, std::move(voters));
               });
}

// Every byte is checked before anything of it counts.
void ControllerImpl::CheckFetched(TravellingSnapshot fetched,
                                  UniqueFunction<void(Result<DecodedSnapshot>)> checked) {
  options_.disk->Submit(
      Lane::kBackground, "controller.check_snapshot", *options_.loop,
      [bytes = std::move(fetched.bytes)]() mutable -> Result<DecodedSnapshot> {
        ASSIGN_OR_RETURN(ImagePtr image, DecodeSnapshot(bytes));
        return DecodedSnapshot{std::move(bytes), std::move(image)};
      },
      [this, alive = alive_, id = fetched.id,
       checked = std::move(checked)](Result<DecodedSnapshot> snapshot) mutable {
        if (!*alive) return;
        if (!snapshot.ok()) return checked(std::move(snapshot));
        const MetadataImage& image = *snapshot->image;
        const ImagePosition position = PositionOf(image);
        const bool is_right = position.version == id.end && position.term.value == id.term.value &&
                              image.cluster_id == found_->identity.cluster_id;
        if (is_right) return checked(std::move(snapshot));
        checked(Error(Reason::kStorageError, "the snapshot is another one than it says"));
      });
}

void ControllerImpl::InstallSnapshot(DecodedSnapshot snapshot, const raft::SnapshotId& id,
                                     std::optional<raft::VotersAt> voters) {
  const ImagePtr image = snapshot.image;
  const uint64_t size_bytes = snapshot.bytes.size();
  log_->Install(
      id, std::move(voters),
      [this, snapshot = std::move(snapshot)](MetadataLog::Kept kept) mutable {
        keeper_->Keep(std::move(snapshot), std::move(kept));
      },
      [this, alive = alive_, image, size_bytes](Result<bool> installed) {
        if (!*alive) return;
        if (!installed.ok()) return EndInstall(installed.error());
        if (*installed) {
          committed_ = image->version;
          DropHealing();
          NoteSnapshot(committed_, size_bytes);
          Publish(DiffImages(image_, image), 0);
          EndFollowing();
        }
        EndInstall({});
      });
}

void ControllerImpl::EndInstall(const Result<void>& result) {
  installing_ = false;
  LOG_IF(WARNING, !result.ok()) << "No snapshot of the metadata was installed: " << result.error()
                                << "; it is tried again";
}

void ControllerImpl::ReadSnapshot(const SnapshotWish& wish, SnapshotSource::Opened opened) {
  std::optional<ImagePosition> begun;
  if (wish.begun.has_value() && wish.begun->end >= wish.end_min)
    begun = {wish.begun->end, LeaderEpoch{wish.begun->term.value}, Timestamp{0}};
  keeper_->Open(begun, [this, alive = alive_, end_min = wish.end_min, opened = std::move(opened)](
                           Result<ImageKeeper::OpenSnapshot> found) mutable {
    if (*alive) ServeSnapshot(end_min, std::move(found), std::move(opened));
  });
}

void ControllerImpl::ServeSnapshot(Offset end_min, Result<ImageKeeper::OpenSnapshot> found,
                                   SnapshotSource::Opened opened) {
  const bool is_enough = found.ok() && found->snapshot.end_offset >= end_min;
  // Who asks the leader comes again.
  if (!is_enough && leading_.has_value()) keeper_->WriteSoon();
  if (!found.ok()) return opened(std::move(found).error());
  const SnapshotFile& snapshot = found->snapshot;
  if (!is_enough) {
    return opened(
        Error(Reason::kLeaderNotAvailable, "the newest metadata snapshot ends at offset " +
                                               std::to_string(snapshot.end_offset.value)));
  }
  const auto read = [this, alive = alive_, file = found->file](uint64_t position, size_t size,
                                                               ServedSnapshot::ChunkRead done) {
    if (!*alive) return done(Error(Reason::kLeaderNotAvailable, "the node stops"));
    options_.disk->Submit(
        Lane::kRead, "controller.read_snapshot", *options_.loop,
        [file, position, size]() -> Result<std::string> {
          std::string bytes(size, '\0');
          ASSIGN_OR_RETURN(const size_t got,
                           file->Read(position, {reinterpret_cast<uint8_t*>(bytes.data()), size}));
          if (got == size) return bytes;
          return Error(Reason::kStorageError, "a metadata snapshot is shorter than it was");
        },
        std::move(done));
  };
  opened(ServedSnapshot{{snapshot.end_offset, Term{snapshot.term.value}},
                        log_->VotersBefore(snapshot.end_offset),
                        snapshot.size_bytes,
                        read});
}

}  // namespace gregor
