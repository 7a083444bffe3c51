#ifndef GREGOR_BASE_THREAD_ANNOTATIONS_H_
#define GREGOR_BASE_THREAD_ANNOTATIONS_H_

// Clang's thread-safety attributes; the prefix is there because gRPC's headers take the bare names.
// https://releases.llvm.org/14.0.0/tools/clang/docs/ThreadSafetyAnalysis.html
#include <mutex>

#if defined(__clang__)
#define TS_ATTRIBUTE(x) __attribute__((x))
#else
#define TS_ATTRIBUTE(x)
#endif

#define TS_CAPABILITY(name) TS_ATTRIBUTE(capability(name))
#define TS_SCOPED_CAPABILITY TS_ATTRIBUTE(scoped_lockable)
#define TS_GUARDED_BY(x) TS_ATTRIBUTE(guarded_by(x))
#define TS_REQUIRES(...) TS_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define TS_ACQUIRE(...) TS_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define TS_RELEASE(...) TS_ATTRIBUTE(release_capability(__VA_ARGS__))
#define TS_EXCLUDES(...) TS_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define TS_ASSERT_CAPABILITY(x) TS_ATTRIBUTE(assert_capability(x))
#define TS_NO_ANALYSIS TS_ATTRIBUTE(no_thread_safety_analysis)

namespace gregor {

// std::mutex that clang checks. Guards memory only: never held across I/O or a callback.
class TS_CAPABILITY("mutex") Mutex {
 public:
  void Lock() TS_ACQUIRE() { mutex_.lock(); }
  void Unlock() TS_RELEASE() { mutex_.unlock(); }
  // For std::condition_variable; the holder must be under MutexLock.
  std::mutex& native() { return mutex_; }

 private:
  std::mutex mutex_;
};

class TS_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) TS_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() TS_RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace gregor

#endif  // GREGOR_BASE_THREAD_ANNOTATIONS_H_
