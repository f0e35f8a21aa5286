// Positioned reads and writes of whole ranges, with the file's name in every error.
#pragma once

#include <cstdint>
#include <string>

namespace xlembed {

class File {
 public:
  static File open_to_read(const std::string& path);
  static File open_to_write(const std::string& path);
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  // All `bytes` or an error: FILE_READ_FAILED, FILE_WRITE_FAILED.
  void read(void* data, int64_t bytes, int64_t offset) const;
  void write(const void* data, int64_t bytes, int64_t offset) const;

 private:
  File(const std::string& path, int flags, const char* code);

  std::string path_;
  int descriptor_;
};

}  // namespace xlembed
