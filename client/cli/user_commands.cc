// `gregor user`: users and their SCRAM credentials.
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <iostream>
#include <memory>
#include <utility>

#include "base/scram.h"
#include "client/cli/brokers.h"
#include "client/cli/help.h"
#include "client/cli/output.h"
#include "client/security_admin.h"

namespace gregor {
namespace {

constexpr char kUserNote[] =
    "note: users are stored and listed, but nobody has to log in in this version";

struct UserArguments {
  std::string user;
  std::string mechanism;
  int32_t iterations = kScramIterationsDefault;
  std::string password_file;
};

const std::pair<const char*, v1::ScramMechanism> kMechanisms[] = {
    {"scram-sha-256", v1::SCRAM_MECHANISM_SHA_256}, {"scram-sha-512", v1::SCRAM_MECHANISM_SHA_512}};

// REQUIRES: it is one of kMechanisms, or empty.
v1::ScramMechanism MechanismOf(const std::string& word) {
  for (const auto& [name, mechanism] : kMechanisms) {
    if (word == name) return mechanism;
  }
  return v1::SCRAM_MECHANISM_UNSPECIFIED;
}

std::string MechanismWord(v1::ScramMechanism mechanism) {
  for (const auto& [name, known] : kMechanisms) {
    if (mechanism == known) return name;
  }
  return std::to_string(mechanism);
}

// What is typed is not shown while this lives; one at a time. Whoever ends the command meanwhile
// gets the terminal as it was.
class NoEcho {
 public:
  NoEcho() {
    if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    for (size_t i = 0; i < kSignals.size(); ++i) {
      struct sigaction action {};
      action.sa_handler = EndSeen;
      action.sa_flags = static_cast<int>(SA_RESETHAND);
      sigaction(kSignals[i], &action, &actions_[i]);
    }
    is_set_ = true;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  }
  ~NoEcho() {
    if (!is_set_) return;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &actions_[i], nullptr);
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;

 private:
  static constexpr std::array<int, 4> kSignals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  // Calls only what a signal may. The second signal ends the process, as the first one would have.
  static void EndSeen(int signal_number) {
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    raise(signal_number);
  }

