// A bbolt database, read from its file by page.
#ifndef KEKD_CLUSTER_ETCD_FILE_BBOLT_FILE_H_
#define KEKD_CLUSTER_ETCD_FILE_BBOLT_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/etcd_file/bbolt_page.h"
#include "cluster/etcd_file/random_access_file.h"
#include "cluster/etcd_file/read_buffer.h"
#include "cluster/gap_list.h"

namespace kekd {

// What a walk meets. The views are valid during the call; a status that is not OK ends the walk.
class BboltVisitor {
 public:
  virtual ~BboltVisitor() = default;
  // Comes before the bucket's elements. `bucket` is its name, with those of the buckets that it
  // lies in before it and '/' between them.
  virtual void VisitBucket(absl::string_view bucket) = 0;
  // A key and its value.
  virtual absl::Status VisitElement(absl::string_view bucket, absl::string_view key,
                                    absl::string_view value) = 0;
  // The bytes at `offset` of the file that lie in a page which is in use, behind its content.
  virtual absl::Status VisitSlack(uint64_t offset, absl::string_view bytes) = 0;
};

// BboltFile is the newest state of a database. Every page is looked at once at most, wherever the
// pages point; one that is not what it should be is a gap, and the rest is read. Memory: two bits a
// page, and the largest page with its overflow (at most kMaxPageRun). Not thread-safe.
class BboltFile final {
 public:
  // A larger page with its overflow is a gap. etcd takes 1.5 MiB a request by default and warns
  // above 10 MiB.
  static constexpr uint64_t kMaxPageRun = 256 << 20;
  static constexpr uint64_t kMaxFileSize = uint64_t{1} << 40;

  // Reads the two meta pages; the database is the first `size` bytes of the file, which outlives
  // this, as does `gaps`. InvalidArgument "is no etcd database: ..." if the file is another
  // program's, DataLoss if both meta pages are damaged, or as the file fails.
  static absl::StatusOr<BboltFile> Open(const RandomAccessFile& file, uint64_t size, GapList& gaps);

  // Visits the elements of every bucket, each bucket's in descending order of its keys; `on_bytes`
  // hears the size of each page that was read. Once only. Fails as `visitor` does; a file that
  // can't be read there is a gap.
  absl::Status Walk(BboltVisitor& visitor, absl::FunctionRef<void(uint64_t)> on_bytes);

  // After the walk: hands over each longest part of the file that no page in use covers, as
  // [begin, end). A page that was never reached, or that was and can't be what it should, is in
  // one; a page that begins with a header of its own begins a new part, since it was written at
  // another time than what precedes it.
  absl::Status ForEachUnusedPart(
      absl::FunctionRef<absl::Status(uint64_t begin, uint64_t end)> visit);

  const BboltMeta& meta() const { return meta_; }

 private:
  BboltFile(const RandomAccessFile& file, uint64_t size, GapList& gaps, const BboltMeta& meta);

  class Walker;

  // Reads the page with its overflow and takes it: DataLoss if it is none, was met before or does
  // not lie in the file.
  absl::StatusOr<absl::string_view> TakePage(PageId id, ReadBuffer& buffer);
  void AddGap(PageId id, absl::string_view why);
  // Whether the page at `id` begins with a header that tells its own number.
  absl::StatusOr<bool> HasHeader(PageId id) const;

  const RandomAccessFile* file_;
  GapList* gaps_;
  uint64_t size_;
  BboltMeta meta_;
  PageId page_count_ = 0;         // whole pages in the file
  std::vector<bool> taken_;       // it was met
  std::vector<bool> in_use_;      // and was what it should be
  std::vector<bool> read_ahead_;  // by block: it was asked for
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_BBOLT_FILE_H_
