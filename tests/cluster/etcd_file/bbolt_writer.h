// Writes bbolt databases as etcd has them, page by page, for tests and the benchmark.
#ifndef KEKD_TESTS_CLUSTER_ETCD_FILE_BBOLT_WRITER_H_
#define KEKD_TESTS_CLUSTER_ETCD_FILE_BBOLT_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace kekd::testing {

// The key of a revision and its content, as etcd's key bucket has them.
std::string RevisionKey(uint64_t main, uint64_t sub = 0, bool tombstone = false);
std::string EncodeKeyValue(absl::string_view key, absl::string_view value, uint64_t mod_revision);
// A length-delimited field and a varint field of a protobuf message.
std::string BytesField(uint32_t number, absl::string_view content);
std::string VarintField(uint32_t number, uint64_t value);
std::string BigEndian64(uint64_t value);

// BboltWriter writes a new database file: buckets, each with its keys in ascending order, in pages
// that follow each other, and at the end the list of buckets and two meta pages. It ends the
// process on failure. Not thread-safe.
class BboltWriter final {
 public:
  struct Options {
    uint32_t page_size = 4096;
    // Leaves of so many bytes at a time get their places in the file by chance, as they do in a
    // database that has been in use; 0 leaves them in order.
    size_t shuffled_bytes = 0;
    bool inline_buckets = false;  // those that fit into a quarter of a page, as bbolt does
    bool freelist = false;        // write one
  };

  BboltWriter(const std::string& path, const Options& options);
  explicit BboltWriter(const std::string& path) : BboltWriter(path, Options{}) {}
  ~BboltWriter();
  BboltWriter(const BboltWriter&) = delete;
  BboltWriter& operator=(const BboltWriter&) = delete;

  // Buckets come in ascending order of their names.
  void BeginBucket(const std::string& name);
  void Put(const std::string& key, const std::string& value);
  // Pages that nothing refers to: a leaf with this one element and, if `with_header` is false,
  // without the page header that tells its number. Returns the first page's number.
  uint64_t AddUnused(const std::string& key, const std::string& value, bool with_header = true);
  // Writes what is left. Of a snapshot the hash too.
  void Finish(bool as_snapshot = false);

  // The page that the next one written will be.
  uint64_t next_page() const { return next_page_; }

 private:
  using Elements = std::vector<std::pair<std::string, std::string>>;
  struct Child {
    std::string key;
    uint64_t page = 0;
  };

  std::string LeafPage(const Elements& elements, bool buckets, bool as_inline) const;
  uint64_t Write(std::string page, uint64_t id);
  void FlushLeaf();
  void PlaceLeaves();
  void EndBucket();
  uint64_t WriteTree(std::vector<Child> children);
  void WriteMeta(uint64_t id, uint64_t root, uint64_t freelist, uint64_t txid);

  const Options options_;
  std::FILE* file_;
  const std::string path_;
  uint64_t next_page_ = 2;
  std::string bucket_;
  bool in_bucket_ = false;
  Elements leaf_;
  size_t leaf_bytes_ = 0;
  std::vector<std::pair<std::string, std::string>> waiting_;  // first key and leaf, not yet placed
  size_t waiting_bytes_ = 0;
  std::vector<Child> children_;
  Elements buckets_;
  std::mt19937_64 random_{1};
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_CLUSTER_ETCD_FILE_BBOLT_WRITER_H_
