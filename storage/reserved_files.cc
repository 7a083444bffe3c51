#include "storage/reserved_files.h"

#include <algorithm>
#include <utility>

namespace gregor {

template <typename Call>
auto ReservedFiles::WithReserve(Call call) {
  auto result = call();
  while (!result.ok() && result.error().reason == Reason::kDiskFull && GiveBack()) result = call();
  return result;
}

// A file that may draw on the reserve. What is tried again is what may be: a write to the same
// place, never a sync.
class ReservedFiles::ReservedFile final : public File {
 public:
  ReservedFile(ReservedFiles& owner, FilePtr file) : owner_(owner), file_(std::move(file)) {}

  const FilePtr& file() const { return file_; }

  Result<void> Write(uint64_t position, const Bytes& data) override {
    return owner_.WithReserve([&] { return file_->Write(position, data); });
  }
  Result<size_t> Read(uint64_t position, std::span<uint8_t> out) override {
    return file_->Read(position, out);
  }
  int64_t ReadCached(uint64_t position, std::span<uint8_t> out) override {
    return file_->ReadCached(position, out);
  }
  Result<void> Sync() override { return file_->Sync(); }
  Result<void> Truncate(uint64_t size) override {
    return owner_.WithReserve([&] { return file_->Truncate(size); });
  }
  Result<void> Allocate(uint64_t size) override {
    return owner_.WithReserve([&] { return file_->Allocate(size); });
  }
  Result<bool> IsBlank(uint64_t position) override { return file_->IsBlank(position); }
  Result<uint64_t> Size() override { return file_->Size(); }
  void DropCache(uint64_t position, uint64_t size) override { file_->DropCache(position, size); }

 private:
  ReservedFiles& owner_;
  const FilePtr file_;
};

bool ReservedFiles::IsBeneficiary(const std::string& path) const {
  return std::any_of(options_.beneficiaries.begin(), options_.beneficiaries.end(),
                     [&](const std::string& prefix) { return path.starts_with(prefix); });
}

// Whoever comes at the same time cuts to the same size, and tries again: nothing is lost.
bool ReservedFiles::GiveBack() {
  const auto file = files_.Open(options_.path, OpenMode::kReadWrite);
  if (!file.ok()) return false;
  const auto size = (*file)->Size();
  if (!size.ok() || *size == 0) return false;
  const uint64_t left = *size - std::min(*size, options_.step_bytes);
  const auto cut = (*file)->Truncate(left);
  LOG_IF(WARNING, !cut.ok()) << "The reserve cannot be given back: " << cut.error();
  LOG_IF(WARNING, cut.ok()) << "The disk is full: " << *size - left << " bytes of the reserve in "
                            << options_.path << " are given back, " << left << " are left";
  return cut.ok();
}

Result<void> ReservedFiles::Fill() {
  ASSIGN_OR_RETURN(const bool exists, files_.Exists(options_.path));
  uint64_t size = 0;
  if (exists) {
    ASSIGN_OR_RETURN(const FilePtr file, files_.Open(options_.path, OpenMode::kRead));
    ASSIGN_OR_RETURN(size, file->Size());
  }
  if (size >= options_.bytes) return {};
  ASSIGN_OR_RETURN(const DiskSpace space, files_.Space(ParentPath(options_.path)));
  // Not what was given back a moment ago.
  if (space.free_bytes < 2 * options_.bytes) return {};
  ASSIGN_OR_RETURN(const FilePtr file, files_.Open(options_.path, OpenMode::kCreate));
  return file->Allocate(options_.bytes);
}

Result<DiskSpace> ReservedFiles::Space(const std::string& path) {
  const auto filled = Fill();
  LOG_IF(WARNING, !filled.ok()) << "The reserve is not whole: " << filled.error();
  return files_.Space(path);
}

Result<FilePtr> ReservedFiles::Open(const std::string& path, OpenMode mode) {
  if (!IsBeneficiary(path)) return files_.Open(path, mode);
  ASSIGN_OR_RETURN(FilePtr file, WithReserve([&] { return files_.Open(path, mode); }));
  return FilePtr(std::make_shared<ReservedFile>(*this, std::move(file)));
}

Result<void> ReservedFiles::MakeDirectory(const std::string& path) {
  if (!IsBeneficiary(path)) return files_.MakeDirectory(path);
  return WithReserve([&] { return files_.MakeDirectory(path); });
}

Result<void> ReservedFiles::AddDirectory(const std::string& path) {
  if (!IsBeneficiary(path)) return files_.AddDirectory(path);
  return WithReserve([&] { return files_.AddDirectory(path); });
}

Result<void> ReservedFiles::Rename(const std::string& from, const std::string& to) {
  if (!IsBeneficiary(to)) return files_.Rename(from, to);
  return WithReserve([&] { return files_.Rename(from, to); });
}

Result<void> ReservedFiles::SyncAll(std::span<const FilePtr> files,
                                    std::span<const std::string> folders) {
  std::vector<FilePtr> plain;
  plain.reserve(files.size());
  for (const FilePtr& file : files) {
    const auto* const reserved = dynamic_cast<const ReservedFile*>(file.get());
    plain.push_back(reserved == nullptr ? file : reserved->file());
  }
  return files_.SyncAll(plain, folders);
}

}  // namespace gregor
