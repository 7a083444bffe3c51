#include "controller/broker_news.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class BrokerNewsTest : public testing::Test {
 protected:
  BrokerNewsTest() {
    broker_.id = NodeId{3};
    broker_.epoch = BrokerEpoch{7};
    broker_.listeners["grpc"] = {"host", 9094};
  }
  // What is told when the broker becomes as broker_ is.
  std::vector<std::string> Change() {
    const MetadataImage before = image_;
    image_.brokers.Set(broker_.id, std::make_shared<const BrokerImage>(broker_));
    return BrokerNews(before, image_);
  }

  MetadataImage image_;
  BrokerImage broker_;
};

TEST_F(BrokerNewsTest, WhatBecomesOfABrokerIsTold) {
  EXPECT_THAT(Change(), ElementsAre("Broker 3 registered with epoch 7, at host:9094"));
  broker_.fenced = true;
  EXPECT_THAT(Change(), ElementsAre("Broker 3 is fenced: it is not heard of"));
  broker_.fenced = false;
  EXPECT_THAT(Change(), ElementsAre("Broker 3 is not fenced any more"));
  broker_.in_controlled_shutdown = true;
  EXPECT_THAT(Change(), ElementsAre("Broker 3 is about to stop"));
  broker_.in_controlled_shutdown = false;
  broker_.fenced = true;
  EXPECT_THAT(Change(), ElementsAre("Broker 3 is fenced: it was about to stop"));
  broker_.fenced = false;
  EXPECT_THAT(Change(), ElementsAre("Broker 3 is not fenced any more"));
  broker_.drained = true;
  EXPECT_THAT(Change(), ElementsAre("Broker 3 is drained: others lead what they can"));
  broker_.drained = false;
  EXPECT_THAT(Change(), ElementsAre("Broker 3 is not drained any more"));
  broker_.fenced = broker_.fenced_by_hand = true;
  EXPECT_THAT(Change(), ElementsAre("Broker 3 is fenced, by hand"));
  broker_.epoch = BrokerEpoch{9};
  EXPECT_THAT(Change(), ElementsAre("Broker 3 registered with epoch 9, at host:9094",
                                    "Broker 3 is fenced, by hand"));
  broker_.fenced_by_hand = false;
  EXPECT_THAT(
      Change(),
      ElementsAre("Broker 3 is not fenced by hand any more: it serves once it is heard of"));
  broker_.fenced = false;
  EXPECT_THAT(Change(), ElementsAre("Broker 3 is not fenced any more"));
}

TEST_F(BrokerNewsTest, AnIpv6AddressIsToldInBrackets) {
  broker_.listeners["grpc"].host = "fe80::1";
  EXPECT_THAT(Change(), ElementsAre("Broker 3 registered with epoch 7, at [fe80::1]:9094"));
}

TEST_F(BrokerNewsTest, OneThatIsUnregisteredIsTold) {
  Change();
  const MetadataImage before = image_;
  image_.brokers.Erase(broker_.id);
  EXPECT_THAT(BrokerNews(before, image_), ElementsAre("Broker 3 was unregistered"));
}

TEST_F(BrokerNewsTest, WhatConcernsNobodyElseIsNoNews) {
  Change();
  broker_.changed_at = Offset{100};
  broker_.directories.push_back(DirectoryId{});
  EXPECT_THAT(Change(), IsEmpty());
}

}  // namespace
}  // namespace gregor
