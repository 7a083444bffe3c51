#ifndef GREGOR_BROKER_REQUEST_ID_H_
#define GREGOR_BROKER_REQUEST_ID_H_

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"
#include "base/types.h"
#include "storage/producer_state.h"  // kRequestIdRange, IsRequestId()

namespace gregor {

// How a request_id becomes part of the log (docs/formats.md "Request ids"): the batch carries a
// producer id from a reserved range, which the partition's ordinary producer table then recognises,
// after restarts too. Thread: any.

// Keyed, so that nobody who may write can forge the id of another's request. `key`: of the cluster,
// made at formatting.
ProducerId ProducerIdOfRequest(const std::array<uint8_t, 16>& key, std::string_view principal,
                               std::string_view topic, std::string_view request_id);

// 31 bits of the content of a request, stored as the base sequence of each batch that it becomes:
// the same id with other content is told from a retry, whichever partitions either goes to. Content
// is the partition that the caller named, if any, and the records in their order. Timestamps count
// only where the caller set them.
Sequence ContentSequence(const std::array<uint8_t, 16>& key,
                         std::optional<PartitionIndex> partition,
                         const std::vector<NewRecord>& records);

// What a request is refused with whose id was used before for other content.
Error RequestIdReused();

// What records without key under a request id are spread by: a retry goes to the same partition.
uint64_t PartitionHashOfRequest(std::string_view request_id);

}  // namespace gregor

#endif  // GREGOR_BROKER_REQUEST_ID_H_
