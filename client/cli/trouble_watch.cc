#include "client/cli/trouble_watch.h"

#include <pthread.h>

#include <iostream>
#include <utility>

namespace gregor {

TroubleWatch::TroubleWatch(std::function<std::optional<Error>()> ask, const char* meanwhile)
    : ask_(std::move(ask)), meanwhile_(meanwhile) {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "trouble-watch");
    Run();
  });
}

TroubleWatch::~TroubleWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void TroubleWatch::Run() {
  std::unique_lock lock(mutex_);
  bool had_trouble = false, told = false;
  while (!changed_.wait_for(lock, std::chrono::seconds(1), [this] { return stopping_; })) {
    const auto trouble = ask_();
    if (trouble.has_value() && had_trouble && !told) {
      std::cerr << "gregor: " << trouble->message << "; " << meanwhile_ << std::endl;
      told = true;
    } else if (!trouble.has_value() && std::exchange(told, false)) {
      std::cerr << "gregor: it works again" << std::endl;
    }
    had_trouble = trouble.has_value();
  }
}

}  // namespace gregor
