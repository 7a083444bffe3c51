#include "node/cert_commands.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>
#include <vector>

#include "base/certificate.h"
#include "base/certificate_authority.h"
#include "base/clock.h"
#include "rpc/node_name.h"

namespace gregor {
namespace {

using Json = nlohmann::ordered_json;

constexpr mode_t kKeyMode = 0600;
constexpr mode_t kCertificateMode = 0644;
constexpr char kAuthority[] = "ca";

// What the options of all `cert` commands say; each command uses some.
struct Arguments {
  std::string folder = ".";
  std::string name;
  int64_t days = 365;
  std::string cluster_id;
  int32_t node = -1;
  std::vector<std::string> hosts;
  std::string file;
};

int Report(const Result<void>& result) {
  if (result.ok()) return 0;
  std::cerr << "gregor: " << result.error().message << std::endl;
  return result.error().reason == Reason::kInvalidArgument ? 2 : 1;
}

Error Failed(const std::string& path, const std::string& what) {
  return Error(Reason::kStorageError, path + ": " + what + ": " + std::strerror(errno));
}

// Never over a file that is there: a key that is gone is gone.
Result<void> WriteNewFile(const std::string& path, const std::string& bytes, mode_t mode) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0 && errno == EEXIST) {
    return Error(Reason::kStorageError,
                 path +
                     " is there already, and is not overwritten: remove it, or name another "
                     "folder (--dir)");
  }
  if (file < 0) return Failed(path, "cannot be made");
  const bool is_written =
      write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
      fsync(file) == 0;
  Result<void> result;
  if (!is_written) result = Failed(path, "cannot be written");
  close(file);
  if (!is_written) unlink(path.c_str());
  return result;
}

Result<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  if (!file || !(bytes << file.rdbuf())) return Failed(path, "cannot be read");
  return bytes.str();
}

std::string CertificatePath(const Arguments& arguments, const std::string& what) {
  return arguments.folder + "/" + what + ".pem";
}
std::string KeyPath(const Arguments& arguments, const std::string& what) {
  return arguments.folder + "/" + what + ".key";
}

Json Describe(const CertificateInfo& info) {
  return {{"subject", info.subject},
          {"issuer", info.issuer},
          {"serial", info.serial},
          {"not_before", ShowTime(info.not_before)},
          {"not_after", ShowTime(info.not_after)},
          {"authority", info.is_authority},
          {"dns_names", info.dns_names},
          {"ip_addresses", info.ip_addresses},
          {"uris", info.uris},
          {"key", info.key},
          {"sha256", info.fingerprint}};
}

// The key first: a certificate without one would be in the way of the next attempt.
Result<void> Save(const Arguments& arguments, const std::string& what,
                  const KeyAndCertificate& made, bool as_json) {
  const std::string key_path = KeyPath(arguments, what);
  const std::string path = CertificatePath(arguments, what);
  RETURN_IF_ERROR(WriteNewFile(key_path, made.key, kKeyMode));
  if (auto written = WriteNewFile(path, made.certificate, kCertificateMode); !written.ok()) {
    unlink(key_path.c_str());
    return written;
  }
  ASSIGN_OR_RETURN(const auto certificates, ReadCertificates(made.certificate));
  if (as_json) {
    const Json json = {{"certificate", path},
                       {"key", key_path},
                       {"not_after", ShowTime(certificates.front().not_after)}};
    std::cout << json.dump(2) << "\n";
    return {};
  }
  std::cout << "wrote " << path << " and " << key_path << ", valid until "
            << ShowTime(certificates.front().not_after) << "\n";
  return {};
}

Duration Days(int64_t days) { return std::chrono::hours(24 * days); }

Result<void> MakeCa(const Arguments& arguments, bool as_json) {
  if (mkdir(arguments.folder.c_str(), 0700) != 0 && errno != EEXIST)
    return Failed(arguments.folder, "cannot be made");
  ASSIGN_OR_RETURN(const auto made,
                   MakeAuthority(arguments.name, SystemClock().WallNow(), Days(arguments.days)));
  return Save(arguments, kAuthority, made, as_json);
}

Result<void> Issue(const Arguments& arguments, const std::string& what, CertificateRequest request,
                   bool as_json) {
  KeyAndCertificate authority;
  ASSIGN_OR_RETURN(authority.certificate, ReadFile(CertificatePath(arguments, kAuthority)));
  ASSIGN_OR_RETURN(authority.key, ReadFile(KeyPath(arguments, kAuthority)));
  request.hosts = arguments.hosts;
  request.now = SystemClock().WallNow();
  request.lifetime = Days(arguments.days);
  ASSIGN_OR_RETURN(const auto made, IssueCertificate(authority, request));
  return Save(arguments, what, made, as_json);
}

Result<void> MakeNode(const Arguments& arguments, bool as_json) {
  const auto cluster = ClusterId::Parse(arguments.cluster_id);
  if (!cluster.has_value())
    return Error(Reason::kInvalidArgument, "\"" + arguments.cluster_id +
                                               "\" is no cluster id: `gregor cluster new-id` "
                                               "prints one");
  const std::string name = "node-" + std::to_string(arguments.node);
  CertificateRequest request;
  request.name = name;
  request.uris = {NodeName{*cluster, NodeId{arguments.node}}.ToString()};
  return Issue(arguments, name, std::move(request), as_json);
}

