#ifndef GREGOR_BASE_OVERLOADED_H_
#define GREGOR_BASE_OVERLOADED_H_

namespace gregor {

// One visitor out of several lambdas, one for each alternative of a std::variant:
//   std::visit(Overloaded{[](const A&) { ... }, [](const B&) { ... }}, variant);
template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <typename... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace gregor

#endif  // GREGOR_BASE_OVERLOADED_H_
