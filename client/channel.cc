#include "client/channel.h"

#include <grpc/support/time.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/client_unary_call.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/thread_annotations.h"
#include "client/grpc_adapter.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gregor/v1/errors.pb.h"

namespace gregor {
namespace {

using grpc::ByteBuffer;

constexpr char kUnreachable[] = "unreachable";
constexpr char kOtherListener[] = "other_listener";

Reason ReasonByName(std::string_view name) {
  for (const ReasonSpec& spec : AllReasons()) {
    if (spec.name == name) return spec.reason;
  }
  return Reason::kUnspecified;
}

// What the error says of the leader, where its other details do not.
void AddHint(const v1::LeaderHint& hint, Error& error) {
  const auto add = [&](const char* key, const std::string& value) {
    if (DetailOf(error, key).empty()) error.With(key, value);
  };
  if (hint.has_leader_id()) add("leader_id", std::to_string(hint.leader_id()));
  add("leader_epoch", std::to_string(hint.leader_epoch()));
  if (hint.endpoint().port() == 0) return;
  add("leader_host", hint.endpoint().host());
  add("leader_port", std::to_string(hint.endpoint().port()));
}

Error ErrorOf(const google::rpc::Status& status) {
  Error error(Reason::kUnspecified, status.message());
  for (const auto& detail : status.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    v1::LeaderHint hint;
    v1::WriteOutcome outcome;
    if (detail.UnpackTo(&info)) {
      error.reason = ReasonByName(info.reason());
      for (const auto& [key, value] : info.metadata()) error.With(key, value);
    } else if (detail.UnpackTo(&retry)) {
      error.With("retry_delay_ms", std::to_string(retry.retry_delay().seconds() * 1000 +
                                                  retry.retry_delay().nanos() / 1'000'000));
    } else if (detail.UnpackTo(&hint)) {
      AddHint(hint, error);
    } else if (detail.UnpackTo(&outcome)) {
      error.With("outcome", outcome.outcome() == v1::WriteOutcome::OUTCOME_NOT_APPLIED
                                ? "NOT_APPLIED"
                                : "UNKNOWN");
    }
  }
  return error;
}

class GrpcChannel final : public Channel {
 public:
  GrpcChannel(std::string address, const Options& options)
      : address_(std::move(address)), options_(options), channel_(Create()) {}

  const std::string& address() const override { return address_; }
  // For one call. gRPC remembers where a name led, and looks it up seldom where it could not find
  // it; what is not connected, and has not come about in the time that an attempt has, is made
  // anew, as the server may be somewhere else by now.
  std::shared_ptr<grpc::Channel> channel() const {
    const MutexLock lock(mutex_);
    const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/false);
    const bool is_lost = state == GRPC_CHANNEL_IDLE || state == GRPC_CHANNEL_TRANSIENT_FAILURE;
    if (is_lost && SystemClock().Now() - made_ >= options_.connect_timeout) {
      channel_ = Create();
      made_ = SystemClock().Now();
    }
    return channel_;
  }

  Result<std::string> CallRaw(const std::string& method, const std::string& request,
                              Duration timeout) override {
    grpc::ClientContext context;
    context.set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                      gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN)));
    const grpc::internal::RpcMethod rpc(method.c_str(), grpc::internal::RpcMethod::NORMAL_RPC);
    const grpc::Slice slice(request);
    const ByteBuffer in(&slice, 1);
    ByteBuffer out;
    const grpc::Status status = grpc::internal::BlockingUnaryCall<ByteBuffer, ByteBuffer>(
        channel().get(), rpc, &context, in, &out);
    if (!status.ok()) return ErrorOfCall(address_, status);
    return FromGrpc(out).ToString();
  }

 private:
  std::shared_ptr<grpc::Channel> Create() const {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(
        static_cast<int>(std::min<size_t>(options_.message_bytes_max, INT32_MAX)));
    arguments.SetMaxSendMessageSize(-1);
    // The pause between two attempts to connect.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    // Despite its name: how long an attempt may take, up to the first bytes of the server. A server
    // that is far away, or busy for a moment, is not a server that is gone.
    const int timeout = static_cast<int>(options_.connect_timeout / std::chrono::milliseconds(1));
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, timeout);
    // Nor may looking up its name, which is 2 minutes else where one of two queries is lost.
    arguments.SetInt(GRPC_ARG_DNS_ARES_QUERY_TIMEOUT_MS, timeout);
    // Our own retries know which calls may be repeated.
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    // A peer that is gone without a word is noticed while calls wait for it.
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
    if (options_.own_connection) arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
  }

  const std::string address_;
  const Options options_;
  mutable Mutex mutex_;
  mutable std::shared_ptr<grpc::Channel> channel_ TS_GUARDED_BY(mutex_);
  mutable MonotonicTime made_ TS_GUARDED_BY(mutex_) = SystemClock().Now();
};

// gRPC's "failed to connect to all addresses; last error: UNKNOWN: ipv4:...: Failed to connect to
// remote host: Connection refused" is no help to a person, save for its end.
std::string LastPart(const std::string& message) {
  if (message.find("SETTINGS frame") != std::string::npos)
    return "a connection is made, but nothing comes of it in time";
  if (message.find("tcp handshaker shutdown") != std::string::npos)
    return "nothing answers there in time";
  const size_t colon = message.rfind(": ");
  return colon == std::string::npos ? message : message.substr(colon + 2);
}

}  // namespace

