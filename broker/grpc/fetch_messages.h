#ifndef GREGOR_BROKER_GRPC_FETCH_MESSAGES_H_
#define GREGOR_BROKER_GRPC_FETCH_MESSAGES_H_

#include <grpcpp/support/byte_buffer.h>

#include "base/bytes.h"
#include "broker/api.h"
#include "broker/grpc/record_encoder.h"

namespace gregor {

// Messages of fetch.proto, written by hand: what was read from the log goes into them without a
// copy. Thread: any.

// Field numbers of the records in the messages that carry them.
inline constexpr uint32_t kFetchResponseRecords = 6;
inline constexpr uint32_t kReadResponseRecords = 2;
inline constexpr uint32_t kFetchDataRecords = 7;

grpc::ByteBuffer EncodeFetchResponse(const Fetched& fetched);
grpc::ByteBuffer EncodeFetchResponse(const Fetched& fetched, const EncodedRecords& records);

grpc::ByteBuffer EncodeReadResponse(std::string_view topic_id, PartitionIndex partition,
                                    const EncodedRecords& records, Offset high_watermark);

// FetchStreamResponse.
grpc::ByteBuffer EncodeFetchOpened(std::string_view stream_id, NodeId broker_id);
grpc::ByteBuffer EncodeFetchData(int32_t slot, const Fetched& fetched);
grpc::ByteBuffer EncodeFetchData(int32_t slot, const Fetched& fetched,
                                 const EncodedRecords& records);
grpc::ByteBuffer EncodeCaughtUp(int32_t slot, Offset offset);
grpc::ByteBuffer EncodeDiverged(int32_t slot, const EpochEnd& end);
grpc::ByteBuffer EncodeSlotError(int32_t slot, const Error& error);
grpc::ByteBuffer EncodeFetchDraining(Duration close_in);
grpc::ByteBuffer EncodeFetchHeartbeat();

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_FETCH_MESSAGES_H_
