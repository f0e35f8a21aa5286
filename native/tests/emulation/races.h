// What ThreadSanitizer is told of an emulated kernel (-DXLEMBED_SANITIZE=thread): its threads are threads,
// and nothing but barriers orders what they do to memory; shuffles, votes and the products of a warp do not.
// So it finds two of them that use the same memory unordered, in whatever order they happened to run here. In
// other builds there is nothing here.
#pragma once

#include <cstddef>

#ifdef XLEMBED_FIND_RACES
#include <sanitizer/tsan_interface.h>

extern "C" {
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
void __tsan_read16(void* address);
void __tsan_write_range(void* address, unsigned long size);
}
#endif

namespace emulation::races {

#ifdef XLEMBED_FIND_RACES

inline constexpr bool watched = true;

class Thread {
 public:
  static Thread fiber() { return Thread(__tsan_create_fiber(0)); }
  static Thread current() { return Thread(__tsan_get_current_fiber()); }
  Thread() = default;
  // From here on this thread is the one that runs.
  void run() const { __tsan_switch_to_fiber(known_as_, __tsan_switch_to_fiber_no_sync); }

 private:
  explicit Thread(void* known_as) : known_as_(known_as) {}
  void* known_as_ = nullptr;
};

// What threads did before they left word at a place comes before what others do after they took it.
struct Place {
  char byte = 0;
  void leave_word() { __tsan_release(&byte); }
  void take_word() { __tsan_acquire(&byte); }
};

// While it lives, what the current thread does to memory is not looked at.
struct Unwatched {
  Unwatched() { __tsan_ignore_thread_begin(); }
  ~Unwatched() { __tsan_ignore_thread_end(); }
};

// Of what is not done here, or by code that is not looked at itself.
inline void reads_16(const void* from) { __tsan_read16(const_cast<void*>(from)); }
inline void writes(void* to, size_t bytes) { __tsan_write_range(to, bytes); }

#else

inline constexpr bool watched = false;

struct Thread {
  static Thread fiber() { return {}; }
  static Thread current() { return {}; }
  void run() const {}
};
struct Place {
  void leave_word() {}
  void take_word() {}
};
struct Unwatched {
  Unwatched() {}
};
inline void reads_16(const void*) {}
inline void writes(void*, size_t) {}

#endif

}  // namespace emulation::races
