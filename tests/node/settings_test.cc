#include "node/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "node/quorum_links.h"
#include "node/setting_flags.h"
#include "node/setting_values.h"

namespace gregor {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::StartsWith;

std::string ErrorOf(const std::string& yaml) {
  Settings settings;
  const auto result = ParseSettings("node.yaml", yaml, settings);
  return result.ok() ? "" : result.error().message;
}

TEST(Settings, AreReadFromYaml) {
  Settings settings;
  const auto result = ParseSettings("node.yaml",
                                    "node_id: 7\n"
                                    "data_dir: /srv/gregor\n"
                                    "log_dirs: [/disk1, /disk2]\n"
                                    "listen: {grpc: \"0.0.0.0:1234\", http: \"[::1]:99\"}\n"
                                    "flush_interval: 250ms\n"
                                    "produce_memory: 1GiB\n"
                                    "rack:\n",
                                    settings);
  ASSERT_TRUE(result.ok()) << result.error();
  EXPECT_EQ(settings.node_id, NodeId{7});
  EXPECT_EQ(settings.LogDirs(), (std::vector<std::string>{"/disk1", "/disk2"}));
  EXPECT_EQ(settings.listen_grpc, (HostPort{"0.0.0.0", 1234}));
  EXPECT_EQ(settings.listen_http.ToString(), "[::1]:99");
  EXPECT_TRUE(settings.listen_http.IsLoopback());
  EXPECT_FALSE(settings.listen_grpc.IsLoopback());
  EXPECT_EQ(settings.flush_interval, std::chrono::milliseconds(250));
  EXPECT_EQ(settings.produce_memory_bytes, uint64_t{1} << 30);
  EXPECT_TRUE(CheckSettings(settings).ok());
}

TEST(Settings, ABadFileIsRefusedWithLineAndKey) {
  EXPECT_EQ(ErrorOf("node_id: 1\nfoo: 2\n"),
            "node.yaml:2: unknown key \"foo\" (gregor settings lists them)");
  EXPECT_THAT(ErrorOf("rack: a\n\nnode_id: many\n"),
              StartsWith("node.yaml:3: key \"node_id\": \"many\" is not"));
  EXPECT_THAT(ErrorOf("listen:\n  grpc: nowhere\n"),
              StartsWith("node.yaml:2: key \"listen.grpc\""));
  EXPECT_THAT(ErrorOf("listen: 5\n"), StartsWith("node.yaml:1: key \"listen\" takes a mapping"));
  EXPECT_THAT(ErrorOf("node_id: [1, {a: b}]\n"), StartsWith("node.yaml:1: "));
  EXPECT_THAT(ErrorOf("node_id: 1\nnode_id: 2\n"),
              StartsWith("node.yaml:2: key \"node_id\" is given twice"));
  EXPECT_THAT(ErrorOf("a: [1\n"), HasSubstr("not valid YAML"));
  EXPECT_THAT(ErrorOf("- a\n"), HasSubstr("must be a mapping"));
}

TEST(Settings, AKeyThatIsAlmostOneIsRecognised) {
  for (const auto& [key, meant] :
       std::map<std::string, std::string>{{"node_idd", "node_id"},
                                          {"grpc", "listen.grpc"},
                                          {"grpc_listen", "listen.grpc"},
                                          {"--grpc-listen", "listen.grpc"},
                                          {"listen_http", "listen.http"},
                                          {"log.dirs", "log_dirs"},
                                          {"contollers", "controllers"}})
    EXPECT_EQ(ErrorOf("\"" + key + "\": 1\n"),
              "node.yaml:1: unknown key \"" + key + "\"; do you mean \"" + meant + "\"?");
  EXPECT_EQ(ErrorOf("listen: {gprc: \"a:1\"}\n"),
            "node.yaml:1: unknown key \"listen.gprc\"; do you mean \"listen.grpc\"?");
  for (const char* value : {"{grpc: \"a:1\"}", "[a]", ""})
    EXPECT_EQ(ErrorOf(std::string("listn: ") + value + "\n"),
              "node.yaml:1: unknown key \"listn\"; do you mean \"listen\"?");
}

TEST(Settings, AnEmptyFileGivesTheDefaults) {
  EXPECT_EQ(ErrorOf(""), "");
  const std::string path = testing::TempDir() + "/settings_test_empty.yaml";
  std::ofstream(path).close();
  Settings settings;
  const auto loaded = LoadSettingsFile(path, settings);
  EXPECT_TRUE(loaded.ok()) << loaded.error();
  EXPECT_TRUE(settings.must_be_formatted);
}

TEST(Settings, ConfigsMayBeGivenInTheUnitsThatKafkaTakes) {
  Settings settings;
  const auto result = ParseSettings("node.yaml",
                                    "configs:\n"
                                    "  log.retention.hours: 72\n"
                                    "  log.roll.hours: 1\n"
                                    "  log.retention.bytes: 3\n",
                                    settings);
  ASSERT_TRUE(result.ok()) << result.error();
  EXPECT_THAT(settings.configs,
              ElementsAre(Pair("log.retention.bytes", "3"), Pair("log.retention.ms", "259200000"),
                          Pair("log.roll.ms", "3600000")));
  // A flag comes after the file, and wins.
  ASSERT_TRUE(ApplySetting(settings, "configs", "log.retention.minutes=2,log.roll.ms=5").ok());
  EXPECT_EQ(settings.configs["log.retention.ms"], "120000");
  EXPECT_EQ(settings.configs["log.roll.ms"], "5");
  ASSERT_TRUE(ApplySetting(settings, "configs", "log.retention.hours=-1").ok());
  EXPECT_EQ(settings.configs["log.retention.ms"], "-1");
  EXPECT_THAT(
      ErrorOf("configs:\n  log.retention.hours: 1\n  log.retention.ms: 5\n"),
      AllOf(StartsWith("node.yaml:3: "), HasSubstr("log.retention.ms is given in another")));
  EXPECT_THAT(ErrorOf("configs:\n  log.retention.hours: soon\n"),
              HasSubstr("log.retention.hours: \"soon\" is not a whole number"));
  EXPECT_THAT(ErrorOf("configs:\n  log.roll.hours: 0\n"), HasSubstr("log.roll.ms cannot be"));
  EXPECT_THAT(ErrorOf("configs:\n  no.such.config: 0\n"),
              HasSubstr("is no broker config (`gregor settings --configs` lists them)"));
}

TEST(Settings, ConfigsMayBeLists) {
  for (const std::string list : {"[compact, delete]", "\"compact,delete\"", "compact,delete"}) {
    Settings settings;
    const auto parsed =
        ParseSettings("node.yaml", "configs:\n  log.cleanup.policy: " + list + "\n", settings);
    ASSERT_TRUE(parsed.ok()) << parsed.error();
    EXPECT_THAT(settings.configs, ElementsAre(Pair("log.cleanup.policy", "compact,delete")));
  }
  // As a flag: what has no name goes on with the list before it.
  for (const std::string value : {"log.cleanup.policy=compact,delete,log.roll.ms=5",
                                  "log.roll.ms=5,"
                                  "log.cleanup.policy=compact,delete"}) {
    Settings settings;
    const auto set = ApplySetting(settings, "configs", value);
    ASSERT_TRUE(set.ok()) << set.error();
    EXPECT_THAT(settings.configs, ElementsAre(Pair("log.cleanup.policy", "compact,delete"),
                                              Pair("log.roll.ms", "5")));
  }
  Settings settings;
  for (const auto& [value, message] : std::vector<std::pair<std::string, std::string>>{
           {"compact,delete", "\"compact\" is not of the form name=value"},
           {"x,log.roll.ms=5", "\"x\" is not of the form name=value"},
           {"log.roll.ms=5,x", "log.roll.ms cannot be \"5,x\""},
           {"log.cleanup.policy=compact,,log.roll.ms=5", "log.cleanup.policy cannot be"},
           {"log.roll.ms=5=6,log.roll.ms=5", "log.roll.ms cannot be \"5=6\""}}) {
    const auto set = ApplySetting(settings, "configs", value);
    ASSERT_FALSE(set.ok()) << value;
    EXPECT_THAT(set.error().message, HasSubstr(message)) << value;
  }
  // In the file a value is one value, whatever it looks like.
  EXPECT_THAT(ErrorOf("configs:\n  log.cleanup.policy: compact,log.roll.ms=5\n"),
              HasSubstr("node.yaml:2: key \"configs\": log.cleanup.policy cannot be"));
  EXPECT_THAT(ErrorOf("configs:\n  log.cleanup.policy: [compact, x]\n"),
              HasSubstr("log.cleanup.policy cannot be \"compact,x\""));
}

TEST(Settings, OfACommandLineNameTheCommandThatFormatsTheSame) {
  const std::string path = testing::TempDir() + "/settings test.yaml";
  std::ofstream(path) << "node_id: 4\n";
  CLI::App app;
  SettingFlags flags;
  flags.AddTo(app);
  app.parse("--data-dir /srv/it's --grpc-listen 127.0.0.1:0 --config '" + path + "'");
  const auto settings = flags.MakeSettings();
  ASSERT_TRUE(settings.ok()) << settings.error();
  EXPECT_EQ(settings->node_id, NodeId{4});
  EXPECT_EQ(settings->data_dir, "/srv/it's");
  EXPECT_EQ(settings->format_command,
            "gregor cluster format --config '" + path + "' --data-dir '/srv/it'\\''s'");
  EXPECT_EQ(settings->add_log_dir_command, settings->format_command + " --add-log-dir");
}

TEST(Settings, ABadFlagIsNamedOnce) {
  CLI::App app;
  SettingFlags flags;
  flags.AddTo(app);
  app.parse("--event-loops x");
  EXPECT_EQ(flags.MakeSettings().error().message,
            "--event-loops: \"x\" is not a whole number from 0 to 256");
}

TEST(Settings, OfSeveralNodesAskForTheClustersId) {
  const auto made = [](const std::string& line) {
    CLI::App app;
    SettingFlags flags;
    flags.AddTo(app);
    app.parse(line);
    return *flags.MakeSettings();
  };
  const Settings alone = made("--node-id 1 --controllers 1@a:9093");
  EXPECT_FALSE(alone.HasOthers());
  EXPECT_FALSE(alone.must_be_formatted);
  EXPECT_EQ(alone.format_command, "gregor cluster format --node-id 1");
  for (const char* line : {"--node-id 1 --controllers 1@a:9093,2@b:9093,3@c:9093",
                           "--node-id 4 --roles broker --controllers 1@a:9093"}) {
    const Settings settings = made(line);
    EXPECT_TRUE(settings.HasOthers());
    EXPECT_TRUE(settings.must_be_formatted);
    EXPECT_THAT(settings.format_command, EndsWith(" --cluster-id ID"));
  }
}

TEST(Settings, OfAnEvenNumberOfControllersAreNoGoodIdea) {
  Settings settings;
  EXPECT_THAT(AdviceOn(settings), IsEmpty());
  for (int32_t node = 1; node <= 5; ++node) {
    settings.controllers.push_back({NodeId{node}, {"a", 9093}});
    EXPECT_EQ(AdviceOn(settings).size(), node % 2 == 0 ? 1u : 0u);
  }
}

TEST(Settings, OneAddressForOthersIsEnough) {
  Settings settings;
  settings.controllers = {{NodeId{1}, {"10.0.0.1", 9093}}};
  EXPECT_THAT(AdviceOn(settings), IsEmpty());
  settings.advertise_internal = HostPort{"10.0.0.1", 9093};
  EXPECT_THAT(AdviceOn(settings), IsEmpty());
  settings.advertise_internal = HostPort{"node1", 9093};
  EXPECT_THAT(AdviceOn(settings),
              ElementsAre(HasSubstr("name it connect to 10.0.0.1:9093, others to node1:9093")));
  settings.node_id = NodeId{2};
  EXPECT_THAT(AdviceOn(settings), IsEmpty());
}

TEST(Settings, TwoControllersAreNotAtOneAddress) {
  Settings settings;
  settings.controllers = {{NodeId{1}, {"a", 9093}}, {NodeId{2}, {"b", 9093}}};
  EXPECT_TRUE(CheckSettings(settings).ok());
  settings.controllers.push_back({NodeId{3}, {"a", 9093}});
  EXPECT_EQ(CheckSettings(settings).error().message,
            "key \"controllers\": nodes 1 and 3 cannot both be at a:9093");
}

TEST(Settings, TwoListenersDoNotHaveOnePort) {
  Settings settings;
  settings.listen_grpc.port = 9095;  // where the default of HTTP is
  EXPECT_EQ(
      CheckSettings(settings).error().message,
      "keys \"listen.grpc\" and \"listen.http\": both have port 9095; give one of them another");
  settings.listen_http.host = "127.0.0.2";
  EXPECT_TRUE(CheckSettings(settings).ok());
  settings.listen_http.host = "0.0.0.0";
  EXPECT_FALSE(CheckSettings(settings).ok());
  settings.listen_grpc.port = settings.listen_http.port = 0;
  EXPECT_TRUE(CheckSettings(settings).ok()) << "two free ones";

  settings.listen_http = settings.listen_internal;
  EXPECT_TRUE(CheckSettings(settings).ok())
      << "nothing listens for other nodes where there are none";
  settings.controllers = {{NodeId{1}, {"a", 9093}}};
  EXPECT_FALSE(CheckSettings(settings).ok());
}

TEST(Settings, AFileThatIsNotThereIsAnError) {
  Settings settings;
  EXPECT_THAT(LoadSettingsFile(testing::TempDir(), settings).error().message,
              HasSubstr("cannot be read"));
  EXPECT_THAT(LoadSettingsFile("/nonexistent/node.yaml", settings).error().message,
              HasSubstr("cannot be read"));
}

TEST(Settings, EveryDefaultInTheTableIsTheOneInTheCode) {
  for (const SettingSpec& spec : SettingSpecs()) {
    if (spec.name.starts_with("advertise") || spec.default_value.empty() || spec.name == "log_dirs")
      continue;
    Settings settings;
    std::string value(spec.default_value);
    const auto result = ApplySetting(settings, spec.name, value);
    EXPECT_TRUE(result.ok()) << spec.name << ": " << result.error();
  }
  Settings applied;
  ASSERT_TRUE(ApplySetting(applied, "flush_bytes", FindSetting("flush_bytes")->default_value).ok());
  EXPECT_EQ(applied.flush_bytes, Settings().flush_bytes);
  ASSERT_TRUE(ApplySetting(applied, "producer_id_expiration",
                           FindSetting("producer_id_expiration")->default_value)
                  .ok());
  EXPECT_EQ(applied.producer_id_expiration, Settings().producer_id_expiration);
  EXPECT_EQ(applied.listen_grpc, Settings().listen_grpc);
  applied.quorum_election_jitter = Duration(0);
  ASSERT_TRUE(ApplySetting(applied, "quorum.election_jitter",
                           FindSetting("quorum.election_jitter")->default_value)
                  .ok());
  EXPECT_EQ(applied.quorum_election_jitter, Settings().quorum_election_jitter);
  EXPECT_EQ(applied.quorum_election_jitter, raft::Options().quick_jitter);
}

TEST(Settings, OfTheQuorumReachIt) {
  Settings settings;
  ASSERT_TRUE(ApplySetting(settings, "quorum.election_jitter", "2s").ok());
  ASSERT_TRUE(ApplySetting(settings, "quorum.election_timeout", "3s").ok());
  const raft::Options options = QuorumOptions(settings);
  EXPECT_EQ(options.quick_jitter, std::chrono::seconds(2));
  EXPECT_EQ(options.election_timeout_min, std::chrono::seconds(3));
}

TEST(Settings, FlagsFollowTheNames) {
  EXPECT_EQ(FindSetting("data_dir")->Flag(), "--data-dir");
  EXPECT_EQ(FindSetting("listen.grpc")->Flag(), "--grpc-listen");
  EXPECT_EQ(FindSetting("advertise.grpc")->Flag(), "--advertise-grpc");
}

TEST(Settings, ContradictionsAreRefused) {
  Settings settings;
  settings.log_dirs = {"/a", "/a"};
  EXPECT_FALSE(CheckSettings(settings).ok());
  settings = Settings();
  settings.advertise_grpc = HostPort{"0.0.0.0", 9};
  EXPECT_FALSE(CheckReachable(settings).ok());
  settings = Settings();
  settings.produce_memory_bytes = 1 << 20;
  EXPECT_FALSE(CheckSettings(settings).ok());
}

TEST(SettingValues, UnitsAreUnderstoodAndBoundsKept) {
  EXPECT_EQ(*ParseByteCount("10 MiB", 0, UINT64_MAX), 10u << 20);
  EXPECT_EQ(*ParseByteCount("7", 0, 100), 7u);
  EXPECT_FALSE(ParseByteCount("-1", 0, 100).ok());
  EXPECT_FALSE(ParseByteCount("101", 0, 100).ok());
  EXPECT_FALSE(ParseByteCount("99999999999T", 0, UINT64_MAX).ok());
  EXPECT_FALSE(ParseByteCount("1 XB", 0, 100).ok());
  const auto bytes = [](uint64_t low, uint64_t high) {
    return ParseByteCount("many", low, high).error().message;
  };
  EXPECT_THAT(bytes(64u << 10, 1u << 30), HasSubstr("bytes from 64 KiB to 1 GiB ("));
  EXPECT_THAT(bytes(0, uint64_t{16} << 40), HasSubstr("bytes from 0 to 16 TiB ("));
  EXPECT_THAT(bytes(1000, 1500u << 10), HasSubstr("bytes from 1000 to 1500 KiB ("));
  EXPECT_EQ(*ParseDuration("2m", Duration(0), std::chrono::hours(1)), std::chrono::minutes(2));
  EXPECT_FALSE(ParseDuration("2", Duration(0), std::chrono::hours(1)).ok());
  EXPECT_FALSE(ParseDuration("9223372036854775807d", Duration(0), std::chrono::hours(1)).ok());
  EXPECT_FALSE(ParseInteger("1x", 0, 5).ok());
  const auto range = [](Duration low, Duration high) {
    return ParseDuration("x", low, high).error().message;
  };
  EXPECT_THAT(range(std::chrono::milliseconds(10), std::chrono::hours(1)),
              HasSubstr("from 10ms to 1h ("));
  EXPECT_THAT(range(Duration(0), std::chrono::seconds(90)), HasSubstr("from 0ms to 90s ("));
  EXPECT_THAT(range(std::chrono::minutes(1), std::chrono::hours(720)),
              HasSubstr("from 1m to 30d ("));
}

TEST(SettingValues, ErrorsTellTheRangesThatTheListShows) {
  int count = 0;
  for (const SettingSpec& spec : SettingSpecs()) {
    if (!spec.unit.starts_with("bytes") && spec.unit != "time") continue;
    std::string range(spec.range);
    if (range.starts_with("auto, ")) range.erase(0, 6);
    Settings settings;
    const auto set = ApplySetting(settings, spec.name, "many");
    ASSERT_FALSE(set.ok()) << spec.name;
    EXPECT_THAT(set.error().message, HasSubstr(" from " + range + " (")) << spec.name;
    ++count;
  }
  EXPECT_GT(count, 20);
}

TEST(HostPort, TakesNamesAndBothKindsOfAddresses) {
  EXPECT_EQ(*ParseHostPort("localhost:80"), (HostPort{"localhost", 80}));
  EXPECT_EQ(*ParseHostPort("[fe80::1]:80"), (HostPort{"fe80::1", 80}));
  for (const char* bad : {"", ":", "a", "a:", ":80", "a:65536", "::1:80", "a b:80", "[]:80"}) {
    EXPECT_FALSE(ParseHostPort(bad).ok()) << bad;
  }
}

TEST(HostPort, AHostIsNoLongerThanAVotersMayBe) {
  const std::string longest(255, 'h');
  EXPECT_EQ(*ParseHostPort(longest + ":80"), (HostPort{longest, 80}));
  EXPECT_THAT(ErrorOf("controllers: [\"1@a:1\",\n \"2@h" + longest + ":1\"]\n"),
              AllOf(StartsWith("node.yaml:1: key \"controllers\": the host \"hhh"),
                    HasSubstr("has 256 bytes: no more than 255")));
}

TEST(Settings, RolesAreThoseThatAreNamed) {
  Settings settings;
  ASSERT_TRUE(ParseSettings("node.yaml", "roles: [broker]\n", settings).ok());
  EXPECT_EQ(settings.roles, (Roles{.controller = false, .broker = true}));
  EXPECT_FALSE(settings.LogDirs().empty());
  ASSERT_TRUE(ApplySetting(settings, "roles", "controller").ok());
  EXPECT_EQ(settings.roles, (Roles{.controller = true, .broker = false}));
  EXPECT_TRUE(settings.LogDirs().empty());
  ASSERT_TRUE(ApplySetting(settings, "roles", "broker,controller").ok());
  EXPECT_EQ(settings.roles, Roles());
  EXPECT_THAT(ErrorOf("roles: [voter]\n"), HasSubstr("\"voter\" is none of controller, broker"));
  EXPECT_THAT(ErrorOf("roles: []\n"), HasSubstr("controller, broker or both"));
}

TEST(Settings, WhatAnUncleanStopMayLoseIsNotForOneNodeOfAClusterToSay) {
  Settings settings;
  settings.configs["log.durability"] = "replicated";
  EXPECT_TRUE(CheckSettings(settings).ok()) << "a cluster of its own";
  settings.controllers = {{NodeId{1}, {"127.0.0.1", 9093}}};
  const auto refused = CheckSettings(settings);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kInvalidConfig);
  EXPECT_THAT(refused.error().message, HasSubstr("config set --all-brokers log.durability="));
  settings.configs = {{"log.retention.ms", "1"}};
  EXPECT_TRUE(CheckSettings(settings).ok());
}

