#include "broker/grpc/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "client/channel.h"
#include "google/rpc/error_details.pb.h"

namespace gregor {
namespace {

// The only detail of type T; fails the test if there is none or more than one.
template <typename T>
T DetailOf(const google::rpc::Status& status) {
  T found;
  int count = 0;
  for (const auto& detail : status.details()) {
    if (detail.UnpackTo(&found)) ++count;
  }
  EXPECT_EQ(count, 1) << T::descriptor()->full_name();
  return found;
}

template <typename T>
bool HasDetail(const google::rpc::Status& status) {
  for (const auto& detail : status.details()) {
    if (detail.Is<T>()) return true;
  }
  return false;
}

size_t WireBytes(const grpc::Status& status) {
  return status.error_message().size() + status.error_details().size();
}

TEST(Status, EveryReasonComesThroughAStatusAndBack) {
  std::set<Reason> seen;
  for (const ReasonSpec& spec : AllReasons()) {
    const Error error =
        Error(spec.reason, "what was wrong, and what to do").With("fact", "17").With("other", "x");
    const grpc::Status status = ToStatus(error);
    EXPECT_EQ(static_cast<int>(status.error_code()), spec.grpc_code) << spec.name;
    EXPECT_EQ(status.error_message(), error.message);

    google::rpc::Status proto;
    ASSERT_TRUE(proto.ParseFromString(status.error_details()));
    EXPECT_EQ(proto.code(), spec.grpc_code);
    const auto info = DetailOf<google::rpc::ErrorInfo>(proto);
    EXPECT_EQ(info.reason(), spec.name);
    EXPECT_EQ(info.domain(), "gregor");
    EXPECT_EQ(HasDetail<google::rpc::RetryInfo>(proto), spec.retry == RetryAdvice::kBackoff)
        << spec.name;

    const Error back = ErrorOfStatusBytes(status.error_details());
    EXPECT_EQ(back.reason, spec.reason) << spec.name;
    EXPECT_EQ(back.message, error.message);
    EXPECT_THAT(back.details, testing::IsSupersetOf(error.details));
    EXPECT_EQ(back.details.size(), spec.retry == RetryAdvice::kBackoff ? 3u : 2u) << spec.name;
    EXPECT_TRUE(seen.insert(back.reason).second) << spec.name;
  }
  EXPECT_EQ(seen.size(), AllReasons().size());
}

TEST(Status, EveryReasonHasACodeThatAClientMayAnswerTo) {
  for (const ReasonSpec& spec : AllReasons()) {
    EXPECT_GT(spec.grpc_code, 0) << spec.name;
    EXPECT_LE(spec.grpc_code, 16) << spec.name;
    EXPECT_NE(spec.retry, RetryAdvice::kUnspecified) << spec.name;
    // gRPC's own retries repeat UNAVAILABLE; what must go elsewhere or never must not have it,
    // save for those whose next try at the same broker may be answered by another one.
    const auto unavailable = static_cast<int>(grpc::StatusCode::UNAVAILABLE);
    if (spec.grpc_code == unavailable) {
      EXPECT_NE(spec.retry, RetryAdvice::kNever) << spec.name;
    }
    const auto argument = static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT);
    if (spec.grpc_code == argument) {
      EXPECT_NE(spec.retry, RetryAdvice::kBackoff) << spec.name;
    }
  }
}

TEST(Status, TheEnumOfTheApiAndThatOfTheBaseAreTheSame) {
  const auto* const descriptor = v1::ErrorReason_descriptor();
  ASSERT_EQ(static_cast<size_t>(descriptor->value_count()), AllReasons().size());
  for (const ReasonSpec& spec : AllReasons()) {
    const auto* const value = descriptor->FindValueByNumber(static_cast<int>(spec.reason));
    ASSERT_NE(value, nullptr) << spec.name;
    EXPECT_EQ(value->name(), "ERROR_REASON_" + std::string(spec.name));
    const v1::ErrorSpec& option = value->options().GetExtension(v1::error);
    EXPECT_EQ(option.grpc_code(), spec.grpc_code) << spec.name;
    EXPECT_EQ(option.kafka_code(), spec.kafka_code) << spec.name;
    EXPECT_EQ(option.retry(), static_cast<int>(spec.retry)) << spec.name;
  }
}

TEST(Status, AFailedWriteSaysWhatIsKnownOfIt) {
  const auto outcome = [](const char* text) {
    return DetailOf<v1::WriteOutcome>(
               ToRpcStatus(Error(Reason::kStorageError, "").With("outcome", text)))
        .outcome();
  };
  EXPECT_EQ(outcome("NOT_APPLIED"), v1::WriteOutcome::OUTCOME_NOT_APPLIED);
  EXPECT_EQ(outcome("UNKNOWN"), v1::WriteOutcome::OUTCOME_UNKNOWN);
  EXPECT_FALSE(HasDetail<v1::WriteOutcome>(ToRpcStatus(Error(Reason::kStorageError, ""))));
}

TEST(Status, AWrongBrokerNamesTheLeader) {
  const auto hint = DetailOf<v1::LeaderHint>(ToRpcStatus(Error(Reason::kNotLeader, "not here")
                                                             .With("topic", "orders")
                                                             .With("partition", "3")
                                                             .With("leader_id", "2")
                                                             .With("leader_epoch", "7")
                                                             .With("leader_host", "b2.example")
                                                             .With("leader_port", "9094")
                                                             .With("metadata_version", "41")));
  EXPECT_EQ(hint.partition().topic(), "orders");
  EXPECT_EQ(hint.partition().partition(), 3);
  EXPECT_EQ(hint.leader_id(), 2);
  EXPECT_EQ(hint.leader_epoch(), 7);
  EXPECT_EQ(hint.endpoint().host(), "b2.example");
  EXPECT_EQ(hint.endpoint().port(), 9094);
  EXPECT_EQ(hint.metadata_version(), 41);
  const auto election = DetailOf<v1::LeaderHint>(
      ToRpcStatus(Error(Reason::kNotLeader, "").With("leader_id", "-1").With("leader_epoch", "8")));
  EXPECT_FALSE(election.has_leader_id());
}

TEST(Status, TheDelayBeforeARetryCanBeStated) {
  const auto delay = [](const Error& error) {
    return DetailOf<google::rpc::RetryInfo>(ToRpcStatus(error)).retry_delay();
  };
  const auto stated = delay(Error(Reason::kQuotaExceeded, "").With("retry_delay_ms", "1250"));
  EXPECT_EQ(stated.seconds(), 1);
  EXPECT_EQ(stated.nanos(), 250'000'000);
  EXPECT_EQ(delay(Error(Reason::kDiskFull, "")).seconds(), 1);
  EXPECT_EQ(delay(Error(Reason::kLeaderNotAvailable, "")).nanos(), 100'000'000);
  // A number that is none is no delay; one of years is an hour.
  EXPECT_EQ(delay(Error(Reason::kDiskFull, "").With("retry_delay_ms", "soon")).seconds(), 1);
  EXPECT_EQ(delay(Error(Reason::kDiskFull, "").With("retry_delay_ms", "9000000000000")).seconds(),
            3600);
}

TEST(Status, StaysBelowTwoKiBWhateverItSays) {
  Error error(Reason::kNotLeader, std::string(100'000, 'm'));
  error.With("outcome", "UNKNOWN").With("leader_epoch", "3").With("retry_delay_ms", "5");
  for (int i = 0; i < 200; ++i)
    error.With("key" + std::to_string(i) + std::string(500, 'k'), std::string(1000, 'v'));
  const grpc::Status status = ToStatus(error);
  EXPECT_LE(WireBytes(status), kStatusBytesMax);
  google::rpc::Status proto;
  ASSERT_TRUE(proto.ParseFromString(status.error_details()));
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(proto).reason(), "NOT_LEADER");
  EXPECT_TRUE(HasDetail<v1::WriteOutcome>(proto));
  EXPECT_TRUE(HasDetail<v1::LeaderHint>(proto));
  EXPECT_TRUE(HasDetail<google::rpc::RetryInfo>(proto));
  EXPECT_EQ(status.error_message().size(), 512u);
  EXPECT_EQ(status.error_message().substr(509), "...");
}

TEST(Status, ATextAtTheLimitIsNotCut) {
  const std::string text(512, 'x');
  EXPECT_EQ(ToStatus(Error(Reason::kInvalidArgument, text)).error_message(), text);
  EXPECT_EQ(ToStatus(Error(Reason::kInvalidArgument, text + "y")).error_message(),
            std::string(509, 'x') + "...");
}

TEST(Status, APartialProduceCarriesAtMost32Ranges) {
  v1::PartialProduce partial;
  for (int i = 0; i < 100; ++i) {
    auto* const range = partial.add_appended();
    range->set_first_index(i * 1000);
    range->set_count(1000);
    range->set_partition(i);
    range->set_base_offset(int64_t{1} << 40);
  }
  const Error error = Error(Reason::kPartialFailure, "not all partitions took their records")
                          .With("outcome", "UNKNOWN");
  const google::rpc::Status status = ToRpcStatus(error, partial);
  const auto detail = DetailOf<v1::PartialProduce>(status);
  EXPECT_EQ(detail.appended_size(), 32);
  EXPECT_TRUE(detail.truncated());
  EXPECT_EQ(detail.appended(31).partition(), 31);
  EXPECT_LE(WireBytes(ToStatus(status)), kStatusBytesMax);

  partial.mutable_appended()->DeleteSubrange(32, 68);
  EXPECT_FALSE(DetailOf<v1::PartialProduce>(ToRpcStatus(error, partial)).truncated());
}

TEST(Status, WhatATerminalWouldObeyOrAParserRefuseIsEscaped) {
  const std::string hostile =
      "\x1b[31m" + std::string(1, '\0') + "red\x7f\xff\xc0\x80\xed\xa0\x80 \xc2\x9b ü€😀";
  const grpc::Status status =
      ToStatus(Error(Reason::kInvalidTopic, hostile).With(hostile, hostile));
  EXPECT_EQ(status.error_message(),
            "\\x1b[31m\\x00red\\x7f\\xff\\xc0\\x80\\xed\\xa0\\x80 \\xc2\\x9b ü€😀");
  google::rpc::Status proto;
  ASSERT_TRUE(proto.ParseFromString(status.error_details()));
  const auto info = DetailOf<google::rpc::ErrorInfo>(proto);
  ASSERT_EQ(info.metadata_size(), 1);
  EXPECT_EQ(info.metadata().begin()->second, status.error_message());
}

TEST(Status, ACutDoesNotSplitACharacter) {
  std::string text;
  while (text.size() < 600) text += "€";
  const std::string message = ToStatus(Error(Reason::kInvalidArgument, text)).error_message();
  EXPECT_LE(message.size(), 512u);
  EXPECT_EQ((message.size() - 3) % 3, 0u);
  EXPECT_EQ(message.substr(message.size() - 3), "...");
}

}  // namespace
}  // namespace gregor
