#include "broker/grpc/broker_admin.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <string>
#include <utility>

#include "broker/grpc/convert.h"
#include "broker/grpc/page_token.h"
#include "controller/image/records.h"

namespace gregor {
namespace {

// The wanted brokers; empty: all. Fails with kInvalidArgument, kBrokerIdNotRegistered.
Result<std::set<NodeId>> WantedBrokers(const v1::DescribeClusterRequest& request,
                                       const MetadataImage& image) {
  if (request.broker_ids_size() > kItemsMax) return TooManyItems("brokers");
  std::set<NodeId> wanted;
  for (const int32_t id : request.broker_ids()) {
    if (image.Broker(NodeId{id}) == nullptr) {
      return Error(Reason::kBrokerIdNotRegistered, "no broker has the id " + std::to_string(id))
          .With("broker_id", std::to_string(id));
    }
    wanted.insert(NodeId{id});
  }
  return wanted;
}

void FillState(const BrokerImage& broker, const PartitionCounts& counts,
               v1::DescribeClusterResponse::BrokerState& out) {
  out.set_fenced_by_hand(broker.fenced_by_hand);
  out.set_drained(broker.drained);
  out.set_stopping(broker.in_controlled_shutdown);
  out.set_broker_epoch(broker.epoch.value);
  out.set_log_dirs(static_cast<int32_t>(broker.directories.size()));
  const PartitionCounts::OfBroker& held = counts.brokers.at(broker.id);
  out.set_replicas(held.replicas);
  out.set_leads(held.leads);
  out.set_only_in_sync(held.only_in_sync);
}

// One page of the brokers; returns the token of the next one.
Result<std::string> FillPage(const MetadataImage& image, const PartitionCounts& counts,
                             const v1::DescribeClusterRequest& request,
                             v1::DescribeClusterResponse& response) {
  ASSIGN_OR_RETURN(const std::set<NodeId> wanted, WantedBrokers(request, image));
  std::string filter = request.include_fenced() ? "fenced" : "";
  for (const NodeId node : wanted) filter += " " + std::to_string(node.value);
  const Pages pages(image.request_id_key, {"DescribeCluster", filter});
  ASSIGN_OR_RETURN(const Pages::Page page, pages.Parse(request.page(), {}));
  NodeId next{0};
  if (!page.after.empty()) {
    std::from_chars(page.after.data(), page.after.data() + page.after.size(), next.value);
    ++next.value;
  }
  std::string token;
  image.brokers.VisitFrom(next, [&](NodeId node, const auto& broker) {
    const bool is_wanted =
        wanted.empty() ? !broker->fenced || request.include_fenced() : wanted.count(node) != 0;
    if (!is_wanted) return true;
    if (static_cast<size_t>(response.brokers_size()) == page.size) {
      const auto& last = response.brokers(response.brokers_size() - 1);
      token = pages.TokenAfter(std::to_string(last.broker_id()));
      return false;
    }
    FillBroker(*broker, *response.add_brokers());
    FillState(*broker, counts, *response.add_states());
    return true;
  });
  return token;
}

// What all brokers can read.
void FillFeature(const MetadataImage& image, v1::Feature& feature) {
  feature.set_name(kMetadataFeature);
  feature.set_min_supported(kFeatureLevelMin);
  feature.set_max_supported(kFeatureLevel);
  image.brokers.VisitAll([&](NodeId, const auto& broker) {
    feature.set_min_supported(std::max(feature.min_supported(), broker->feature_level_min));
    feature.set_max_supported(std::min(feature.max_supported(), broker->feature_level_max));
  });
  feature.set_finalized(image.feature_level);
}

void FillSums(const MetadataImage& image, const PartitionCounts& counts,
              v1::DescribeClusterResponse::Sums& sums) {
  int64_t fenced = 0;
  image.brokers.VisitAll([&](NodeId, const auto& broker) { fenced += broker->fenced; });
  sums.set_metadata_version(image.version.value);
  sums.set_metadata_hash(StateHashText(image.state_hash));
  sums.set_brokers(static_cast<int64_t>(image.brokers.size()));
  sums.set_brokers_fenced(fenced);
  sums.set_topics(static_cast<int64_t>(image.topics.size()));
  sums.set_partitions(image.partition_count);
  sums.set_partitions_without_leader(counts.without_leader);
  sums.set_partitions_under_min_isr(counts.under_min_isr);
  sums.set_partitions_under_replicated(counts.under_replicated);
}

// Runs an operation that has no answer but that it is done.
template <typename Response, typename Op>
void RunPlain(BrokerApi& broker, Op operation, Reply<Response> reply) {
  const OperationContext context = reply.operation_context();
  auto done = [reply = std::move(reply)](Result<void> result) mutable {
    if (!result.ok()) return reply(std::move(result).error());
    reply(Response());
  };
  broker.controller().Run(std::move(operation), std::move(done), context);
}

// The one feature that can be changed is the level of the metadata.
Result<UpdateFeatures> ToOperation(const v1::UpdateFeaturesRequest& request) {
  if (request.features_size() != 1) {
    return Error(Reason::kInvalidArgument, "features must name the one that there is, \"" +
                                               std::string(kMetadataFeature) +
                                               "\", with the level that shall be finalized");
  }
  const v1::Feature& feature = request.features(0);
  if (feature.name() == kMetadataFeature)
    return UpdateFeatures{feature.finalized(), request.validate_only()};
  return Error(Reason::kInvalidArgument, "there is no feature \"" + feature.name() +
                                             "\": the one that there is is \"" + kMetadataFeature +
                                             "\"");
}

}  // namespace

Result<v1::DescribeClusterResponse> DescribedCluster(const BrokerApi& broker,
                                                     PartitionCounter& counter,
                                                     int32_t controller_id,
                                                     const v1::DescribeClusterRequest& request) {
  ASSIGN_OR_RETURN(const ImagePtr image, ImageOf(broker));
  const auto counts = counter.Of(image);
  v1::DescribeClusterResponse response;
  ASSIGN_OR_RETURN(*response.mutable_next_page_token(),
                   FillPage(*image, *counts, request, response));
  response.set_cluster_id(image->cluster_id.ToString());
  response.set_controller_id(controller_id);
  FillFeature(*image, *response.add_features());
  FillSums(*image, *counts, *response.mutable_sums());
  return response;
}

void FenceBroker(BrokerApi& broker, const v1::SetBrokerFenceRequest& request,
                 Reply<v1::SetBrokerFenceResponse> reply) {
  RunPlain(broker, SetBrokerFence{NodeId{request.broker_id()}, request.fenced()}, std::move(reply));
}

void ForgetBroker(BrokerApi& broker, const v1::UnregisterBrokerRequest& request,
                  Reply<v1::UnregisterBrokerResponse> reply) {
  RunPlain(broker, UnregisterBroker{NodeId{request.broker_id()}}, std::move(reply));
}

void ChangeFeatures(BrokerApi& broker, const v1::UpdateFeaturesRequest& request,
                    Reply<v1::UpdateFeaturesResponse> reply) {
  auto operation = ToOperation(request);
  if (!operation.ok()) return reply(std::move(operation).error());
  const OperationContext context = reply.operation_context();
  auto done = [&broker, reply = std::move(reply)](Result<void> result) mutable {
    if (!result.ok()) return reply(std::move(result).error());
    auto image = ImageOf(broker);
    if (!image.ok()) return reply(std::move(image).error());
    v1::UpdateFeaturesResponse response;
    FillFeature(**image, *response.add_features());
    reply(std::move(response));
  };
  broker.controller().Run(*std::move(operation), std::move(done), context);
}

}  // namespace gregor
