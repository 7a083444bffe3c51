#include "node/node_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker_grpc/control_fake.h"

namespace gregor {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(NodeMetrics, WhatADirectoryTellsIsCountedUnderItsName) {
  const auto metrics = Metrics::Create();
  LogDirectory::Options options;
  options.path = "/disks/a";
  CountStorage(*metrics, options);
  EXPECT_THAT(metrics->Render(), HasSubstr("gregor_torn_logs_total{directory=\"/disks/a\"} 0\n"));
  options.on_torn(100);
  options.on_torn(20);
  options.on_segments_deleted(3, 5000);
  options.on_synced(std::chrono::milliseconds(1), 7);
  const std::string text = metrics->Render();
  EXPECT_THAT(text, HasSubstr("gregor_torn_logs_total{directory=\"/disks/a\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("gregor_torn_bytes_total{directory=\"/disks/a\"} 120\n"));
  EXPECT_THAT(text, HasSubstr("gregor_deleted_segments_total{directory=\"/disks/a\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("gregor_deleted_segment_bytes_total{directory=\"/disks/a\"} 5000\n"));
  EXPECT_THAT(text, HasSubstr("gregor_synced_files_total{directory=\"/disks/a\"} 7\n"));
}

TEST(NodeMetrics, WhatTopicsTookAndGaveIsShownByTheirNames) {
  const auto metrics = Metrics::Create();
  TopicTraffic traffic(1);
  ExportTopics(*metrics, traffic);
  const auto orders = traffic.Of("orders");
  const auto other = traffic.Of("bills");
  orders->writes.Add(1);
  orders->records_in.Add(2);
  orders->bytes_in.Add(3);
  orders->reads.Add(4);
  orders->records_out.Add(5);
  orders->bytes_out.Add(6);
  other->bytes_in.Add(9);
  const std::string text = metrics->Render();
  EXPECT_THAT(text, HasSubstr("gregor_topic_writes_total{topic=\"orders\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gregor_topic_appended_records_total{topic=\"orders\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("gregor_topic_appended_bytes_total{topic=\"orders\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("gregor_topic_reads_total{topic=\"orders\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("gregor_topic_fetched_records_total{topic=\"orders\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("gregor_topic_fetched_bytes_total{topic=\"orders\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("gregor_topic_appended_bytes_total{topic=\"\"} 9\n"));
}

TEST(NodeMetrics, BrokersAndPartitionsOfTheClusterAreCounted) {
  const auto metrics = Metrics::Create();
  FakeBroker broker;
  broker.AddBroker(2, /*fenced=*/true);
  broker.AddTopic("orders", 4);
  auto partition = std::make_shared<PartitionImage>(*FakeBroker::MakePartition(1, -1));
  partition->replicas = {NodeId{1}, NodeId{2}};
  broker.SetPartition("orders", partition);
  ExportBrokers(*metrics, broker, nullptr);
  const std::string text = metrics->Render();
  EXPECT_THAT(text, HasSubstr("gregor_brokers_registered 2\n"));
  EXPECT_THAT(text, HasSubstr("gregor_brokers_fenced 1\n"));
  EXPECT_THAT(text, HasSubstr("gregor_partitions_without_leader 1\n"));
  EXPECT_THAT(text, HasSubstr("gregor_partitions_under_min_isr 0\n"));
  EXPECT_THAT(text, HasSubstr("gregor_partitions_under_replicated 1\n"));
  // Of a node that is no broker.
  EXPECT_THAT(text, Not(HasSubstr("gregor_broker_fenced")));
}

TEST(NodeMetrics, WithoutMetadataYetThereIsNothing) {
  const auto metrics = Metrics::Create();
  FakeBroker broker;
  broker.ForgetImage();
  const ControllerSession session({});
  ExportBrokers(*metrics, broker, &session);
  EXPECT_THAT(metrics->Render(), HasSubstr("gregor_brokers_registered 0\n"));
  EXPECT_THAT(metrics->Render(), HasSubstr("gregor_partitions_without_leader 0\n"));
  EXPECT_THAT(metrics->Render(), HasSubstr("gregor_broker_fenced 0\n"));
}

}  // namespace
}  // namespace gregor
