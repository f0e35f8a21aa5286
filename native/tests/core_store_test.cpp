// One server and clients in threads of one process; several processes: test/encoding/corpus.
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "core/store.h"

namespace {

using std::chrono::milliseconds;
using xlembed::Store;

void counts_over_clients() {
  Store server("127.0.0.1", 0, true, milliseconds(5000));
  CHECK(server.port() > 0);
  CHECK(server.add("shards", 1) == 1);
  std::vector<std::thread> threads;
  for (int client = 0; client < 3; ++client) {
    threads.emplace_back([&] {
      Store store("127.0.0.1", server.port(), false, milliseconds(5000));
      for (int i = 0; i < 100; ++i) store.add("shards", 1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(server.add("shards", 0) == 301);
  CHECK(server.add("other", -2) == -2);
}

void a_gone_server_is_an_error() {
  auto server = std::make_unique<Store>("127.0.0.1", 0, true, milliseconds(5000));
  Store client("127.0.0.1", server->port(), false, milliseconds(5000));
  CHECK(client.add("a", 1) == 1);
  server.reset();
  CHECK_REFUSED("PROCESS_LOST: ", [&] { client.add("a", 1); });
}

void a_taken_port_is_an_error() {
  Store server("127.0.0.1", 0, true, milliseconds(5000));
  CHECK_REFUSED("PROCESS_LOST: ", [&] { Store("127.0.0.1", server.port(), true, milliseconds(500)); });
}

}  // namespace

int main() {
  return check::run({
      {"counts over clients", counts_over_clients},
      {"a gone server is an error", a_gone_server_is_an_error},
      {"a taken port is an error", a_taken_port_is_an_error},
  });
}
