#ifndef GREGOR_BROKER_GRPC_CONVERSIONS_H_
#define GREGOR_BROKER_GRPC_CONVERSIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "broker/api.h"
#include "broker/grpc/fetch_wire.h"
#include "gregor/v1/types.pb.h"

namespace gregor {

// Values of the API's messages as the broker takes them. All fail with kInvalidArgument, which
// names the field; a value of an enum that this version does not know is one of those. Thread: any.

Result<TopicRef> TopicOf(std::string_view name, std::string_view id);
Result<AckRule> AcksOf(int32_t acks, int32_t count, bool receipt);
Result<Codec> CodecOf(int32_t compression);
Result<void> CheckRouting(int32_t routing);
Result<Isolation> IsolationOf(int32_t isolation);
// Unset: the earliest record.
Result<Position> PositionOf(const WirePosition& position);
Result<Position> PositionOf(const v1::Position& position);

enum class FetchFormat : uint8_t { kRecords, kBatches };
Result<FetchFormat> FetchFormatOf(int32_t format);

std::optional<LeaderEpoch> EpochOf(std::optional<int32_t> epoch);

// The most bytes that a client may ask for in one answer or message.
size_t AnswerBytesLimit(const BrokerApi& broker);
// The error, with the place where it was met.
Error AtPartition(Error error, const std::string& topic, PartitionIndex partition);
Error AtPartition(Error error, const BrokerApi& broker, const TopicRef& topic,
                  PartitionIndex partition);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_CONVERSIONS_H_