  static inline termios before_{};  // a handler has no object
  std::array<struct sigaction, kSignals.size()> actions_{};
  bool is_set_ = false;
};

std::string AskPassword(const std::string& what) {
  std::string answer;
  std::cerr << what << ": " << std::flush;
  {
    const NoEcho no_echo;
    std::getline(std::cin, answer);
  }
  std::cerr << std::endl;
  return answer;
}

// The first line, whatever ends it.
Result<std::string> FirstLine(std::istream& in, const std::string& what) {
  std::string line;
  if (!std::getline(in, line))
    return Error(Reason::kInvalidArgument, what + " has no line with a password");
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

Result<std::string> ReadPassword(const UserArguments& arguments) {
  const std::string& path = arguments.password_file;
  if (!path.empty() && path != "-") {
    std::ifstream file(path);
    if (!file) return Error(Reason::kInvalidArgument, path + " cannot be read");
    return FirstLine(file, path);
  }
  if (isatty(STDIN_FILENO) == 0) return FirstLine(std::cin, "the standard input");
  const std::string password = AskPassword("Password of " + arguments.user);
  if (AskPassword("Once more") == password) return password;
  return Error(Reason::kInvalidArgument, "the two passwords differ: nothing was done");
}

void PrintUserDone(const GlobalOptions& global, const char* done, const std::string& user) {
  if (global.output == "json") {
    std::cout << Dump({{"user", user}, {"result", done}}, 2) << std::endl;
  } else {
    std::cout << done << " user " << user << std::endl;
  }
}

Result<void> RunUserSet(GlobalOptions& global, const UserArguments& arguments) {
  ASSIGN_OR_RETURN(const std::string password, ReadPassword(arguments));
  RETURN_IF_ERROR(CheckScramPassword(password));
  // The password stays here: what is sent is what a server keeps.
  v1::UpsertUserRequest request;
  request.set_user(arguments.user);
  request.set_mechanism(MechanismOf(arguments.mechanism));
  request.set_iterations(arguments.iterations);
  const bool is_256 = request.mechanism() == v1::SCRAM_MECHANISM_SHA_256;
  const ScramHash hash = is_256 ? ScramHash::kSha256 : ScramHash::kSha512;
  auto& made = *request.mutable_keys();
  made.set_salt(NewScramSalt());
  const ScramKeys keys =
      KeysOfSaltedPassword(hash, SaltPassword(hash, password, made.salt(), arguments.iterations));
  made.set_stored_key(keys.stored_key);
  made.set_server_key(keys.server_key);
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(SecurityAdmin(global.server).UpsertUser(request));
  PrintUserDone(global, "set", arguments.user);
  std::cerr << kUserNote << std::endl;
  return {};
}

Result<void> RunUserList(GlobalOptions& global, const UserArguments&) {
  ASSIGN_OR_RETURN(const auto users, SecurityAdmin(global.server).ListUsers());
  Json list = Json::array();
  for (const auto& user : users) {
    for (const auto& credential : user.credentials()) {
      list.push_back({{"user", user.user()},
                      {"mechanism", MechanismWord(credential.mechanism())},
                      {"iterations", credential.iterations()}});
    }
  }
  PrintList(global, list, {"user", "mechanism", "iterations"});
  return {};
}

Result<void> RunUserDelete(GlobalOptions& global, const UserArguments& arguments) {
  v1::DeleteUserRequest request;
  request.set_user(arguments.user);
  request.set_mechanism(MechanismOf(arguments.mechanism));
  const TroubleWatch watch = WatchForController(global.server);
  RETURN_IF_ERROR(SecurityAdmin(global.server).DeleteUser(request));
  PrintUserDone(global, "deleted", arguments.user);
  return {};
}

using UserRun = Result<void> (*)(GlobalOptions&, const UserArguments&);

// Adds `gregor user NAME USER`.
CLI::App* AddUserCommand(CLI::App& group, GlobalOptions& global, const char* name, const char* help,
                         UserRun run, const std::shared_ptr<UserArguments>& arguments) {
  CLI::App* const command = group.add_subcommand(name, help);
  OnCommand(*command, global, [&global, arguments, run] { return run(global, *arguments); });
  if (run == RunUserList) return command;
  command->add_option("USER", arguments->user, "Name of the user")->required()->check(NotEmpty());
  CLI::Option* const mechanism = command->add_option(
      "--mechanism", arguments->mechanism,
      run == RunUserSet ? "How the password is proven: scram-sha-256 or scram-sha-512"
                        : "Only this credential: scram-sha-256 or scram-sha-512");
  mechanism->check(CLI::IsMember({"scram-sha-256", "scram-sha-512"}))->type_name("MECHANISM");
  if (run == RunUserSet) mechanism->default_val("scram-sha-512");
  return command;
}

}  // namespace

void AddUserCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const user = app.add_subcommand("user", "Set, list and delete users");
  user->require_subcommand(1);
  auto arguments = std::make_shared<UserArguments>();
  CLI::App* command = AddUserCommand(
      *user, global, "set", "Make a user, or give it another password", RunUserSet, arguments);
  command
      ->add_option("--iterations", arguments->iterations,
                   "How often the password is hashed: more make guessing slower")
      ->check(Between(kScramIterationsMin, kScramIterationsMax))
      ->type_name("COUNT")
      ->capture_default_str();
  command
      ->add_option("--password-file", arguments->password_file,
                   "Take the password from the first line of this file; -: of the standard input")
      ->type_name("FILE");
  AddExamples(*command,
              {"gregor user set alice", "gregor user set etl --password-file /run/secrets/etl",
               "pass show gregor/etl | gregor user set etl --mechanism scram-sha-256"},
              "The password is asked for on a terminal, else it is the first line of the standard "
              "input; it does not leave this machine. Users are stored, and nobody has to log in "
              "yet in this version.");
  arguments = std::make_shared<UserArguments>();
  AddExamples(*AddUserCommand(*user, global, "list", "List users and their credentials",
                              RunUserList, arguments),
              {"gregor user list"});
  arguments = std::make_shared<UserArguments>();
  AddExamples(*AddUserCommand(*user, global, "delete", "Delete a user, or one of its credentials",
                              RunUserDelete, arguments),
              {"gregor user delete alice", "gregor user delete etl --mechanism scram-sha-256"});
}

}  // namespace gregor
