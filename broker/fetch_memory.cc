#include "broker/fetch_memory.h"

#include <memory>
#include <utility>

namespace gregor {

void SetBatches(Fetched& fetched, const Bytes& batches, Budget::Share share) {
  struct Held {
    Bytes bytes;
    Budget::Share share;
  };
  const auto held = std::make_shared<Held>(Held{batches, std::move(share)});
  fetched.batches = Bytes();
  for (const Slice& slice : held->bytes.slices())
    fetched.batches.Append(Slice(held, slice.data(), slice.size()));
  fetched.memory = std::shared_ptr<Budget::Share>(held, &held->share);
}

Slice Holding(std::string bytes, Budget::Share share) {
  struct Held {
    std::string bytes;
    Budget::Share share;
  };
  const auto held = std::make_shared<Held>(Held{std::move(bytes), std::move(share)});
  return Slice(held, reinterpret_cast<const uint8_t*>(held->bytes.data()), held->bytes.size());
}

}  // namespace gregor
