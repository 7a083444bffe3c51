#ifndef GREGOR_CONTROLLER_BROKER_NEWS_H_
#define GREGOR_CONTROLLER_BROKER_NEWS_H_

#include <string>
#include <vector>

#include "controller/image/image.h"

namespace gregor {

// Where a broker serves clients, behind its name: ", at HOST:PORT"; empty where it has not said so.
std::string PlaceOf(const BrokerImage& broker);

// What has become of brokers from one image to the next, a line for each change, as the log of
// every node tells it: registered, fenced, back, about to stop, forgotten. Thread: any.
std::vector<std::string> BrokerNews(const MetadataImage& before, const MetadataImage& after);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_BROKER_NEWS_H_
