// What a scan of etcd costs for each object, without reading them from a disk.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cluster/scan.h"

namespace kekd::bench {
namespace {

std::string Field(char tag, absl::string_view content) {
  std::string field(1, tag);
  size_t size = content.size();
  for (; size >= 0x80; size >>= 7) field.push_back(static_cast<char>(size | 0x80));
  field.push_back(static_cast<char>(size));
  return absl::StrCat(field, content);
}

// What an API server writes with kekd: `bytes` of encrypted data.
std::string KmsV2Value(size_t bytes, int version) {
  return absl::StrCat(
      "k8s:enc:kms:v2:kekd:", Field(0x0a, std::string(bytes, '\x9c')),
      Field(0x12, absl::StrCat("prod.", version, ".00112233445566778899aabbccddeeff")),
      Field(0x1a, std::string(78, '\x9c')), absl::string_view("\x28\x01", 2));
}

void Scan(benchmark::State& state, const std::vector<std::string>& keys,
          const std::vector<std::string>& values) {
  Scanner scanner({});
  size_t i = 0;
  for (auto _ : state) {
    const StoredObject object = {.key = keys[i % keys.size()], .value = values[i % values.size()]};
    if (!scanner.Visit(object).ok()) abort();
    ++i;
  }
  state.SetItemsProcessed(state.iterations());
  benchmark::DoNotOptimize(std::move(scanner).Finish({}));
}

std::vector<std::string> SecretKeys() {
  std::vector<std::string> keys;
  for (int i = 0; i < 1000; ++i) {
    keys.push_back(absl::StrCat("/registry/secrets/team-", i / 50, "/token-", i));
  }
  return keys;
}

// As etcd has them: one resource after the other, mostly under one key.
void BM_ScanOneGroup(benchmark::State& state) {
  Scan(state, SecretKeys(), std::vector<std::string>(1000, KmsV2Value(900, 3)));
}
BENCHMARK(BM_ScanOneGroup);

// Every object in another group than the one before.
void BM_ScanManyGroups(benchmark::State& state) {
  std::vector<std::string> values;
  for (int i = 0; i < 1000; ++i) values.push_back(KmsV2Value(900, i % 64));
  Scan(state, SecretKeys(), values);
}
BENCHMARK(BM_ScanManyGroups);

// Values that are read for the first time: 512 MiB of them, more than any cache holds.
void BM_ScanColdValues(benchmark::State& state) {
  std::vector<std::string> values;
  for (int i = 0; i < 512 * 1024; ++i) values.push_back(KmsV2Value(900, 3));
  Scan(state, SecretKeys(), values);
}
BENCHMARK(BM_ScanColdValues);

}  // namespace
}  // namespace kekd::bench

BENCHMARK_MAIN();
