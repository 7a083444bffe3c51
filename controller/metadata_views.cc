#include "controller/metadata_views.h"

#include <ostream>
#include <utility>

#include "base/time_text.h"
#include "controller/image/records.h"
#include "controller/metadata_diff.h"

namespace gregor {
namespace {

// The source's state; `note` says so where the moment lies inside of an operation.
Result<ImagePtr> Look(const MetadataHistory& history, const MetadataMoment& moment,
                      MetadataPrinter& printer) {
  ASSIGN_OR_RETURN(MetadataState state, history.At(moment));
  if (state.within.has_value()) {
    printer.Note("note", "the operation whose records begin at offset " +
                             std::to_string(state.within->value) +
                             " is not complete there: this is the state before it");
  }
  return std::move(state.image);
}

std::string Position(const MetadataImage& image, bool as_json) {
  const std::string time = TimeText(image.last_timestamp);
  if (as_json) {
    return "{\"offset\":" + std::to_string(image.version.value) +
           ",\"term\":" + std::to_string(image.last_term.value) +
           ",\"time_ms\":" + std::to_string(image.last_timestamp.value) + ",\"time\":\"" + time +
           "\"}";
  }
  return "offset " + std::to_string(image.version.value) + " (term " +
         std::to_string(image.last_term.value) + ", " + time + ")";
}

const char* KindOf(const ObjectChange& change, bool as_json) {
  switch (change.kind) {
    case ObjectChange::Kind::kAdded:
      return as_json ? "added" : "+";
    case ObjectChange::Kind::kRemoved:
      return as_json ? "removed" : "-";
    case ObjectChange::Kind::kChanged:
      break;
  }
  return as_json ? "changed" : "~";
}

void PrintJson(const ObjectChange& change, std::ostream& out) {
  out << "{\"change\":\"" << KindOf(change, true) << "\",\"type\":" << QuoteJson(change.type)
      << ",\"name\":" << QuoteJson(change.name) << ",\"fields\":{";
  const char* separator = "";
  for (const ObjectChange::Field& field : change.fields) {
    out << std::exchange(separator, ",") << QuoteJson(field.name) << ":{";
    if (field.before.has_value()) out << "\"before\":" << *field.before;
    if (field.before.has_value() && field.after.has_value()) out << ",";
    if (field.after.has_value()) out << "\"after\":" << *field.after;
    out << "}";
  }
  out << "}}\n";
}

void PrintText(const ObjectChange& change, std::ostream& out) {
  out << KindOf(change, false) << " " << change.type << (change.name.empty() ? "" : " ")
      << change.name << " {";
  const char* separator = "";
  for (const ObjectChange::Field& field : change.fields) {
    out << std::exchange(separator, ", ") << field.name << ": ";
    if (change.kind == ObjectChange::Kind::kChanged)
      out << field.before.value_or("none") << " -> " << field.after.value_or("none");
    else
      out << field.before.value_or(field.after.value_or(""));
  }
  out << "}\n";
}

Result<void> PrintRecords(const MetadataHistory& history, const MetadataImage& before,
                          const MetadataImage& after, MetadataPrinter& printer) {
  if (!printer.as_json()) printer.out() << "records:\n";
  return history.VisitBatches(before.version, after.version, [&](const RecordBatch& batch) {
    return printer.Records(batch, before.version, after.version);
  });
}

}  // namespace

Result<void> PrintMetadataAt(FileSystem& files, const MetadataSource& source, DumpFormat format,
                             std::ostream& out) {
  MetadataPrinter printer(format, out);
  ASSIGN_OR_RETURN(const MetadataHistory history, MetadataHistory::Open(files, source.path));
  ASSIGN_OR_RETURN(const ImagePtr image, Look(history, source.moment, printer));
  const std::string position = Position(*image, printer.as_json());
  out << (printer.as_json() ? "{\"at\":" + position + "}" : "at " + position) << "\n";
  printer.Image(*image);
  return {};
}

Result<void> PrintMetadataDiff(FileSystem& files, const MetadataSource& first,
                               const MetadataSource& second, bool records, DumpFormat format,
                               std::ostream& out) {
  MetadataPrinter printer(format, out);
  ASSIGN_OR_RETURN(const MetadataHistory old_history, MetadataHistory::Open(files, first.path));
  ASSIGN_OR_RETURN(const ImagePtr before, Look(old_history, first.moment, printer));
  ASSIGN_OR_RETURN(const MetadataHistory new_history, MetadataHistory::Open(files, second.path));
  ASSIGN_OR_RETURN(const ImagePtr after, Look(new_history, second.moment, printer));
  if (before->cluster_id != after->cluster_id) {
    return Error(Reason::kInconsistentClusterId,
                 first.path + " is of cluster " + before->cluster_id.ToString() + ", and " +
                     second.path + " of cluster " + after->cluster_id.ToString());
  }
  if (records && (first.path != second.path || before->version > after->version)) {
    return Error(Reason::kInvalidArgument,
                 "records lead from an earlier moment of a data directory to a later one of it: "
                 "leave out --records");
  }
  if (printer.as_json()) {
    out << "{\"from\":" << Position(*before, true) << ",\"to\":" << Position(*after, true) << "}\n";
  } else {
    out << "from " << Position(*before, false) << " to " << Position(*after, false) << "\n";
  }
  const auto changes = DiffObjects(*before, *after, printer.as_json());
  for (const ObjectChange& change : changes)
    printer.as_json() ? PrintJson(change, out) : PrintText(change, out);
  if (changes.empty() && !printer.as_json()) out << "no differences\n";
  return records ? PrintRecords(new_history, *before, *after, printer) : Result<void>();
}

}  // namespace gregor
