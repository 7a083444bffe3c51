#include "client/cli/producer_arguments.h"

namespace gregor {

void ProducerArguments::AddOptions(CLI::App& command) {
  command
      .add_option("--acks", acks,
                  "When a record counts as written: all (in-sync replicas have it), leader or none")
      ->check(CLI::IsMember({"all", "leader", "none"}))
      ->type_name("ACKS")
      ->capture_default_str();
  command
      .add_option("--compression", compression,
                  "Compression of the batches: none, gzip, snappy, lz4 or zstd")
      ->check(CLI::IsMember({"none", "gzip", "snappy", "lz4", "zstd"}))
      ->type_name("CODEC")
      ->capture_default_str();
  command.add_option("--batch-bytes", batch_bytes, "Largest batch (default: 1048576)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->type_name("BYTES");
  command
      .add_option("--linger-ms", linger_ms,
                  "How long a batch waits to be filled while others are on their way (default: 1)")
      ->check(CLI::Range(0.0, 1e6))
      ->type_name("MS");
}

ProducerOptions ProducerArguments::ToOptions(const std::string& server) const {
  ProducerOptions options;
  options.server = server;
  options.client_id = "gregor";
  options.acks = acks == "all"      ? ClientAcks::kAll
                 : acks == "leader" ? ClientAcks::kLeader
                                    : ClientAcks::kNone;
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
