// Links: gregor_broker_grpc gregor_proto gregor_base
// The hand-written parsers of the gRPC API's hot messages against the generated ones. The first
// byte of the input says which message it is and how it is cut into slices, the rest is the
// message.
#include <algorithm>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "tests/broker_grpc/wire_compare.h"

namespace gregor {
namespace {

// Every slice has a block of its own, so that a read beyond it is seen.
Bytes Cut(std::string_view bytes, size_t piece) {
  Bytes cut;
  for (size_t at = 0; at < bytes.size(); at += piece)
    cut.Append(Slice::Copy(bytes.substr(at, piece)));
  return cut;
}

template <typename Proto, typename Wire>
void Compare(std::string_view message, size_t piece,
             Result<void> (*parse)(const Bytes&, CopyArena&, Wire&)) {
  const std::string expected = ParsedByProtobuf<Proto>(message);
  CHECK_EQ(ParsedByHand(Cut(message, std::max<size_t>(1, message.size())), parse), expected);
  CHECK_EQ(ParsedByHand(Cut(message, piece), parse), expected);
}

void Run(uint8_t bits, std::string_view message) {
  const size_t piece = size_t{1} + (bits >> 2);
  switch (bits & 3) {
    case 0:
      return Compare<v1::ProduceRequest>(message, piece, ParseProduceRequest);
    case 1:
      return Compare<v1::ProduceStreamRequest>(message, piece, ParseProduceStreamRequest);
    case 2:
      return Compare<v1::FetchRequest>(message, piece, ParseFetchRequest);
    default:
      return Compare<v1::FetchStreamRequest>(message, piece, ParseFetchStreamRequest);
  }
}

}  // namespace
}  // namespace gregor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  gregor::Run(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
