#ifndef GREGOR_BROKER_GRPC_SERVICE_STACK_H_
#define GREGOR_BROKER_GRPC_SERVICE_STACK_H_

namespace gregor {

// The generated mix-ins of a service on top of each other: Stack<S, A, B> is A<B<S>>. Every method
// of a service needs one, or gRPC starts threads to serve it synchronously.
template <typename Service, template <typename> typename... Mixins>
struct StackOf {
  using Type = Service;
};
template <typename Service, template <typename> typename First,
          template <typename> typename... Rest>
struct StackOf<Service, First, Rest...> {
  using Type = First<typename StackOf<Service, Rest...>::Type>;
};
template <typename Service, template <typename> typename... Mixins>
using Stack = typename StackOf<Service, Mixins...>::Type;

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_SERVICE_STACK_H_
