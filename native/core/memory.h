#pragma once

#include <exception>

namespace xlembed {

// Whether an exception says that the system or a device has no more memory.
bool is_out_of_memory(const std::exception& error);

}  // namespace xlembed