// Names become file names.
Result<void> CheckFileName(const std::string& name) {
  const bool is_plain = !name.empty() && name.front() != '.' && name != kAuthority &&
                        name.find('/') == std::string::npos;
  if (is_plain) return {};
  return Error(Reason::kInvalidArgument, "\"" + name + "\" cannot be the name of a file here");
}

Result<void> MakeOther(const Arguments& arguments, bool is_server, bool as_json) {
  RETURN_IF_ERROR(CheckFileName(arguments.name));
  CertificateRequest request;
  request.name = arguments.name;
  request.for_server = is_server;
  request.for_client = !is_server;
  return Issue(arguments, arguments.name, std::move(request), as_json);
}

Result<void> Show(const std::string& path, bool as_json) {
  ASSIGN_OR_RETURN(const std::string pem, ReadFile(path));
  auto certificates = ReadCertificates(pem);
  if (!certificates.ok())
    return Error(Reason::kInvalidConfig, path + ": " + certificates.error().message);
  Json all = Json::array();
  for (const CertificateInfo& info : *certificates) all.push_back(Describe(info));
  if (as_json) {
    std::cout << all.dump(2) << "\n";
    return {};
  }
  const Timestamp now = SystemClock().WallNow();
  for (size_t i = 0; i < all.size(); ++i) {
    for (const auto& [name, value] : all[i].items()) {
      if (value.is_array() && value.empty()) continue;
      std::string text = value.is_string() ? value.get<std::string>() : value.dump();
      if (value.is_array()) {
        text.clear();
        for (const auto& each : value) text += (text.empty() ? "" : ", ") + each.get<std::string>();
      }
      if (name == "not_after" && (*certificates)[i].not_after < now) text += "  (has expired)";
      std::cout << name << ": " << text << "\n";
    }
    if (i + 1 < all.size()) std::cout << "\n";
  }
  return {};
}

void AddFolder(CLI::App& command, Arguments& arguments) {
  command.add_option("--dir", arguments.folder, "Folder of ca.pem and ca.key, and of what is made")
      ->type_name("DIR")
      ->capture_default_str();
}

void AddDays(CLI::App& command, Arguments& arguments) {
  command.add_option("--days", arguments.days, "How long it is valid")
      ->check(CLI::Range(1, 36500))
      ->capture_default_str();
}

void AddHosts(CLI::App& command, Arguments& arguments, bool is_required) {
  command
      .add_option("--host", arguments.hosts,
                  "Name or IP address that it stands for; may be given several times")
      ->type_name("HOST")
      ->required(is_required);
}

using Run = std::function<Result<void>(const Arguments&, bool as_json)>;

std::shared_ptr<Arguments> AddCommand(CLI::App* command, const std::string& output_format,
                                      int& exit_code, const Run& run) {
  const auto arguments = std::make_shared<Arguments>();
  command->callback([arguments, run, &output_format, &exit_code] {
    exit_code = Report(run(*arguments, output_format == "json"));
  });
  return arguments;
}

}  // namespace

void AddCertCommands(CLI::App& app, const std::string& output_format, int& exit_code) {
  CLI::App* const cert =
      app.add_subcommand("cert", "Make and show certificates, for tests and small installations");
  cert->require_subcommand(1);
  const auto add = [&](const std::string& name, const std::string& help, const Run& run) {
    CLI::App* const command = cert->add_subcommand(name, help);
    return std::pair(command, AddCommand(command, output_format, exit_code, run));
  };

  auto [ca, ca_arguments] = add("ca", "Make an authority: ca.pem and ca.key", MakeCa);
  ca_arguments->name = "Gregor test authority";
  ca_arguments->days = 3650;
  ca->add_option("--name", ca_arguments->name, "Its name")->capture_default_str();
  AddFolder(*ca, *ca_arguments);
  AddDays(*ca, *ca_arguments);
  ca->footer("Who has ca.key can be any node: keep it away from the nodes.");

  auto [node, node_arguments] = add(
      "node", "Make a node's certificate, for internal_tls: node-N.pem and node-N.key", MakeNode);
  node->add_option("--cluster-id", node_arguments->cluster_id, "The cluster that it belongs to")
      ->type_name("ID")
      ->required();
  node->add_option("--node", node_arguments->node, "The node's number (setting node_id)")
      ->check(CLI::Range(0, INT32_MAX))
      ->required();
  AddHosts(*node, *node_arguments, false);
  AddFolder(*node, *node_arguments);
  AddDays(*node, *node_arguments);

  auto [server, server_arguments] = add(
      "server", "Make a certificate for a listener that clients connect to",
      [](const Arguments& arguments, bool as_json) { return MakeOther(arguments, true, as_json); });
  server->add_option("--name", server_arguments->name, "Its name, and that of its files")
      ->required();
  AddHosts(*server, *server_arguments, true);
  AddFolder(*server, *server_arguments);
  AddDays(*server, *server_arguments);

  auto [client, client_arguments] =
      add("client", "Make a client's certificate", [](const Arguments& arguments, bool as_json) {
        return MakeOther(arguments, false, as_json);
      });
  client->add_option("--name", client_arguments->name, "Its name, and that of its files")
      ->required();
  AddFolder(*client, *client_arguments);
  AddDays(*client, *client_arguments);

  auto [show, show_arguments] =
      add("show", "Show what the certificates of a file say",
          [](const Arguments& arguments, bool as_json) { return Show(arguments.file, as_json); });
  show->add_option("FILE", show_arguments->file, "Certificates in PEM")->required();
}

}  // namespace gregor
