#ifndef GREGOR_CLIENT_CONSUMED_ITEM_H_
#define GREGOR_CLIENT_CONSUMED_ITEM_H_

#include <optional>
#include <utility>

#include "client/consumer.h"
#include "client/slot_table.h"
#include "gregor/v1/fetch.pb.h"

namespace gregor {

// What a consumer's owner is to be told, in order: what came of a partition, or an error; without a
// topic, of all of them.
struct ConsumedItem {
  NodeId node{-1};  // whom the credit goes back to
  Consumed consumed;
  int64_t charged_bytes = 0;
  std::optional<Error> error = std::nullopt;
};

// Of data that came for `slot`, which goes on behind them. REQUIRES: slot.next.
inline ConsumedItem TakeData(Slot& slot, const v1::FetchData& data, Bytes payload) {
  ConsumedItem item{.node = slot.node,
                    .consumed = {.topic = slot.topic,
                                 .partition = slot.partition,
                                 .batches = std::move(payload),
                                 .from = *slot.next,
                                 .next_offset = Offset{data.next_offset()},
                                 .high_watermark = Offset{data.high_watermark()},
                                 .caught_up = data.next_offset() >= data.high_watermark()},
                    .charged_bytes = data.charged_bytes()};
  slot.next = item.consumed.next_offset;
  return item;
}

// Of the end of the partition, which `slot` has reached.
inline ConsumedItem TakeEnd(Slot& slot, Offset end) {
  slot.next = end;
  return {.node = slot.node,
          .consumed = {.topic = slot.topic,
                       .partition = slot.partition,
                       .batches = {},
                       .from = end,
                       .next_offset = end,
                       .high_watermark = end,
                       .caught_up = true}};
}

}  // namespace gregor

#endif  // GREGOR_CLIENT_CONSUMED_ITEM_H_