TEST(Settings, RolesHaveToFitTheRest) {
  const auto refusal = [](const Settings& settings) {
    const auto checked = CheckSettings(settings);
    return checked.ok() ? "" : checked.error().message;
  };
  Settings settings;
  settings.roles.broker = false;
  EXPECT_THAT(refusal(settings), HasSubstr("without `controllers`"));
  settings.controllers = {{NodeId{1}, {"127.0.0.1", 9093}}, {NodeId{2}, {"127.0.0.1", 9193}}};
  EXPECT_EQ(refusal(settings), "");
  settings.log_dirs = {"/disk1"};
  EXPECT_THAT(refusal(settings), HasSubstr("no broker"));
  settings.log_dirs.clear();
  settings.roles = {.controller = false, .broker = true};
  EXPECT_THAT(refusal(settings), HasSubstr("node 1 is named in `controllers`"));
  settings.node_id = NodeId{3};
  EXPECT_EQ(refusal(settings), "");
  // One that is to become a controller later.
  settings.roles = Roles();
  EXPECT_EQ(refusal(settings), "");
}

TEST(Settings, AClustersNodeSaysWhereOthersReachIt) {
  const auto refusal = [](const Settings& settings) {
    const auto checked = CheckReachable(settings);
    return checked.ok() ? "" : checked.error().message;
  };
  Settings settings;
  settings.node_id = NodeId{4};
  settings.controllers = {{NodeId{1}, {"10.0.0.1", 9093}}};
  settings.insecure_internal = true;
  settings.listen_internal = {"0.0.0.0", 9093};
  EXPECT_THAT(refusal(settings), HasSubstr("set advertise.internal"));
  settings.advertise_internal = HostPort{"10.0.0.4", 9093};
  EXPECT_EQ(refusal(settings), "");
  settings.listen_grpc = {"0.0.0.0", 9094};
  EXPECT_THAT(refusal(settings), HasSubstr("set advertise.grpc"));
  settings.roles = {.controller = true, .broker = false};  // nobody is told of it
  EXPECT_EQ(refusal(settings), "");
  settings.roles = {};
  settings.advertise_grpc = HostPort{"10.0.0.4", 9094};
  EXPECT_EQ(refusal(settings), "");
  // What `controllers` says of a node is enough.
  settings.advertise_internal.reset();
  settings.node_id = NodeId{1};
  EXPECT_EQ(refusal(settings), "");
}

