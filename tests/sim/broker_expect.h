#ifndef GREGOR_TESTS_SIM_BROKER_EXPECT_H_
#define GREGOR_TESTS_SIM_BROKER_EXPECT_H_

#include <utility>

#include "tests/sim/broker_scenario.h"

namespace gregor {

template <typename T, typename Answer>
UniqueFunction<void(T)> BrokerScenario::Expect(const char* name, Answer answer) {
  const uint64_t number = ++last_call_;
  calls_[number] = {name, scheduler_.clock().Now()};
  return [this, name, number, life = life_, answer = std::move(answer)](T result) mutable {
    if (life != life_) return;  // nobody is there any more to whom it could be said
    if (calls_.erase(number) == 0) return verdict_.Fail(name, " was answered twice");
    answer(std::move(result));
  };
}

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_BROKER_EXPECT_H_
