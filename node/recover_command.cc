#include "node/recover_command.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/format.h"
#include "node/command_group.h"
#include "node/directories.h"
#include "node/quorum_links.h"
#include "node/setting_flags.h"
#include "node/waiting.h"
#include "raft/host/quorum_recovery.h"
#include "storage/disk.h"

namespace gregor {
namespace {

using Json = nlohmann::ordered_json;

std::string Names(const VoterSet& voters, const VoterKey& but) {
  std::string names;
  for (const Voter& voter : voters.voters) {
    if (voter.key == but) continue;
    names += (names.empty() ? "" : ", ") + std::to_string(voter.key.node.value);
  }
  return names;
}

void Explain(const Settings& settings, const NodeIdentity& identity, const QuorumOnDisk& quorum) {
  const VoterKey self{identity.node_id, identity.directory_id};
  const std::string others = quorum.voters.has_value() ? Names(*quorum.voters, self) : "unknown";
  std::cerr
      << "This makes node " << identity.node_id << " (" << settings.data_dir
      << ") the ONLY voter of cluster " << identity.cluster_id << ".\n"
      << "  now:      its metadata log ends at offset " << quorum.end << ", in term "
      << quorum.last_term << "; the other voters are nodes " << others << "\n"
      << "  then:     it leads alone, in a term above " << quorum.term
      << ", and whatever its log has counts as committed\n"
      << "  lost:     every change of topics, configs and brokers that was acknowledged by the\n"
      << "            others and had not reached this node, and with it the data of such topics\n"
      << "  forbidden from now on: to start the nodes " << others << " with their present\n"
      << "            directories. They would go on as a second cluster under the same name.\n"
      << "If one of them has a log that ends later (`gregor quorum recover --dry-run` there), "
         "recover that one instead.\n";
}

Result<void> Confirm(const NodeIdentity& identity) {
  const std::string phrase = "recover " + std::to_string(identity.node_id.value);
  std::cerr << "Type \"" << phrase << "\" to go on: " << std::flush;
  std::string line;
  std::getline(std::cin, line);
  if (line == phrase) return {};
  return Error(Reason::kInvalidArgument, "not confirmed: nothing was changed");
}

struct Recovered {
  NodeIdentity identity;
  QuorumOnDisk quorum;
};

Result<Recovered> Recover(Settings settings, bool is_confirmed, bool only_looks) {
  settings.must_be_formatted = true;  // nothing is formatted
  const auto files = NewPosixFileSystem(1);
  ASSIGN_OR_RETURN(const auto lock, LockDataDirectory(*files, settings));
  Random random = Random::FromSystem();
  ASSIGN_OR_RETURN(const NodeIdentity identity, OpenIdentity(*files, settings, random));
  ReservedFiles metadata(*files, MetadataReserve(settings));
  const auto loop = NewThreadLoop("recover");
  const auto disk = NewThreadDisk(metadata, {});
  RaftLogOptions options;
  options.loop = loop.get();
  options.disk = disk.get();
  options.path = MetadataPath(settings.data_dir);
  options.cluster_id = identity.cluster_id;
  options.raft = QuorumOptions(settings);
  options.raft.self = {identity.node_id, identity.directory_id};
  ASSIGN_OR_RETURN(const QuorumOnDisk found, WaitFor<Result<QuorumOnDisk>>([&](auto done) {
                     ReadQuorum(options, std::move(done));
                   }));
  Explain(settings, identity, found);
  if (only_looks) return Recovered{identity, found};
  if (!is_confirmed) RETURN_IF_ERROR(Confirm(identity));
  ASSIGN_OR_RETURN(const QuorumOnDisk done, WaitFor<Result<QuorumOnDisk>>([&](auto ended) {
                     MakeOnlyVoter(options, std::move(ended));
                   }));
  return Recovered{identity, done};
}

void Print(const Recovered& recovered, bool only_looks, bool as_json) {
  const NodeIdentity& identity = recovered.identity;
  if (as_json) {
    const Json json = {{"node_id", identity.node_id.value},
                       {"cluster_id", identity.cluster_id.ToString()},
                       {"changed", !only_looks},
                       {"term", recovered.quorum.term.value},
                       {"last_term", recovered.quorum.last_term.value},
                       {"log_end", recovered.quorum.end.value}};
    std::cout << json.dump(2) << "\n";
    return;
  }
  if (only_looks) {
    std::cout << "nothing was changed: the log of node " << identity.node_id << " ends at offset "
              << recovered.quorum.end << " in term " << recovered.quorum.last_term << "\n";
    return;
  }
  std::cout << "node " << identity.node_id << " is the only voter from offset "
            << recovered.quorum.end << " on, in term " << recovered.quorum.term
            << ". Start it, then format and add other controllers\n";
}

int RunRecover(const SettingFlags& flags, bool is_confirmed, bool only_looks, bool as_json) {
  auto settings = flags.MakeSettings();
  const auto recovered = settings.ok() ? Recover(*std::move(settings), is_confirmed, only_looks)
                                       : Result<Recovered>(settings.error());
  if (recovered.ok()) {
    Print(*recovered, only_looks, as_json);
    return 0;
  }
  std::cerr << "gregor: " << recovered.error().message << std::endl;
  return recovered.error().reason == Reason::kInvalidConfig ? 2 : 1;
}

}  // namespace

void AddRecoverCommand(CLI::App& app, const std::string& output_format, int& exit_code) {
  CLI::App* const quorum = CommandGroup(app, "quorum", "The controllers that own the metadata");
  CLI::App* const recover = quorum->add_subcommand(
      "recover", "LAST RESORT, offline: make a stopped controller the only voter");
  const auto flags = std::make_shared<SettingFlags>();
  const auto is_confirmed = std::make_shared<bool>(false);
  const auto only_looks = std::make_shared<bool>(false);
  recover->add_flag("--yes", *is_confirmed, "Do not ask for a confirmation");
  recover->add_flag("--dry-run", *only_looks, "Only say what would be done");
  flags->AddTo(*recover);
  recover->footer(
      "For a cluster of which a majority of the controllers is lost for ever (docs/operations.md,\n"
      "\"Disaster recovery\"). Give it the settings file of the node. It says what will be lost.\n"
      "Exit codes: 0 done, 1 refused or failed, 2 bad settings.");
  recover->callback([=, &output_format, &exit_code] {
    exit_code = RunRecover(*flags, *is_confirmed, *only_looks, output_format == "json");
  });
}

}  // namespace gregor