TEST(Settings, ALogDirectoryIsNotTheDataDirectory) {
  Settings settings;
  settings.data_dir = "/srv/gregor";
  settings.log_dirs = {"/disk1", "/srv/gregor"};
  const auto result = CheckSettings(settings);
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().message, HasSubstr("/srv/gregor is the data directory"));
}

TEST(Settings, AnInternalListenerThatOthersReachIsProtectedOrSaidToBeOpen) {
  const std::string cluster =
      "controllers: [\"1@10.0.0.1:9093\"]\n"
      "listen: {internal: \"10.0.0.1:9093\"}\n";
  const auto check = [&](const std::string& more) {
    Settings settings;
    const auto parsed = ParseSettings("node.yaml", cluster + more, settings);
    if (!parsed.ok()) return parsed.error().message;
    const auto checked = CheckSettings(settings);
    return checked.ok() ? "" : checked.error().message;
  };
  EXPECT_THAT(check(""), HasSubstr("nothing protects it"));
  EXPECT_EQ(check("insecure_internal: true\n"), "");
  EXPECT_EQ(check("internal_tls: {ca: a.pem, certificate: c.pem, key: k.pem}\n"), "");
  EXPECT_THAT(check("internal_tls: {ca: a.pem, certificate: c.pem}\n"), HasSubstr("all three"));
  EXPECT_THAT(check("internal_tls: {ca: \"\"}\n"), HasSubstr("an empty path"));
}

}  // namespace
}  // namespace gregor
