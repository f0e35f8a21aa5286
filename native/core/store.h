// The key-value store that the processes of a job share: libtorch's TCPStore. One process serves, all
// connect.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace xlembed {

class Store {
 public:
  // With `serve` this process holds the values and listens on `port` (0: one that is free). A client must
  // know that the port answers: TCPStore goes on trying long beyond its timeout. Throws CodedError
  // PROCESS_LOST.
  Store(const std::string& host, uint16_t port, bool serve, std::chrono::milliseconds timeout);

  // Adds to an integer that begins at 0, as one step for all processes; returns the sum. Throws CodedError
  // PROCESS_LOST when the serving process is gone.
  int64_t add(const std::string& key, int64_t amount);

  // Texts, which are set once. Throw as add().
  void set(const std::string& key, const std::string& text);
  std::optional<std::string> find(const std::string& key);  // without waiting

  uint16_t port() const { return port_; }

  // For what libtorch builds on a store, such as process groups.
  const c10::intrusive_ptr<c10d::Store>& shared() const { return store_; }

 private:
  c10::intrusive_ptr<c10d::Store> store_;
  uint16_t port_;
};

}  // namespace xlembed
