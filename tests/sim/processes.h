#ifndef GREGOR_TESTS_SIM_PROCESSES_H_
#define GREGOR_TESTS_SIM_PROCESSES_H_

#include <cstdint>
#include <functional>
#include <string>

namespace gregor {

// Simulated runs in processes of their own: a check of the product may end such a process, and
// several use more than one core. Thread: the caller's, which is the process's only one.

// What became of a piece of work.
struct Outcome {
  uint64_t index = 0;
  std::string text;   // what the work returned
  bool died = false;  // the process was ended by a check: there is no text
};

// Calls work(i), which returns its text, for each i below `count`, in up to `process_count`
// processes, and `take` here with each outcome, in the order in which they come. No more is begun
// once `take` says false; what runs then is ended.
void RunInProcesses(int process_count, uint64_t count,
                    const std::function<std::string(uint64_t)>& work,
                    const std::function<bool(const Outcome&)>& take);

// What `work` says in a process of its own; what it said before a check ended it is not lost.
struct Said {
  std::string text;
  bool died = false;
};
Said ListenTo(const std::function<void(const std::function<void(const std::string&)>& say)>& work);

// Processors of this machine that the process may use.
int ProcessorCount();

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_PROCESSES_H_
