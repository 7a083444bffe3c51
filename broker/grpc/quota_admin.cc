#include "broker/grpc/quota_admin.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "broker/grpc/convert.h"
#include "broker/grpc/page_token.h"
#include "broker/grpc/status.h"
#include "controller/image/quota_rules.h"

namespace gregor {
namespace {

QuotaEntity ToEntity(const v1::QuotaEntity& message) {
  QuotaEntity entity;
  if (message.has_user()) entity.user = message.user();
  if (message.has_client_id()) entity.client_id = message.client_id();
  if (message.has_ip()) entity.ip = message.ip();
  return entity;
}

v1::QuotaEntity ToMessage(const QuotaEntity& entity) {
  v1::QuotaEntity message;
  if (entity.user.has_value()) message.set_user(*entity.user);
  if (entity.client_id.has_value()) message.set_client_id(*entity.client_id);
  if (entity.ip.has_value()) message.set_ip(*entity.ip);
  return message;
}

using Part = std::optional<std::string> QuotaEntity::*;
constexpr std::array<Part, 3> kParts = {&QuotaEntity::user, &QuotaEntity::client_id,
                                        &QuotaEntity::ip};

// Which entities are asked for.
struct QuotaFilter {
  QuotaEntity exact;
  std::array<bool, kParts.size()> any{};  // of kParts
  bool strict = false;

  bool Matches(const QuotaEntity& entity) const {
    for (size_t i = 0; i < kParts.size(); ++i) {
      const auto& wanted = exact.*kParts[i];
      const auto& part = entity.*kParts[i];
      if (wanted.has_value() && part != wanted) return false;
      if (any[i] && !part.has_value()) return false;
      if (strict && part.has_value() && !wanted.has_value() && !any[i]) return false;
    }
    return true;
  }
};

Result<QuotaFilter> ToFilter(const v1::DescribeQuotasRequest& request) {
  QuotaFilter filter{.exact = ToEntity(request.filter()), .strict = request.strict()};
  for (const int kind : request.any()) {
    if (!v1::QuotaComponent_IsValid(kind) || kind == v1::QUOTA_COMPONENT_UNSPECIFIED) {
      return Error(Reason::kInvalidArgument,
                   "the component " + std::to_string(kind) + " in `any` is not known");
    }
    const auto part = static_cast<size_t>(kind - v1::QUOTA_COMPONENT_USER);
    if ((filter.exact.*kParts[part]).has_value()) {
      return Error(Reason::kInvalidArgument,
                   "a component cannot be both in `filter` and in `any`: leave it out of one");
    }
    filter.any[part] = true;
  }
  return filter;
}

// Everything of the request that is the same for all pages.
std::string FilterText(const v1::DescribeQuotasRequest& request) {
  v1::DescribeQuotasRequest filter = request;
  filter.clear_page();
  return filter.SerializeAsString();
}

}  // namespace

void ChangeQuotas(BrokerApi& broker, const v1::AlterQuotasRequest& request,
                  Reply<v1::AlterQuotasResponse> reply) {
  if (request.alterations_size() > kItemsMax) {
    return reply(TooManyItems("alterations"));
  }
  gregor::AlterQuotas operation;
  operation.validate_only = request.validate_only();
  for (const auto& each : request.alterations()) {
    operation.alterations.push_back({.entity = ToEntity(each.entity()),
                                     .set = {each.set().begin(), each.set().end()},
                                     .removed = {each.remove().begin(), each.remove().end()}});
  }
  const OperationContext context = reply.operation_context();
  auto done = [reply = std::move(reply)](Result<std::vector<Result<void>>> results) mutable {
    if (!results.ok()) return reply(std::move(results).error());
    v1::AlterQuotasResponse response;
    for (const Result<void>& result : *results) {
      auto& out = *response.add_results();
      if (!result.ok()) out = ToRpcStatus(result.error());
    }
    reply(std::move(response));
  };
  broker.controller().Run(std::move(operation), std::move(done), context);
}

Result<v1::DescribeQuotasResponse> DescribedQuotas(const BrokerApi& broker,
                                                   const v1::DescribeQuotasRequest& request) {
  ASSIGN_OR_RETURN(const ImagePtr image, ImageOf(broker));
  ASSIGN_OR_RETURN(const QuotaFilter filter, ToFilter(request));
  const Pages pages(image->request_id_key, {"DescribeQuotas", FilterText(request)});
  ASSIGN_OR_RETURN(const Pages::Page page, pages.Parse(request.page(), {}));
  v1::QuotaEntity last;
  if (!last.ParseFromString(page.after))
    return Error(Reason::kInvalidArgument, "the page token is of another list");
  const QuotaEntity place = ToEntity(last);
  v1::DescribeQuotasResponse response;
  size_t bytes = 0;
  image->quotas.VisitFrom(place, [&](const QuotaEntity& entity, const auto& values) {
    if (entity == place || !filter.Matches(entity)) return true;
    if (static_cast<size_t>(response.quotas_size()) == page.size || bytes > kPageBytesMax) {
      const auto& shown = response.quotas(response.quotas_size() - 1).entity();
      response.set_next_page_token(pages.TokenAfter(shown.SerializeAsString()));
      return false;
    }
    auto& quota = *response.add_quotas();
    *quota.mutable_entity() = ToMessage(entity);
    quota.mutable_values()->insert(values->begin(), values->end());
    bytes += quota.ByteSizeLong();
    return true;
  });
  return response;
}

}  // namespace gregor
