// The pages of a bbolt database (go.etcd.io/bbolt, internal/common): what each may hold, checked.
#ifndef KEKD_CLUSTER_ETCD_FILE_BBOLT_PAGE_H_
#define KEKD_CLUSTER_ETCD_FILE_BBOLT_PAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekd {

using PageId = uint64_t;

inline constexpr size_t kPageHeaderSize = 16;
inline constexpr size_t kElementSize = 16;
inline constexpr size_t kMetaSize = 64;  // behind the header of its page
inline constexpr uint16_t kBranchPage = 0x01;
inline constexpr uint16_t kLeafPage = 0x02;
inline constexpr uint16_t kMetaPage = 0x04;
inline constexpr uint16_t kFreelistPage = 0x10;
// bbolt takes the page size of the operating system, or what it was told to.
inline constexpr uint32_t kMinPageSize = 1024;
inline constexpr uint32_t kMaxPageSize = 1 << 20;

struct PageHeader {
  PageId id = 0;
  uint16_t flags = 0;
  uint16_t count = 0;     // of elements
  uint32_t overflow = 0;  // how many pages that follow belong to this one
};

// `page` has at least kPageHeaderSize bytes.
PageHeader ReadPageHeader(absl::string_view page);

struct BboltMeta {
  static constexpr PageId kNoFreelist = UINT64_MAX;  // it was not written (etcd's default)

  uint32_t page_size = 0;
  PageId root = 0;
  PageId freelist = 0;
  PageId high_water = 0;  // the first page that was never used
  uint64_t txid = 0;
};

// The meta page that begins `bytes`. NotFound if there is none; InvalidArgument if it is one of
// another version or byte order; DataLoss if it does not fit its checksum or makes no sense.
absl::StatusOr<BboltMeta> ReadMeta(absl::string_view bytes);

// Views into the page.
struct LeafElement {
  bool is_bucket = false;
  absl::string_view key;
  absl::string_view value;
};
struct BranchElement {
  absl::string_view key;
  PageId child = 0;
};

// ElementPage is a leaf or branch page, whole, with what overflows. Thread-compatible; `page`
// outlives it.
class ElementPage final {
 public:
  // Checks that the elements lie in the page one after the other and that their keys ascend;
  // DataLoss if not.
  static absl::StatusOr<ElementPage> Check(absl::string_view page);

  bool is_leaf() const { return (header_.flags & kLeafPage) != 0; }
  size_t count() const { return header_.count; }
  // `index` is below count(), the page of that kind.
  LeafElement leaf(size_t index) const;
  BranchElement branch(size_t index) const;
  // Where the content ends; what is behind it in the page is slack.
  size_t content_end() const { return content_end_; }

 private:
  ElementPage(absl::string_view page, PageHeader header) : page_(page), header_(header) {}

  absl::string_view page_;
  PageHeader header_;
  size_t content_end_ = 0;
};

// A bucket as its parent's leaf has it: a root page, or, if that is 0, the page itself inline.
struct BucketHeader {
  PageId root = 0;
  absl::string_view inline_page;
};
std::optional<BucketHeader> ReadBucketHeader(absl::string_view value);

// Where the content of a freelist page ends; DataLoss if that is not within the page.
absl::StatusOr<size_t> FreelistContentEnd(absl::string_view page);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_BBOLT_PAGE_H_
