#include <utility>

#include "controller/image/image_store.h"

namespace gregor {
namespace {

class MemoryStore final : public ImageStore {
 public:
  explicit MemoryStore(std::shared_ptr<MemoryRows> rows) : rows_(std::move(rows)) {}

  Result<ImagePtr> Load() override {
    if (!rows_->has_position) return ImagePtr();
    ImageLoader loader;
    for (const auto& [key, record] : rows_->rows) RETURN_IF_ERROR(loader.Add(key, record));
    return loader.Finish(rows_->position);
  }

  Result<Offset> Write(const std::vector<RowChange>& changes, const ImagePosition& position,
                       bool durable) override {
    ++rows_->write_count;
    if (rows_->fails) return Error(Reason::kStorageError, "it is to fail");
    unflushed_.insert(unflushed_.end(), changes.begin(), changes.end());
    if (!durable && !rows_->keeps_all) return rows_->position.version;
    for (const RowChange& change : std::exchange(unflushed_, {})) {
      CHECK_EQ(rows_->rows.count(change.key) != 0, change.replaces);
      if (change.record.has_value()) {
        rows_->rows[change.key] = *change.record;
      } else {
        rows_->rows.erase(change.key);
      }
    }
    rows_->has_position = true;
    rows_->position = position;
    return position.version;
  }

  Result<void> Reset() override {
    unflushed_.clear();
    rows_->rows.clear();
    rows_->has_position = false;
    rows_->position = {};
    return {};
  }

 private:
  const std::shared_ptr<MemoryRows> rows_;
  std::vector<RowChange> unflushed_;
};

}  // namespace

std::unique_ptr<ImageStore> NewMemoryStore(std::shared_ptr<MemoryRows> rows) {
  return std::make_unique<MemoryStore>(std::move(rows));
}

}  // namespace gregor
