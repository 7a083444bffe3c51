#ifndef GREGOR_BROKER_GRPC_STATUS_H_
#define GREGOR_BROKER_GRPC_STATUS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "base/result.h"
#include "google/rpc/status.pb.h"
#include "gregor/v1/errors.pb.h"

namespace gregor {

// An Error as gRPC clients see it (docs/errors.md): the code of its reason, the message, and
// details of which each stands there once at most: ErrorInfo (always; its metadata are the error's
// details), LeaderHint, RetryInfo, WriteOutcome, PartialProduce. Thread: any.
//
// Of the error's details some have a meaning here:
//   outcome                      NOT_APPLIED or UNKNOWN: WriteOutcome
//   retry_delay_ms               RetryInfo; without it the default of the reason's advice
//   leader_id, leader_epoch      LeaderHint, with topic and partition, leader_host and leader_port,
//                                metadata_version where they are given
//
// The whole stays below kStatusBytesMax, since a client refuses trailers above 8 KiB and would lose
// the error: long values are cut, and what does not fit is left out. Control characters and what is
// not UTF-8 are escaped, because messages quote what clients sent.
inline constexpr size_t kStatusBytesMax = 2048;

// `text` as printable UTF-8 of at most `bytes_max` bytes; "..." stands for what was cut off.
std::string Printable(std::string_view text, size_t bytes_max);

google::rpc::Status ToRpcStatus(const Error& error);
// Of a produce call of which some ranges were appended: at most 32 of them, `truncated` says if
// more were left off.
google::rpc::Status ToRpcStatus(const Error& error, const v1::PartialProduce& partial);

// What a call ends with.
grpc::Status ToStatus(const Error& error);
grpc::Status ToStatus(const google::rpc::Status& status);

// Adds the trailers for stubs without helpers for details: x-gregor-reason, x-gregor-outcome where
// the error says it, and grpc-retry-pushback-ms where gRPC's own retries should wait. REQUIRES: the
// call has not ended.
void AddReasonTrailer(grpc::ServerContextBase& context, const Error& error);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_STATUS_H_
