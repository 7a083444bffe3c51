// What the disk gives to the simplest program: appends the same bytes to one file in large writes,
// with or without fdatasync after each. The yardstick of bench/compare.py. Prints one JSON
// document.
//   plain_append FILE TOTAL_BYTES WRITE_BYTES sync|nosync
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: plain_append FILE TOTAL_BYTES WRITE_BYTES sync|nosync\n");
    return 2;
  }
  const long long total = std::atoll(argv[2]);
  const size_t write_size = static_cast<size_t>(std::atoll(argv[3]));
  const bool sync = std::strcmp(argv[4], "sync") == 0;
  std::string data(write_size, '\0');
  std::mt19937_64 random(1);
  for (char& byte : data) byte = static_cast<char>(random());
  const int file = ::open(argv[1], O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (file < 0) return std::perror("open"), 1;
  const auto start = std::chrono::steady_clock::now();
  long long written = 0;
  while (written < total) {
    const ssize_t done = ::pwrite(file, data.data(), data.size(), written);
    if (done != static_cast<ssize_t>(data.size())) return std::perror("pwrite"), 1;
    if (sync && ::fdatasync(file) != 0) return std::perror("fdatasync"), 1;
    written += done;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  ::close(file);
  std::printf("{\"bytes\": %lld, \"seconds\": %.4f, \"bytes_per_second\": %.0f}\n", written,
              seconds, static_cast<double>(written) / seconds);
  return 0;
}
