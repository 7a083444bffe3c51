#ifndef GREGOR_STORAGE_RESERVED_FILES_H_
#define GREGOR_STORAGE_RESERVED_FILES_H_

#include <memory>
#include <string>
#include <vector>

#include "storage/file_system.h"

namespace gregor {

// A file system that keeps some space of its disk back for a few files: a file of zeros takes the
// space, and is cut step by step where one of them finds the disk full (A10). So whoever deletes
// things to win space can note that he did. Other files are passed through. Thread: any, as the
// file system underneath.
class ReservedFiles final : public FileSystem {
 public:
  struct Options {
    std::string path;  // the file that takes the space; its folder exists
    uint64_t bytes = 8u << 20;
    uint64_t step_bytes = 1u << 20;          // given back at a time
    std::vector<std::string> beneficiaries;  // what their paths begin with
  };

  // REQUIRES: `files` outlives it, and the files opened here do not.
  ReservedFiles(FileSystem& files, Options options) : files_(files), options_(std::move(options)) {}

  // Takes the space as far as it is missing, where the disk has plenty. Space() does that, too: who
  // looks at the space now and then keeps the reserve whole. Fails as a write does.
  Result<void> Fill();

  Result<FilePtr> Open(const std::string& path, OpenMode mode) override;
  Result<bool> Exists(const std::string& path) override { return files_.Exists(path); }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    return files_.List(path);
  }
  Result<void> MakeDirectory(const std::string& path) override;
  Result<void> AddDirectory(const std::string& path) override;
  Result<void> Rename(const std::string& from, const std::string& to) override;
  Result<void> Remove(const std::string& path) override { return files_.Remove(path); }
  Result<void> SyncDirectory(const std::string& path) override {
    return files_.SyncDirectory(path);
  }
  Result<DiskSpace> Space(const std::string& path) override;
  Result<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) override {
    return files_.Lock(path);
  }
  Result<void> SyncAll(std::span<const FilePtr> files,
                       std::span<const std::string> folders) override;

 private:
  class ReservedFile;

  // Runs `call`, again with more space for as long as the disk is full and there is a reserve.
  template <typename Call>
  auto WithReserve(Call call);
  bool IsBeneficiary(const std::string& path) const;
  // Whether there was something to give back.
  bool GiveBack();

  FileSystem& files_;
  const Options options_;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_RESERVED_FILES_H_
