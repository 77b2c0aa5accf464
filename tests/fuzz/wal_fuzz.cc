// A segment of a write-ahead log that somebody made on purpose, and the requests in it.
#include <cstdlib>
#include <string>

#include "cluster/etcd_file/raft_request.h"
#include "cluster/etcd_file/wal.h"
#include "tests/cluster/etcd_file/memory_file.h"

namespace kekd {
namespace {

void Check(const testing::MemoryFile& file, const WalScope& scope) {
  GapList gaps;
  uint64_t read = 0;
  uint64_t touched = 0;
  WalFacts facts = {.covered = scope.consistent_index};
  const absl::Status status = ReadWalSegment(
      file, scope, gaps,
      [&](const StoredObject& object) {
        for (const char byte : object.value) touched += static_cast<uint8_t>(byte);
        if (object.value.size() > file.size()) abort();
        const bool is_bare = object.key.empty() && object.place == Place::kWal;
        if (!is_bare && object.key.substr(0, 3) != "/r/") abort();
        if (object.place != Place::kPending && !scope.range.history) abort();
        return absl::OkStatus();
      },
      [&](uint64_t bytes) { read += bytes; }, facts);
  if (!status.ok() || read != file.size()) abort();
  NoteMissingEnd(facts, file.path(), gaps);
}

}  // namespace
}  // namespace kekd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const kekd::testing::MemoryFile file(bytes);
  for (const bool history : {false, true}) {
    const kekd::ReadRange range = {.prefixes = {"/r/"}, .history = history};
    kekd::Check(file, {.range = range, .consistent_index = 3, .is_last = history});
  }
  // A checksum keeps a fuzzer out of the requests.
  (void)kekd::ForEachPut(bytes, [&](absl::string_view key, absl::string_view value) {
    if (key.size() + value.size() > bytes.size()) abort();
    return absl::OkStatus();
  });
  return 0;
}
