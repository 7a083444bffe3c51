// Links: gregor_controller gregor_image gregor_proto gregor_storage gregor_base
// Operations and answers as other nodes send them. The first byte of the input says what the rest
// is: 0 a request, which is made again from what is read of it; 1 and up the answer to an operation
// of that kind.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "controller/operation_codec.h"
#include "controller/operation_server.h"

namespace gregor {
namespace {

void Request(std::string_view bytes) {
  pb::OperationRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const auto operation = DecodeOperation(request);
  if (!operation.ok()) {
    CHECK(operation.error().reason == Reason::kInvalidArgument) << operation.error();
    return;
  }
  // What was read is what will be read of it again.
  pb::OperationRequest again, once_more;
  CHECK(EncodeOperation(*operation, again).ok());
  const auto same = DecodeOperation(again);
  CHECK(same.ok()) << same.error();
  CHECK_EQ(same->index(), operation->index());
  CHECK(EncodeOperation(*same, once_more).ok());
  CHECK(again.SerializeAsString() == once_more.SerializeAsString());
}

MetadataOperation OperationOf(uint8_t kind) {
  switch (kind % 16) {
    case 0:
      return CreateTopic();
    case 1:
      return DeleteTopic();
    case 2:
      return AddPartitions();
    case 3:
      return AlterConfigs{std::vector<AlterConfig>(2), false};
    case 4:
      return RegisterBroker();
    case 5:
      return AllocateProducerIds{10};
    case 6:
      return BrokerHeartbeat();
    case 7:
      return SetBrokerFence();
    case 8:
      return DrainBroker();
    case 9:
      return UpdateFeatures();
    case 10:
      return UnregisterBroker();
    case 11:
      return CreateAcls();
    case 12:
      return DeleteAcls();
    case 13:
      return UpsertUser();
    case 14:
      return DeleteUser();
    default:
      return AlterQuotas{std::vector<AlterQuota>(2), false};
  }
}

void Answer(const MetadataOperation& operation, std::string_view bytes) {
  pb::OperationResponse response;
  if (!response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const MetadataImage image;
  const auto answer = DecodeAnswer(operation, response, image);
  if (!answer.ok()) {
    CHECK(!answer.error().ToString().empty());
    LeaderOf(answer.error());
    return;
  }
  pb::OperationResponse again;
  EncodeAnswer(answer, again);
  const auto same = DecodeAnswer(operation, again, image);
  CHECK(same.ok()) << same.error();
  CHECK_EQ(same->index(), answer->index());
}

}  // namespace
}  // namespace gregor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > (64 << 10)) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 0) {
    gregor::Request(rest);
  } else {
    gregor::Answer(gregor::OperationOf(static_cast<uint8_t>(data[0] - 1)), rest);
  }
  return 0;
}
