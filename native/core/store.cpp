#include "core/store.h"

#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "core/error.h"

namespace xlembed {
namespace {

constexpr const char* kGone = "the process that holds the shared store is gone";

// What libtorch throws about the network, as our code; its text has a line for each frame behind the first.
template <typename Work>
auto reaching(const std::string& what, Work work) {
  try {
    return work();
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    throw CodedError("PROCESS_LOST", what + ": " + text.substr(0, text.find('\n')));
  }
}

}  // namespace

Store::Store(const std::string& host, uint16_t port, bool serve, std::chrono::milliseconds timeout) {
  const std::string address = host + ":" + std::to_string(port);
  const auto store =
      reaching("the store at " + address + (serve ? " cannot be opened" : " cannot be reached"), [&] {
        c10d::TCPStoreOptions options;
        options.port = port;
        options.isServer = serve;
        options.waitWorkers = false;
        options.timeout = timeout;
        return c10::make_intrusive<c10d::TCPStore>(host, options);
      });
  port_ = store->getPort();
  store_ = store;
}

int64_t Store::add(const std::string& key, int64_t amount) {
  return reaching(kGone, [&] { return store_->add(key, amount); });
}

void Store::set(const std::string& key, const std::string& text) {
  reaching(kGone, [&] { store_->set(key, std::vector<uint8_t>(text.begin(), text.end())); });
}

std::optional<std::string> Store::find(const std::string& key) {
  return reaching(kGone, [&]() -> std::optional<std::string> {
    if (!store_->check({key})) return std::nullopt;
    const std::vector<uint8_t> bytes = store_->get(key);
    return std::string(bytes.begin(), bytes.end());
  });
}

}  // namespace xlembed
