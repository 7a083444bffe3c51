#ifndef GREGOR_BASE_OPENSSL_HANDLE_H_
#define GREGOR_BASE_OPENSSL_HANDLE_H_

#include <memory>

namespace gregor {

// Owns an object of OpenSSL's, which has a function of its own to free each kind.
template <auto Free>
struct OpenSslFree {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <typename T, auto Free>
using OpenSslHandle = std::unique_ptr<T, OpenSslFree<Free>>;

}  // namespace gregor

#endif  // GREGOR_BASE_OPENSSL_HANDLE_H_
