#include "client/cli/producer_arguments.h"

#include "client/cli/help.h"
#include "client/cli/record_format.h"

namespace gregor {

void ProducerArguments::AddOptions(CLI::App& command) {
  command
      .add_option("--acks", acks,
                  "When a record counts as written: all (in-sync replicas have it), leader, none, "
                  "or so many replicas; 0, 1 and -1 are none, leader and all")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return ParseAcks(text).has_value()
                       ? std::string()
                       : text + " not in {all,leader,none}, and no number of replicas";
          },
          "{all,leader,none}"))
      ->type_name("ACKS")
      ->capture_default_str();
  command
      .add_option("--compression", compression,
                  "Compression of the batches: none, gzip, snappy, lz4 or zstd")
      ->check(CLI::IsMember({"none", "gzip", "snappy", "lz4", "zstd"}))
      ->type_name("CODEC")
      ->capture_default_str();
  command.add_option("--batch-bytes", batch_bytes, "Largest batch (default: 1048576)")
      ->check(Between(1, int64_t{1} << 30))
      ->type_name("BYTES");
  command
      .add_option("--linger-ms", linger_ms,
                  "How long every batch waits to be filled (default: 1 while others are on their "
                  "way, and no wait while nothing is)")
      ->check(NumberBetween(0, 1e6))
      ->type_name("MS");
  command
      .add_option("--delivery-timeout", delivery_timeout_seconds,
                  "How long a record is tried to be written before it counts as failed")
      ->check(NumberBetween(0.001, 1e6))
      ->type_name("SECONDS")
      ->default_str("120");
}

std::optional<AcksArgument> ParseAcks(const std::string& text) {
  if (text == "all" || text == "-1") return AcksArgument{ClientAcks::kAll};
  if (text == "leader" || text == "1") return AcksArgument{ClientAcks::kLeader};
  if (text == "none" || text == "0") return AcksArgument{ClientAcks::kNone};
  int64_t count = 0;
  if (!ParseWholeNumber(text, &count) || count < 2 || count > INT32_MAX) return std::nullopt;
  return AcksArgument{ClientAcks::kCount, static_cast<int32_t>(count)};
}

ProducerOptions ProducerArguments::ToOptions(const std::string& server) const {
  ProducerOptions options;
  options.server = server;
  options.client_id = "gregor";
  const AcksArgument parsed = ParseAcks(acks).value_or(AcksArgument());
  options.acks = parsed.acks;
  options.acks_count = parsed.count;
  options.delivery_timeout = Duration(static_cast<int64_t>(delivery_timeout_seconds * 1e9));
  for (const Codec codec :
       {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    if (CodecName(codec) == compression) options.compression = codec;
  }
  if (batch_bytes.has_value()) options.batch_bytes = static_cast<size_t>(*batch_bytes);
  if (linger_ms.has_value())
    options.linger = Duration(static_cast<int64_t>(*linger_ms * 1'000'000));
  return options;
}

}  // namespace gregor
