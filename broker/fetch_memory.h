#ifndef GREGOR_BROKER_FETCH_MEMORY_H_
#define GREGOR_BROKER_FETCH_MEMORY_H_

#include <string>

#include "base/budget.h"
#include "base/bytes.h"
#include "broker/api.h"

namespace gregor {

// Bytes of answers to fetches that keep their share of the node's memory for those. Thread: any.

// Sets what was read: it has `share` until its last byte is let go, or until somebody takes of it
// by way of fetched.memory.
void SetBatches(Fetched& fetched, const Bytes& batches, Budget::Share share);
// `bytes`, which have `share` until they are let go.
Slice Holding(std::string bytes, Budget::Share share);

}  // namespace gregor

#endif  // GREGOR_BROKER_FETCH_MEMORY_H_