grpc::ByteBuffer ToGrpc(const Bytes& bytes) {
  std::vector<grpc::Slice> slices;
  slices.reserve(bytes.slices().size());
  for (const Slice& slice : bytes.slices()) {
    auto* const owner = new Slice(slice);
    slices.emplace_back(
        const_cast<uint8_t*>(slice.data()), slice.size(),
        [](void* held) { delete static_cast<Slice*>(held); }, owner);
  }
  return ByteBuffer(slices.data(), slices.size());
}

Bytes FromGrpc(grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  CHECK(buffer.Dump(&slices).ok());
  buffer.Clear();
  Bytes bytes;
  for (grpc::Slice& slice : slices) {
    auto owner = std::make_shared<grpc::Slice>(std::move(slice));
    const uint8_t* const data = owner->begin();
    const size_t size = owner->size();
    bytes.Append(Slice(std::move(owner), data, size));
  }
  return bytes;
}

std::shared_ptr<grpc::Channel> GrpcOf(const Channel& channel) {
  return static_cast<const GrpcChannel&>(channel).channel();
}

Error ErrorOfCall(const std::string& address, const grpc::Status& status) {
  google::rpc::Status proto;
  if (!status.error_details().empty() && proto.ParseFromString(status.error_details()))
    return ErrorOf(proto);
  // Without a connection nothing was sent, and so says gRPC: the text is all that it gives.
  const std::string text = status.error_message();
  const bool is_sent = text.rfind("failed to connect to all addresses", 0) != 0 &&
                       text.rfind("DNS resolution failed", 0) != 0;
  const auto unknown = [&](Reason reason, const std::string& message) {
    return Error(reason, message).With("outcome", is_sent ? "UNKNOWN" : "NOT_APPLIED");
  };
  // gRPC speaks for itself: the server was not reached, or did not get to answer.
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      if (status.error_message().find("http1.x") != std::string::npos) {
        return unknown(Reason::kLeaderNotAvailable,
                       address + " is an HTTP port: clients use listen.grpc (9094)")
            .With(kUnreachable, address)
            .With(kOtherListener, "http");
      }
      return unknown(Reason::kLeaderNotAvailable, "no server answers at " + address + " (" +
                                                      LastPart(status.error_message()) + ")")
          .With(kUnreachable, address);
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return unknown(Reason::kCommitTimedOut,
                     "the server at " + address + " did not answer in time")
          .With(kUnreachable, address);
    case grpc::StatusCode::CANCELLED:
      return unknown(Reason::kServerDraining, "the call was cancelled");
    case grpc::StatusCode::UNIMPLEMENTED:
      return Error(Reason::kUnsupportedVersion,
                   "the server at " + address + " does not know this call: " +
                       (status.error_message().empty()
                            ? "is this its internal listener? Clients use listen.grpc (9094)"
                            : status.error_message()));
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      // By gRPC itself. The same code says that a server, or who stands before it, has no room.
      if (status.error_message().find("larger than max") != std::string::npos)
        return Error(Reason::kBatchTooLarge, status.error_message()).With("outcome", "NOT_APPLIED");
      return unknown(Reason::kQuotaExceeded,
                     "the server at " + address + " has no room: " + status.error_message());
    default:
      return unknown(Reason::kUnspecified, status.error_message());
  }
}

std::shared_ptr<Channel> Channel::Connect(const std::string& address, Options options) {
  return std::make_shared<GrpcChannel>(address, options);
}

Error ErrorOfStatus(const google::protobuf::MessageLite& status) {
  return ErrorOfStatusBytes(status.SerializeAsString());
}

Error ErrorOfStatusBytes(std::string_view status) {
  google::rpc::Status proto;
  if (!proto.ParseFromArray(status.data(), static_cast<int>(status.size()))) {
    return Error(Reason::kUnspecified, "an error that cannot be parsed");
  }
  return ErrorOf(proto);
}

std::string_view DetailOf(const Error& error, std::string_view key) {
  for (const auto& [name, value] : error.details) {
    if (name == key) return value;
  }
  return {};
}

Duration RetryDelayOf(const Error& error) {
  const std::string_view text = DetailOf(error, "retry_delay_ms");
  int64_t milliseconds = 0;
  std::from_chars(text.data(), text.data() + text.size(), milliseconds);
  return std::chrono::milliseconds(milliseconds);
}

bool IsUnreachable(const Error& error) { return !DetailOf(error, kUnreachable).empty(); }

bool IsNotApplied(const Error& error) { return DetailOf(error, "outcome") == "NOT_APPLIED"; }

bool IsRetriable(const Error& error) {
  const RetryAdvice advice = SpecOf(error.reason).retry;
  return advice == RetryAdvice::kBackoff || advice == RetryAdvice::kReroute ||
         error.reason == Reason::kPriorRequestFailed || error.reason == Reason::kUnspecified;
}

}  // namespace gregor
