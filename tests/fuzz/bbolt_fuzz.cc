// A database file that somebody made on purpose: whatever its pages say, each is read once at most,
// what is handed over lies in the file, and every key is current once.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

#include "cluster/etcd_file/bbolt_page.h"
#include "cluster/etcd_file/database.h"
#include "cluster/storage_value.h"
#include "tests/cluster/etcd_file/memory_file.h"

namespace kekd {
namespace {

// Puts the right checksum on a meta page: finding one takes a fuzzer too long.
void Mend(std::string& bytes, size_t at) {
  if (at > bytes.size() || bytes.size() - at < kPageHeaderSize + kMetaSize) return;
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = at + kPageHeaderSize; i < at + kPageHeaderSize + kMetaSize - 8; ++i) {
    hash = (hash ^ static_cast<uint8_t>(bytes[i])) * 0x100000001b3;
  }
  std::memcpy(bytes.data() + at + kPageHeaderSize + kMetaSize - 8, &hash, sizeof(hash));
}

void Check(const testing::MemoryFile& file, bool history) {
  GapList gaps;
  std::set<std::string> current;
  uint64_t read = 0;
  uint64_t touched = 0;
  const absl::StatusOr<DatabaseFacts> facts = ReadDatabase(
      file, file.size(), {.prefixes = {"/r/"}, .history = history}, Place::kCurrent, gaps,
      [&](const StoredObject& object) {
        for (const char byte : object.value) touched += static_cast<uint8_t>(byte);
        // As a scan does, so that an input whose values overlap is as slow here as it is there.
        touched += (object.whole ? ClassifyValue(object.value) : ClassifyBeginning(object.value))
                       .payload.size();
        if (object.value.size() > file.size()) abort();
        const bool is_bare = object.key.empty() && object.place == Place::kFreeSpace;
        if (!is_bare && object.key.substr(0, 3) != "/r/") abort();
        if (object.place == Place::kCurrent && !current.emplace(object.key).second) abort();
        if (object.place != Place::kCurrent && !history) abort();
        return absl::OkStatus();
      },
      [&](uint64_t bytes) { read += bytes; });
  if (read > file.size()) abort();
  if (facts.ok() && history && read != file.size()) abort();
  if (touched == 0 && gaps.count() > file.size()) abort();
}

}  // namespace
}  // namespace kekd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  kekd::Check(kekd::testing::MemoryFile(bytes), true);
  kekd::Mend(bytes, 0);
  kekd::Mend(bytes, 1024);
  const kekd::testing::MemoryFile mended(std::move(bytes));
  kekd::Check(mended, false);
  kekd::Check(mended, true);
  return 0;
}
