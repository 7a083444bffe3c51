#include "controller/metadata_print.h"

#include <ostream>
#include <utility>

#include "controller/image/records.h"
#include "controller/image/rows.h"
#include "raft/host/control_records.h"

namespace gregor {
namespace {

constexpr size_t kBatchBytesMax = 1u << 30;

std::string DescribeControl(const ControlRecord& control, bool as_json) {
  const auto key = [&](const VoterKey& voter) {
    return QuoteJson(std::to_string(voter.node.value) + "/" + voter.directory.ToString());
  };
  const auto name = [&](const char* text) {
    return as_json ? QuoteJson(text) + ":" : std::string(text) + ": ";
  };
  if (const auto* change = std::get_if<LeaderChange>(&control))
    return "{" + name("leader_change") + key(change->leader) + "}";
  std::string text;
  if (const auto* set = std::get_if<VoterSet>(&control)) {
    for (const Voter& voter : set->voters) text += (text.empty() ? "" : ",") + key(voter.key);
  }
  return "{" + name("voters") + "[" + text + "]}";
}

}  // namespace

Result<void> VisitRecordsOf(
    const RecordBatch& batch,
    const std::function<Result<void>(Offset offset, std::string_view record)>& visit) {
  ASSIGN_OR_RETURN(RecordReader reader, RecordReader::Open(batch, kBatchBytesMax));
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<RecordView> view, reader.Next());
    if (!view.has_value()) return {};
    RETURN_IF_ERROR(visit(view->offset, view->value.value_or("")));
  }
}

void MetadataPrinter::Node(const NodeIdentity& identity, Term term) {
  if (as_json_) {
    out_ << "{\"node\":{\"format\":" << identity.format << ",\"cluster_id\":\""
         << identity.cluster_id << "\",\"node_id\":" << identity.node_id << ",\"directory_id\":\""
         << identity.directory_id << "\",\"term\":" << term << "}}\n";
    return;
  }
  out_ << "node " << identity.node_id << " of cluster " << identity.cluster_id
       << ", metadata directory " << identity.directory_id << ", term " << term << "\n";
}

void MetadataPrinter::Note(const std::string& name, const std::string& text) {
  out_ << (as_json_ ? "{" + QuoteJson(name) + ":" + QuoteJson(text) + "}" : text) << "\n";
}

Result<void> MetadataPrinter::Records(const RecordBatch& batch, Offset from, Offset until) {
  const BatchHeader& header = batch.header;
  if (header.is_control()) {
    if (header.base_offset < from || header.base_offset >= until) return {};
    ASSIGN_OR_RETURN(const ControlRecord control, DecodeControl(batch));
    Record(header.base_offset, header, DescribeControl(control, as_json_));
    return {};
  }
  return VisitRecordsOf(batch, [&](Offset offset, std::string_view bytes) -> Result<void> {
    if (offset < from || offset >= until) return {};
    ASSIGN_OR_RETURN(const pb::MetadataRecord record, ParseRecord(bytes));
    Record(offset, header, DescribeRecord(record, as_json_));
    return {};
  });
}

void MetadataPrinter::Record(Offset offset, const BatchHeader& header, const std::string& text) {
  if (as_json_) {
    out_ << "{\"offset\":" << offset << ",\"term\":" << header.leader_epoch
         << ",\"time_ms\":" << header.max_timestamp << ",\"record\":" << text << "}\n";
    return;
  }
  out_ << "offset=" << offset << " term=" << header.leader_epoch << " time=" << header.max_timestamp
       << " " << text << "\n";
}

void MetadataPrinter::Image(const MetadataImage& image) {
  if (as_json_) {
    out_ << "{\"image\":{\"version\":" << image.version << ",\"topics\":" << image.topics.size()
         << ",\"partitions\":" << image.partition_count << ",\"brokers\":" << image.brokers.size()
         << "}}\n";
  } else {
    out_ << "image at offset " << image.version << ": " << image.topics.size() << " topics, "
         << image.partition_count << " partitions, " << image.brokers.size() << " brokers\n";
  }
  const auto printed =
      VisitRows(image, [&](std::string_view, const std::string& bytes) -> Result<void> {
        ASSIGN_OR_RETURN(const pb::MetadataRecord record, ParseRecord(bytes));
        const std::string text = DescribeRecord(record, as_json_);
        out_ << (as_json_ ? "{\"image_record\":" + text + "}" : "  " + text) << "\n";
        return Result<void>();
      });
  CHECK(printed.ok()) << printed.error();
}

}  // namespace gregor
