// The few checks that the native tests need; a failed check prints where and what, and the test goes on.
#pragma once

#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace check {

inline int failures = 0;
inline int checks = 0;

inline void that(bool ok, const char* text, const char* file, int line, const std::string& detail = "") {
  ++checks;
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "%s:%d: failed: %s %s\n", file, line, text, detail.c_str());
}

// |actual - expected| <= absolute + relative * |expected|; NaN never passes.
inline void close(double actual, double expected, double absolute, double relative, const char* text,
                  const char* file, int line) {
  const double allowed = absolute + relative * std::fabs(expected);
  char detail[128];
  std::snprintf(detail, sizeof(detail), "(%.9g against %.9g, allowed %.3g)", actual, expected, allowed);
  that(std::fabs(actual - expected) <= allowed, text, file, line, detail);
}

// The call throws, with a message that begins so.
template <typename Call>
void refused(const std::string& begin, Call call, const char* file, int line) {
  std::string message = "nothing was thrown";
  try {
    call();
  } catch (const std::exception& error) {
    message = error.what();
  }
  that(message.rfind(begin, 0) == 0, begin.c_str(), file, line, "(" + message + ")");
}

struct Case {
  const char* name;
  std::function<void()> body;
};

inline int run(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const int before = failures;
    try {
      c.body();
    } catch (const std::exception& error) {
      ++failures;
      std::fprintf(stderr, "%s: threw %s\n", c.name, error.what());
    }
    std::printf("%s %s\n", failures == before ? "ok  " : "FAIL", c.name);
  }
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace check

// libtorch's logging has a CHECK of its own, which ends the process.
#undef CHECK
#define CHECK(condition) check::that((condition), #condition, __FILE__, __LINE__)
#define CHECK_CLOSE(actual, expected, absolute, relative) \
  check::close((actual), (expected), (absolute), (relative), #actual " ~ " #expected, __FILE__, __LINE__)
#define CHECK_REFUSED(begin, ...) check::refused((begin), __VA_ARGS__, __FILE__, __LINE__)
