// Writes a large snapshot, as a cluster of many Secrets would have it, for the benchmark.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/cluster/etcd_file/bbolt_writer.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: write_etcd_snapshot FILE MEBIBYTES\n");
    return 2;
  }
  using kekd::testing::BboltWriter;
  const uint64_t bytes = std::strtoull(argv[2], nullptr, 10) << 20;
  BboltWriter writer(argv[1], {.shuffled_bytes = 64 << 20, .freelist = true});
  std::mt19937_64 random(1);
  std::string value(64 << 10, '\0');
  for (char& byte : value) byte = static_cast<char>(random());
  writer.BeginBucket("key");
  uint64_t revision = 1;
  // Sizes as they are found in clusters: most objects have about a kilobyte, a few a hundred times
  // that. Every third is an older revision of another.
  while (writer.next_page() * 4096 + (64 << 20) < bytes) {
    for (int i = 0; i < 1000; ++i, ++revision) {
      const uint64_t object = revision - (revision % 3 == 0 ? 1 : 0);
      const std::string key =
          absl::StrCat("/registry/secrets/namespace-", object % 211, "/name-", object);
      const size_t size = random() % 256 == 0 ? 30000 + random() % 30000 : 300 + random() % 1500;
      writer.Put(kekd::testing::RevisionKey(revision),
                 kekd::testing::EncodeKeyValue(
                     key, absl::StrCat("k8s:enc:kms:v2:kekd:", value.substr(revision % 1000, size)),
                     revision));
    }
  }
  writer.BeginBucket("meta");
  writer.Put("consistent_index", kekd::testing::BigEndian64(revision));
  writer.Finish(true);
  return 0;
}
