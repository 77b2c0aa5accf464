// Writes what the fuzzers of etcd's files begin with: write_etcd_fuzz_seeds CORPUS_FOLDER.
#include <cstdio>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/cluster/etcd_file/bbolt_writer.h"
#include "tests/cluster/etcd_file/wal_writer.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {
namespace {

void WriteDatabase(const std::string& path, bool inline_buckets, int objects) {
  BboltWriter writer(path, {.page_size = 1024, .inline_buckets = inline_buckets, .freelist = true});
  writer.AddUnused(RevisionKey(2), EncodeKeyValue("/r/old", std::string(1500, 'o'), 2));
  writer.AddUnused(RevisionKey(3), EncodeKeyValue("/r/older", "o", 3), false);
  writer.BeginBucket("cluster");
  writer.Put("clusterVersion", "3.6.0");
  writer.BeginBucket("key");
  for (uint64_t i = 4; i < 4 + static_cast<uint64_t>(objects); ++i) {
    const std::string key = absl::StrCat("/r/", i % 5);
    if (i % 7 == 0) {
      writer.Put(RevisionKey(i, 0, true), BytesField(1, key));
    } else {
      writer.Put(RevisionKey(i), EncodeKeyValue(key, std::string(i % 11 * 60, 'v'), i));
    }
  }
  writer.BeginBucket("meta");
  writer.Put("consistent_index", BigEndian64(9));
  writer.Put("finishedCompactRev", RevisionKey(3));
  writer.Finish();
}

}  // namespace
}  // namespace kekd::testing

int main(int argc, char** argv) {
  using namespace kekd::testing;
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_etcd_fuzz_seeds CORPUS_FOLDER\n");
    return 2;
  }
  const std::string corpus = argv[1];
  std::filesystem::create_directories(corpus + "/bbolt_fuzz");
  std::filesystem::create_directories(corpus + "/wal_fuzz");
  WriteDatabase(corpus + "/bbolt_fuzz/inline", true, 1);
  WriteDatabase(corpus + "/bbolt_fuzz/tree", false, 12);

  WalWriter wal;
  wal.AddEntry(3, PutRequest("/r/a", "applied"));
  wal.AddEntry(4, TxnRequest("/r/b", "pending"));
  wal.AddRecord(3, VarintField(1, 1) + VarintField(2, 2) + VarintField(3, 4));
  WriteTestFile(corpus + "/wal_fuzz/segment", wal.bytes() + std::string(64, '\0'));
  WriteTestFile(corpus + "/wal_fuzz/torn", wal.bytes().substr(0, wal.bytes().size() - 40));
  WriteTestFile(corpus + "/wal_fuzz/put", PutRequest("/r/a", "value"));
  WriteTestFile(corpus + "/wal_fuzz/txn", TxnRequest("/r/a", "value"));
  return 0;
}
