#ifndef GREGOR_CONTROLLER_IMAGE_IMAGE_DIFF_H_
#define GREGOR_CONTROLLER_IMAGE_IMAGE_DIFF_H_

#include "controller/image/image.h"

namespace gregor {

// What a replay of the records between two images would have told, where there was none: a snapshot
// took their place. `before` may be null. Takes time in proportion to the topics. Thread: any.
MetadataDelta DiffImages(ImagePtr before, ImagePtr after);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_IMAGE_DIFF_H_
