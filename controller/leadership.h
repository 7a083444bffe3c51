#ifndef GREGOR_CONTROLLER_LEADERSHIP_H_
#define GREGOR_CONTROLLER_LEADERSHIP_H_

#include <vector>

#include "controller/image/image.h"
#include "controller/image/records.h"

namespace gregor {

// What changes of brokers mean for the partitions that they hold (docs/architecture.md "Who leads a
// partition", ADR 0015). Pure. Thread: any.

// Whether a broker's change is the start of a new process of it, and how the one before ended.
enum class BrokerStart {
  kGoesOn,   // the same process
  kClean,    // a new one; the one before synced everything and stopped
  kUnclean,  // a new one; what the one before had not synced may be gone
};

// Appends what it means for partitions that the broker `after.id` is from here on as in `after`,
// which the image does not have yet; the record that makes it so is the caller's, and comes before
// these. One that is unregistered is fenced for ever.
// - Where it cannot serve (fenced, in controlled shutdown, or the replica's log directory is not
//   one of its own any more) it leaves the ISR, and somebody else leads, or nobody.
// - Where it can, it leads what has no leader and it may lead.
// - With kUnclean it is neither in sync nor eligible any more where it may have lost records
//   (durability=replicated) and another replica has everything.
// - What it leads before and after a new start gets a leader epoch of its own.
// Partitions with no other replica take no records of their own, however many they are.
// `static_configs`: ControllerOptions::static_configs.
void PlanBrokerChange(const MetadataImage& image, const BrokerImage& after, BrokerStart start,
                      const ConfigMap& static_configs, std::vector<pb::MetadataRecord>& records);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_LEADERSHIP_H_
