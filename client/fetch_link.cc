#include "client/fetch_link.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "client/timing.h"
#include "client/wire.h"

namespace gregor {
namespace {

constexpr char kFetchStream[] = "/gregor.v1.FetchService/FetchStream";
constexpr size_t kQueriesAtOnceMax = 5000;

}  // namespace

// --- the stream ---

void FetchLink::Delay() {
  backoff_ = std::clamp(2 * backoff_, kBackoffMin, kBackoffMax);
  open_at_ = SystemClock().Now() + backoff_;
}

void FetchLink::Open(IoLoop& loop, std::shared_ptr<Channel> channel) {
  CHECK(!IsOpen());
  channel_ = std::move(channel);
  stream_ = &loop.Open(*channel_, kFetchStream, *this);
}

void FetchLink::Write(const v1::FetchStreamRequest& request) {
  writing_ = true;
  stream_->Write(Slice::Own(request.SerializeAsString()));
}

void FetchLink::Reopen() {
  if (!IsOpen() || std::exchange(reopening_, true)) return;
  if (!writing_) stream_->WritesDone();
}

void FetchLink::Cancel() {
  if (IsOpen()) stream_->Cancel();
}

void FetchLink::OnWritten() {
  writing_ = false;
  if (reopening_) stream_->WritesDone();
}

void FetchLink::OnMessage(Bytes message) {
  FetchDataParts parts;
  v1::FetchData data;
  if (SplitFetchData(message, &parts) && data.ParseFromString(parts.head))
    return host_.OnData(*this, data, std::move(parts.payload));
  v1::FetchStreamResponse response;
  if (!response.ParseFromString(message.ToString())) return Cancel();
  host_.OnResponse(*this, response);
}

void FetchLink::OnClosed(Result<void> end) {
  stream_ = nullptr;
  writing_ = false;
  Delay();
  if (std::exchange(reopening_, false)) end = Result<void>();
  host_.OnClosed(*this, end);
}

// --- what is to be said ---

void FetchLink::Begin(const Terms& terms, const SlotTable& slots, const TopicWatch& topics) {
  terms_ = terms;
  credit_due = terms.credit_bytes;
  credit_wanted_ = true;
  to_remove.clear();
  to_add.clear();
  for (const auto& [number, slot] : slots.slots()) {
    if (slot.node == node_ && slot.next.has_value() && !slot.doubted &&
        topics.IdOf(slot.topic) != nullptr)
      to_add.push_back(number);
  }
}

std::optional<v1::FetchStreamRequest> FetchLink::NextRequest(SlotTable& slots,
                                                             const TopicWatch& topics) {
  v1::FetchStreamRequest request;
  if (credit_due > 0 && (credit_wanted_ || credit_due >= terms_.credit_step)) {
    credit_wanted_ = false;
    request.set_credit_bytes(std::exchange(credit_due, 0));
    return request;
  }
  if (!to_remove.empty()) {
    request.mutable_remove()->set_slot(to_remove.front());
    to_remove.pop_front();
    return request;
  }
  while (!to_add.empty()) {
    const int32_t number = to_add.front();
    to_add.pop_front();
    const Slot* const slot = slots.Find(number);
    if (slot == nullptr || slot->node != node_) continue;
    const std::string* const id = topics.IdOf(slot->topic);
    if (id != nullptr) return AddRequest(number, *slot, *id);
  }
  return std::nullopt;
}

std::optional<FetchLink::Lookup> FetchLink::NextLookup(SlotTable& slots, const TopicWatch& topics) {
  Lookup lookup;
  lookup.request.set_routing(v1::ROUTING_DIRECT);
  while (!to_resolve.empty() && lookup.numbers.size() < kQueriesAtOnceMax) {
    const int32_t number = to_resolve.front();
    to_resolve.pop_front();
    const Slot* const slot = slots.Find(number);
    if (slot == nullptr || slot->node != node_) continue;
    *lookup.request.add_queries() = QueryOf(*slot, topics.IdOf(slot->topic));
    lookup.numbers.push_back(number);
  }
  if (lookup.numbers.empty()) return std::nullopt;
  return lookup;
}

Result<v1::ListOffsetsResponse> ParseOffsets(const Result<Bytes>& answer, size_t slot_count) {
  if (!answer.ok()) return answer.error();
  v1::ListOffsetsResponse response;
  if (!response.ParseFromString(answer->ToString()) ||
      response.results_size() != static_cast<int>(slot_count))
    return Error(Reason::kUnspecified, "the server's answer cannot be parsed");
  return response;
}

v1::FetchStreamRequest OpenFetch(const ConsumerOptions& options, size_t message_bytes) {
  v1::FetchStreamRequest request;
  v1::FetchOpen& open = *request.mutable_open();
  open.set_format(v1::RECORD_FORMAT_BATCHES);
  open.set_client_id(options.client_id);
  // A broker that does not lead says who does.
  open.set_routing(v1::ROUTING_DIRECT);
  open.set_max_batch_bytes(static_cast<int32_t>(message_bytes));
  open.set_min_bytes(1);
  open.set_max_wait_ms(static_cast<int32_t>(options.wait_max / std::chrono::milliseconds(1)));
  return request;
}

size_t MessageBytesFor(const Error& error, size_t bytes_max) {
  if (error.reason != Reason::kFetchTooSmall) return 0;
  const std::string_view text = DetailOf(error, "needed_bytes");
  size_t needed = 0;
  std::from_chars(text.data(), text.data() + text.size(), needed);
  return needed > bytes_max ? 0 : std::min(std::bit_ceil(needed), bytes_max);
}

}  // namespace gregor
