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

  Result<void> Write(const std::vector<RowChange>& changes,
                     const ImagePosition& position) override {
    for (const RowChange& change : changes) {
      CHECK_EQ(rows_->rows.count(change.key) != 0, change.replaces);
      if (change.record.has_value()) {
        rows_->rows[change.key] = *change.record;
      } else {
        rows_->rows.erase(change.key);
      }
    }
    rows_->has_position = true;
    rows_->position = position;
    return {};
  }

  Result<void> Reset() override {
    *rows_ = {};
    return {};
  }

 private:
  const std::shared_ptr<MemoryRows> rows_;
};

}  // namespace

std::unique_ptr<ImageStore> NewMemoryStore(std::shared_ptr<MemoryRows> rows) {
  return std::make_unique<MemoryStore>(std::move(rows));
}

}  // namespace gregor
