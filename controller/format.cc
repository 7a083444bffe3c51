#include "controller/format.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "controller/image/records.h"
#include "controller/image/replay.h"
#include "controller/image/snapshot.h"
#include "raft/host/raft_log.h"
#include "storage/meta_properties.h"

namespace gregor {
namespace {

constexpr char kMetaFile[] = "meta.properties";
constexpr char kBootstrapFile[] = "bootstrap";
constexpr char kMetadataFolder[] = "metadata";
constexpr int kFormat = 1;
constexpr size_t kMetaBytesMax = 64u << 10;

Error Refused(const std::string& data_dir, const std::string& what) {
  return Error(Reason::kStorageError, "data directory " + data_dir + " " + what)
      .With("path", data_dir);
}

// The file of a log directory has the same lines, so that the metadata directory is one.
std::string EncodeIdentity(const NodeIdentity& identity) {
  return WithPropertiesChecksum("version=" + std::to_string(identity.format) +
                                "\ncluster.id=" + identity.cluster_id.ToString() +
                                "\nnode.id=" + std::to_string(identity.node_id.value) +
                                "\ndirectory.id=" + identity.directory_id.ToString() + "\n");
}

std::optional<int32_t> ParseInt(std::string_view text) {
  int32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

Result<NodeIdentity> DecodeIdentity(std::string_view text, const std::string& data_dir) {
  const auto properties = ParseProperties(text);
  const auto value = [&](const char* name) {
    const auto found = properties.find(name);
    return found == properties.end() ? std::string_view() : std::string_view(found->second);
  };
  const auto version = ParseInt(value("version"));
  if (version.has_value() && *version != kFormat) {
    return Refused(data_dir, "has format version " + std::to_string(*version) +
                                 ", and this release knows " + std::to_string(kFormat) +
                                 ": use the release that wrote it");
  }
  const auto cluster = ClusterId::Parse(value("cluster.id"));
  const auto node = ParseInt(value("node.id"));
  const auto directory = DirectoryId::Parse(value("directory.id"));
  if (!version.has_value() || !cluster.has_value() || !node.has_value() || !directory.has_value() ||
      !IsSoundProperties(text)) {
    return Refused(data_dir,
                   "has a damaged " + std::string(kMetaFile) + ": restore it from a backup");
  }
  return NodeIdentity{*version, *cluster, NodeId{*node}, *directory};
}

// Whether a folder holds nothing but files of these names, as far as it is there.
Result<bool> HoldsOnly(FileSystem& files, const std::string& folder,
                       std::initializer_list<std::string_view> names) {
  ASSIGN_OR_RETURN(const bool exists, files.Exists(folder));
  if (!exists) return true;
  ASSIGN_OR_RETURN(const auto entries, files.List(folder));
  return std::all_of(entries.begin(), entries.end(), [&](const DirectoryEntry& entry) {
    return std::find(names.begin(), names.end(), entry.name) != names.end();
  });
}

// Whether a folder holds no more than a formatting that was cut off leaves behind.
Result<bool> IsUnformatted(FileSystem& files, const std::string& data_dir) {
  const std::string metadata = MetadataPath(data_dir);
  ASSIGN_OR_RETURN(
      const bool outer,
      HoldsOnly(files, data_dir, {kMetadataFolder, "meta.properties.tmp", "lost+found", ".lock"}));
  ASSIGN_OR_RETURN(const bool middle, HoldsOnly(files, metadata, {kBootstrapFile, "log"}));
  ASSIGN_OR_RETURN(const bool inner, HoldsOnly(files, MetadataLogPath(metadata), {kMetaFile}));
  return outer && middle && inner;
}

// Whether an error says that `path`, of which a folder was expected, is a file.
bool IsAboutFile(const Error& error, const std::string& path) {
  const auto says = [&](const char* name, const std::string& value) {
    return std::find(error.details.begin(), error.details.end(),
                     std::pair<std::string, std::string>(name, value)) != error.details.end();
  };
  return says("errno", "ENOTDIR") && says("path", path);
}

Result<std::string> EncodeBootstrap(const NodeIdentity& identity,
                                    const std::array<uint8_t, 16>& request_id_key,
                                    int32_t feature_level) {
  pb::MetadataRecord level, cluster;
  level.mutable_feature_level()->set_level(feature_level);
  cluster.mutable_cluster()->set_cluster_id(ToBytes(identity.cluster_id.bytes));
  cluster.mutable_cluster()->set_request_id_key(ToBytes(request_id_key));
  Replay replay(nullptr);
  RETURN_IF_ERROR(replay.Apply(Offset{0}, level));
  RETURN_IF_ERROR(replay.Apply(Offset{1}, cluster));
  return EncodeSnapshot(*replay.Finish({}).after);
}

// Writes a file, without syncing it.
Result<FilePtr> WriteFile(FileSystem& files, const std::string& path, const std::string& content) {
  ASSIGN_OR_RETURN(FilePtr file, files.Open(path, OpenMode::kCreate));
  RETURN_IF_ERROR(file->Truncate(0));
  RETURN_IF_ERROR(file->Write(0, Slice::Copy(content)));
  return file;
}

}  // namespace

std::string MetadataPath(const std::string& data_dir) {
  return JoinPath(data_dir, kMetadataFolder);
}
std::string BootstrapPath(const std::string& data_dir) {
  return JoinPath(MetadataPath(data_dir), kBootstrapFile);
}

Result<std::optional<NodeIdentity>> ReadIdentity(FileSystem& files, const std::string& data_dir) {
  ASSIGN_OR_RETURN(const bool exists, files.Exists(data_dir));
  if (!exists) return std::optional<NodeIdentity>();
  const std::string path = JoinPath(data_dir, kMetaFile);
  ASSIGN_OR_RETURN(const bool has_identity, files.Exists(path));
  if (has_identity) {
    ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(files, path, kMetaBytesMax));
    ASSIGN_OR_RETURN(NodeIdentity identity, DecodeIdentity(text, data_dir));
    return std::optional<NodeIdentity>(identity);
  }
  const auto unformatted = IsUnformatted(files, data_dir);
  if (!unformatted.ok()) {
    if (IsAboutFile(unformatted.error(), data_dir)) return Refused(data_dir, "is a file");
    return unformatted.error();
  }
  if (*unformatted) return std::optional<NodeIdentity>();
  return Refused(data_dir, "has files, and no " + std::string(kMetaFile) +
                               ": is it the right folder? Restore the file from a backup where it "
                               "was lost; a new node needs an empty folder");
}

Result<NodeIdentity> FormatDirectory(FileSystem& files, const std::string& data_dir,
                                     const FormatOptions& options, Random& random) {
  ASSIGN_OR_RETURN(const auto before, ReadIdentity(files, data_dir));
  if (before.has_value()) {
    return Refused(data_dir, "belongs to node " + std::to_string(before->node_id.value) +
                                 " of cluster " + before->cluster_id.ToString() + " already");
  }
  NodeIdentity identity;
  identity.format = kFormat;
  identity.node_id = options.node_id;
  identity.cluster_id =
      options.cluster_id.IsZero() ? random.NewUuid<ClusterId>() : options.cluster_id;
  identity.directory_id = random.NewUuid<DirectoryId>();
  std::array<uint8_t, 16> key = options.request_id_key;
  if (key == std::array<uint8_t, 16>{}) key = Random::SecretBytes();
  ASSIGN_OR_RETURN(const std::string bootstrap,
                   EncodeBootstrap(identity, key, options.feature_level));
  const std::string meta = EncodeIdentity(identity);
  const std::string log = MetadataLogPath(MetadataPath(data_dir));
  RETURN_IF_ERROR(files.MakeDirectory(log));
  std::vector<FilePtr> written(2);
  ASSIGN_OR_RETURN(written[0], WriteFile(files, BootstrapPath(data_dir), bootstrap));
  ASSIGN_OR_RETURN(written[1], WriteFile(files, JoinPath(log, kMetaFile), meta));
  RETURN_IF_ERROR(files.SyncAll(written, {}));
  RETURN_IF_ERROR(files.SyncDirectory(log));
  RETURN_IF_ERROR(files.SyncDirectory(ParentPath(log)));
  // From here on it is formatted.
  RETURN_IF_ERROR(ReplaceFile(files, JoinPath(data_dir, kMetaFile), meta));
  return identity;
}

Result<void> CheckIdentity(const NodeIdentity& identity, const std::string& data_dir,
                           NodeId node_id, const ClusterId& cluster_id) {
  if (identity.node_id != node_id) {
    return Refused(data_dir, "belongs to node " + std::to_string(identity.node_id.value) +
                                 ", and this is node " + std::to_string(node_id.value) +
                                 " (setting node_id): correct the setting, or restore "
                                 "meta.properties from a backup where it is that which is wrong");
  }
  if (cluster_id.IsZero() || identity.cluster_id == cluster_id) return {};
  return Error(Reason::kInconsistentClusterId,
               "data directory " + data_dir + " belongs to cluster " +
                   identity.cluster_id.ToString() + ", and this node to " + cluster_id.ToString() +
                   ": format a directory of its own for it")
      .With("path", data_dir);
}

}  // namespace gregor
