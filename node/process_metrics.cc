#include "node/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "base/check.h"
#include "node/build_info.h"
#include "node/process.h"

namespace gregor {
namespace {

double SecondsOf(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double CpuSeconds() {
  rusage usage{};
  PCHECK(getrusage(RUSAGE_SELF, &usage) == 0);
  return SecondsOf(usage.ru_utime) + SecondsOf(usage.ru_stime);
}

// -1 where /proc cannot be listed, as it is without a free one.
double OpenFileCount() {
  std::error_code error;
  std::filesystem::directory_iterator files("/proc/self/fd", error);
  if (error) return -1;
  // Without the one that lists them.
  double count = -1;
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) ++count;
  return count;
}

double OpenFileCountMax() {
  rlimit limit{};
  PCHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  return static_cast<double>(limit.rlim_cur);
}

// Seconds since the epoch at which the machine was started.
double BootSeconds() {
  std::ifstream file("/proc/stat");
  std::string name;
  double value = 0;
  while (file >> name) {
    if (name == "btime" && file >> value) return value;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

// proc(5): the name, the second field of stat, is in brackets and may have any character; the start
// is the 22nd, in clock ticks since the machine was started.
double StartSeconds() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  const double ticks = field.empty() ? 0 : std::strtod(field.c_str(), nullptr);
  return BootSeconds() + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

void ExportProcess(Metrics& metrics) {
  constexpr auto kGauge = Metrics::Kind::kGauge;
  metrics.AddCallback(Metrics::Kind::kCounter, "process_cpu_seconds_total",
                      "Processor time of the process, user and system.", {}, CpuSeconds);
  metrics.AddCallback(kGauge, "process_resident_memory_bytes", "Resident memory of the process.",
                      {}, [] { return static_cast<double>(ResidentBytes()); });
  metrics.AddCallback(kGauge, "process_open_fds", "Open file descriptors.", {}, OpenFileCount);
  metrics.AddCallback(kGauge, "process_max_fds", "Limit of open file descriptors.", {},
                      OpenFileCountMax);
  const double start = StartSeconds();
  metrics.AddCallback(kGauge, "process_start_time_seconds",
                      "When the process was started, in seconds since the epoch.", {},
                      [start] { return start; });
  const BuildInfo& build = GetBuildInfo();
  metrics
      .AddGauge("gregor_build_info", "1, with what runs.",
                {{"version", std::string(build.version)}, {"commit", std::string(build.commit)}})
      .Set(1);
}

}  // namespace gregor
