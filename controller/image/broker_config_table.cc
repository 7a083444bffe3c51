// The table of dynamic broker configs: what topics inherit, and what is the broker's own.
#include <algorithm>

#include "controller/image/config_tables.h"

namespace gregor {
namespace {

constexpr ConfigSpec Text(std::string_view name, std::string_view default_value,
                          std::string_view documentation) {
  return NotYet(
      TextConfig(name, ConfigType::kString, default_value, "any text", {}, "", documentation));
}
constexpr ConfigSpec List(std::string_view name, std::string_view default_value,
                          std::string_view documentation) {
  return NotYet(
      TextConfig(name, ConfigType::kList, default_value, "a list", {}, "", documentation));
}
constexpr ConfigSpec Boolean(std::string_view name, std::string_view default_value,
                             std::string_view documentation) {
  return NotYet(BooleanConfig(name, default_value, "", documentation));
}
constexpr ConfigSpec Int(std::string_view name, std::string_view default_value, int64_t low,
                         std::string_view documentation) {
  return NotYet(IntConfig(name, default_value, low == 0 ? "at least 0" : "at least 1", low, "",
                          documentation));
}
constexpr ConfigSpec Long(std::string_view name, std::string_view default_value, int64_t low,
                          std::string_view documentation) {
  return NotYet(LongConfig(name, default_value, low == 0 ? "at least 0" : "at least 1", low, "",
                           documentation));
}
constexpr ConfigSpec Fraction(std::string_view name, std::string_view default_value,
                              std::string_view documentation) {
  return NotYet(
      NumberConfig(name, ConfigType::kDouble, default_value, "0 to 1", 0, 1, "", documentation));
}
constexpr ConfigSpec Secret(ConfigSpec spec) {
  spec.sensitive = true;
  return spec;
}

constexpr ConfigSpec kOwnConfigs[] = {
    List("advertised.listeners", "", "Addresses that clients are told (setting advertise.*)."),
    OfCluster(BooleanConfig("auto.leader.rebalance.enable", "true", "",
                            "Whether the first of a partition's replicas leads again by itself "
                            "once it is in sync. The cluster's: not of single brokers.")),
    Int("background.threads", "10", 1, "Threads for background work."),
    List("cordoned.log.dirs", "", "Log directories that get no new partitions."),
    Long("follower.replication.throttled.rate", kConfigLongMax, 0,
         "Bytes a second of throttled replication that a follower takes."),
    OfCluster(LongConfig(
        "leader.imbalance.check.interval.seconds", "300", "at least 1", 1, "",
        "How often the controller looks for partitions that others lead (s). The cluster's.")),
    OfCluster(NumberConfig("leader.imbalance.per.broker.percentage", ConfigType::kInt, "10",
                           "0 to 100", 0, 100, "",
                           "How many of the partitions that prefer a broker as their leader others "
                           "may lead (per cent). The cluster's.")),
    Long("leader.replication.throttled.rate", kConfigLongMax, 0,
         "Bytes a second of throttled replication that a leader gives."),
    Text("listener.security.protocol.map", "", "Security protocol of each listener."),
    List("listeners", "", "Addresses that the broker listens on (setting listen.*)."),
    Long("log.cleaner.backoff.ms", "15000", 0, "Pause of the compaction with nothing to do (ms)."),
    Long("log.cleaner.dedupe.buffer.size", "134217728", 1,
         "Memory of the compaction's key map (setting compaction_memory)."),
    Fraction("log.cleaner.io.buffer.load.factor", "0.9", "How full the compaction's key map gets."),
    Int("log.cleaner.io.buffer.size", "524288", 1, "Buffers of the compaction (bytes)."),
    Long("log.cleaner.io.max.bytes.per.second", kConfigLongMax, 1,
         "Limit of the compaction's reads and writes (setting compaction_rate)."),
    Int("log.cleaner.threads", "1", 1, "Threads of the compaction."),
    Int("max.connection.creation.rate", "2147483647", 0, "New connections a second."),
    Int("max.connections", "2147483647", 0, "Connections of the broker."),
    Int("max.connections.per.ip", "2147483647", 0, "Connections of one address."),
    Text("max.connections.per.ip.overrides", "", "The same for single addresses."),
    List("metric.reporters", "", "Classes that get metrics; Gregor has /metrics."),
    Int("num.io.threads", "8", 1, "Threads for requests (setting event_loops)."),
    Int("num.network.threads", "3", 1, "Threads for connections."),
    Int("num.recovery.threads.per.data.dir", "2", 1,
        "Threads for recovery (setting disk_background_threads)."),
    Int("num.replica.fetchers", "1", 1, "Threads that fetch from each leader."),
    Text("principal.builder.class", "", "Class that names principals."),
    Int("producer.id.expiration.ms", "86400000", 1,
        "After so long an idle producer's sequences are forgotten (setting "
        "producer_id_expiration)."),
    Int("remote.fetch.max.wait.ms", "500", 1, "Longest wait for a read of tiered storage (ms)."),
    Long("remote.list.offsets.request.timeout.ms", "30000", 1,
         "Longest wait for offsets of tiered storage (ms)."),
    Long("remote.log.index.file.cache.total.size.bytes", "1073741824", 1,
         "Cache of tiered storage's indexes (bytes)."),
    Int("remote.log.manager.copier.thread.pool.size", "10", 1, "Threads that copy segments."),
    Long("remote.log.manager.copy.max.bytes.per.second", kConfigLongMax, 1,
         "Bytes a second copied to tiered storage."),
    Int("remote.log.manager.expiration.thread.pool.size", "10", 1,
        "Threads that expire copied segments."),
    Long("remote.log.manager.fetch.max.bytes.per.second", kConfigLongMax, 1,
         "Bytes a second read from tiered storage."),
    Int("remote.log.manager.follower.thread.pool.size", "2", 1,
        "Threads of tiered storage's followers."),
    Int("remote.log.reader.threads", "10", 1, "Threads that read from tiered storage."),
    Long("replica.alter.log.dirs.io.max.bytes.per.second", kConfigLongMax, 1,
         "Bytes a second moved between log directories."),
    List("sasl.enabled.mechanisms", "GSSAPI", "SASL mechanisms of the Kafka door."),
    Secret(Text("sasl.jaas.config", "", "JAAS login of a listener.")),
    Text("sasl.kerberos.kinit.cmd", "/usr/bin/kinit", "Path of kinit."),
    Long("sasl.kerberos.min.time.before.relogin", "60000", 0, "Pause between logins (ms)."),
    List("sasl.kerberos.principal.to.local.rules", "DEFAULT", "Rules from principals to names."),
    Text("sasl.kerberos.service.name", "", "Kerberos name of the broker."),
    Fraction("sasl.kerberos.ticket.renew.jitter", "0.05", "Randomness of the renewal."),
    Fraction("sasl.kerberos.ticket.renew.window.factor", "0.8", "When tickets are renewed."),
    Int("sasl.login.refresh.buffer.seconds", "300", 0, "Time left when a login is refreshed (s)."),
    Int("sasl.login.refresh.min.period.seconds", "60", 0, "Least time between refreshes (s)."),
    Fraction("sasl.login.refresh.window.factor", "0.8", "When a login is refreshed."),
    Fraction("sasl.login.refresh.window.jitter", "0.05", "Randomness of the refresh."),
    Text("sasl.mechanism.inter.broker.protocol", "GSSAPI", "SASL mechanism between brokers."),
    Boolean("ssl.allow.dn.changes", "false", "Whether a new certificate may have another name."),
    Boolean("ssl.allow.san.changes", "false",
            "Whether a new certificate may have other alternative names."),
    List("ssl.cipher.suites", "", "Ciphers of TLS 1.2."),
    Text("ssl.client.auth", "none", "Whether clients show certificates."),
    List("ssl.enabled.protocols", "TLSv1.2,TLSv1.3", "Versions of TLS."),
    Text("ssl.endpoint.identification.algorithm", "https", "How a server's name is checked."),
    Text("ssl.engine.factory.class", "", "Class that makes TLS engines."),
    Secret(Text("ssl.key.password", "", "Password of the private key.")),
    Text("ssl.keymanager.algorithm", "SunX509", "Algorithm of the key manager."),
    Secret(Text("ssl.keystore.certificate.chain", "", "Certificates of the broker (PEM).")),
    Secret(Text("ssl.keystore.key", "", "Private key of the broker (PEM).")),
    Text("ssl.keystore.location", "", "File of the broker's key."),
    Secret(Text("ssl.keystore.password", "", "Password of that file.")),
    Text("ssl.keystore.type", "JKS", "Format of that file."),
    Text("ssl.protocol", "TLSv1.3", "Version of TLS."),
    Text("ssl.provider", "", "Security provider."),
    Text("ssl.secure.random.implementation", "", "Source of randomness."),
    Text("ssl.trustmanager.algorithm", "PKIX", "Algorithm of the trust manager."),
    Secret(Text("ssl.truststore.certificates", "", "Trusted certificates (PEM).")),
    Text("ssl.truststore.location", "", "File of trusted certificates."),
    Secret(Text("ssl.truststore.password", "", "Password of that file.")),
    Text("ssl.truststore.type", "JKS", "Format of that file."),
    Boolean("transaction.partition.verification.enable", "true",
            "Whether a partition's part in a transaction is verified."),
    OfCluster(LongConfig("unclean.leader.election.interval.ms", "300000", "at least 100", 100, "",
                         "How often the controller looks for partitions without a leader that "
                         "unclean.leader.election.enable allows one that may lack records (ms). "
                         "The cluster's.")),
};

std::vector<ConfigSpec> MakeBrokerConfigs() {
  std::vector<ConfigSpec> specs(std::begin(kOwnConfigs), std::end(kOwnConfigs));
  for (ConfigSpec spec : TopicConfigSpecs()) {
    if (spec.broker_synonym.empty()) continue;
    spec.name = std::exchange(spec.broker_synonym, {});
    specs.push_back(spec);
  }
  std::sort(specs.begin(), specs.end(),
            [](const ConfigSpec& a, const ConfigSpec& b) { return a.name < b.name; });
  return specs;
}

}  // namespace

std::span<const ConfigSpec> BrokerConfigSpecs() {
  static const auto* const kSpecs = new std::vector<ConfigSpec>(MakeBrokerConfigs());
  return *kSpecs;
}

}  // namespace gregor
