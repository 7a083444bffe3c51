#ifndef GREGOR_BROKER_GRPC_CONTROL_SERVICES_H_
#define GREGOR_BROKER_GRPC_CONTROL_SERVICES_H_

#include <memory>

#include "broker/grpc/door.h"

namespace gregor {

// The services of which one file each is enough, because nobody else needs to know them. REQUIRES:
// `door` outlives them.
std::unique_ptr<DoorService> NewTopicService(Door& door);
std::unique_ptr<DoorService> NewConfigService(Door& door);
std::unique_ptr<DoorService> NewClusterService(Door& door);
std::unique_ptr<DoorService> NewSecurityService(Door& door);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_CONTROL_SERVICES_H_
