#ifndef GREGOR_BASE_CHECK_H_
#define GREGOR_BASE_CHECK_H_

// CHECK, CHECK_EQ ... for what must not happen (they stay on in release builds), DCHECK for what
// is too hot for that.
#include <glog/logging.h>

#endif  // GREGOR_BASE_CHECK_H_
