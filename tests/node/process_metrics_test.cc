#include "node/process_metrics.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "node/build_info.h"

namespace gregor {
namespace {

using testing::HasSubstr;

// The value of a metric without labels.
double ValueOf(const Metrics& metrics, const std::string& name) {
  const std::string text = metrics.Render();
  const size_t at = text.find("\n" + name + " ");
  EXPECT_NE(at, std::string::npos) << name;
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + name.size() + 2, nullptr);
}

class ProcessMetrics : public testing::Test {
 protected:
  ProcessMetrics() { ExportProcess(*metrics_); }
  double Value(const std::string& name) const { return ValueOf(*metrics_, name); }

  std::unique_ptr<Metrics> metrics_ = Metrics::Create();
};

TEST_F(ProcessMetrics, OpenFilesAreCountedWhenSomebodyLooks) {
  const double before = Value("process_open_fds");
  EXPECT_GE(before, 3);
  std::vector<int> files;
  for (int i = 0; i < 5; ++i) files.push_back(open("/dev/null", O_RDONLY));
  EXPECT_EQ(Value("process_open_fds"), before + 5);
  for (const int file : files) close(file);
  EXPECT_EQ(Value("process_open_fds"), before);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(Value("process_max_fds"), static_cast<double>(limit.rlim_cur));
}

TEST_F(ProcessMetrics, ProcessorTimeGrowsWithWhatIsDone) {
  const double before = Value("process_cpu_seconds_total");
  volatile uint64_t sum = 0;
  while (Value("process_cpu_seconds_total") <= before) {
    for (uint64_t i = 0; i < 100000; ++i) sum = sum + i;
  }
  EXPECT_GT(Value("process_cpu_seconds_total"), before);
}

TEST_F(ProcessMetrics, ResidentMemoryIsInBytes) {
  const double before = Value("process_resident_memory_bytes");
  EXPECT_GT(before, 1 << 20);
  const std::vector<char> touched(64u << 20, 'x');
  EXPECT_GT(Value("process_resident_memory_bytes") + touched[0], before + (60u << 20));
}

TEST_F(ProcessMetrics, TheProcessStartedAMomentAgo) {
  const auto now = static_cast<double>(SystemClock().WallNow().value) / 1000;
  const double start = Value("process_start_time_seconds");
  EXPECT_LT(start, now + 2);
  EXPECT_GT(start, now - 3600);
}

TEST_F(ProcessMetrics, TheBuildIsALabel) {
  const BuildInfo& build = GetBuildInfo();
  EXPECT_THAT(metrics_->Render(),
              HasSubstr("gregor_build_info{commit=\"" + std::string(build.commit) +
                        "\",version=\"" + std::string(build.version) + "\"} 1\n"));
}

}  // namespace
}  // namespace gregor
