#pragma once

#include <exception>

namespace xlembed {

// Whether an exception says that the system or a device has no more memory.
bool is_out_of_memory(const std::exception& error);

// Gives memory that was freed back to the system. The C library keeps it, in an arena for each few threads,
// and every one of them grows to its own high-water mark.
void return_freed_memory();

}  // namespace xlembed
