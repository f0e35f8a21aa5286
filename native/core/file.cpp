#include "core/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace xlembed {

File File::open_to_read(const std::string& path) {
  return File(path, O_RDONLY | O_CLOEXEC, "FILE_READ_FAILED");
}

File File::open_to_write(const std::string& path) {
  return File(path, O_WRONLY | O_CLOEXEC, "FILE_WRITE_FAILED");
}

File::File(const std::string& path, int flags, const char* code)
    : path_(path), descriptor_(::open(path.c_str(), flags)) {
  if (descriptor_ < 0) throw CodedError(code, path + ": " + std::strerror(errno));
}

File::~File() { ::close(descriptor_); }

void File::read(void* data, int64_t bytes, int64_t offset) const {
  for (char* at = static_cast<char*>(data); bytes > 0;) {
    const ssize_t got = ::pread(descriptor_, at, static_cast<size_t>(bytes), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw CodedError("FILE_READ_FAILED", path_ + ": " + std::strerror(errno));
    if (got == 0)
      throw CodedError("FILE_READ_FAILED", path_ + ": ends before byte " + std::to_string(offset + bytes));
    at += got, bytes -= got, offset += got;
  }
}

void File::write(const void* data, int64_t bytes, int64_t offset) const {
  for (const char* at = static_cast<const char*>(data); bytes > 0;) {
    const ssize_t put = ::pwrite(descriptor_, at, static_cast<size_t>(bytes), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw CodedError("FILE_WRITE_FAILED", path_ + ": " + std::strerror(errno));
    at += put, bytes -= put, offset += put;
  }
}

}  // namespace xlembed
