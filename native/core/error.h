#pragma once

#include <stdexcept>
#include <string>

namespace xlembed {

// An error whose text begins with the code that src/errors.ts knows: "CODE: what went wrong".
class CodedError : public std::runtime_error {
 public:
  CodedError(const std::string& code, const std::string& message)
      : std::runtime_error(code + ": " + message) {}
};

}  // namespace xlembed
