#ifndef GREGOR_CLIENT_WIRE_H_
#define GREGOR_CLIENT_WIRE_H_

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/record_batch.h"
#include "base/types.h"

namespace gregor {

// A ProduceStreamRequest with a frame, written by hand so that the batch's bytes are not copied
// into a message. Thread: any.
Bytes EncodeProduceFrame(int64_t frame_id, std::string_view topic, PartitionIndex partition,
                         int32_t attempt, const Bytes& batch);

// The same batch of another producer or with another sequence. Its bytes are copied: the old ones
// may be on their way still. Thread: any.
RecordBatch WithProducer(const RecordBatch& batch, ProducerId id, ProducerEpoch epoch,
                         Sequence sequence);

// The payload (field 15) of the FetchData inside of a FetchStreamResponse, and the rest of the
// message without it. The payload shares the bytes of `message`. False where the message is not of
// that form.
struct FetchDataParts {
  std::string head;  // FetchData without the payload, to be parsed
  Bytes payload;
};
bool SplitFetchData(const Bytes& message, FetchDataParts* parts);

}  // namespace gregor

#endif  // GREGOR_CLIENT_WIRE_H_
