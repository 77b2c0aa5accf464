#include "cluster/etcd_file/bbolt_file.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

// A tree of the smallest pages that fills kMaxFileSize is less deep.
constexpr int kMaxDepth = 48;
constexpr int kMaxBucketDepth = 8;
// What is asked of the disk at once: large enough that a disk which has to move does little of it.
constexpr uint64_t kReadAheadBlock = 1 << 20;
constexpr char kCure[] =
    "take a new snapshot of a healthy member; on the member itself, etcd's procedure for data "
    "corruption";

absl::Status NoDatabase(const RandomAccessFile& file, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(file.path(), " is no etcd database: ", why));
}

absl::StatusOr<BboltMeta> ReadMetaAt(const RandomAccessFile& file, uint64_t offset, uint64_t size) {
  std::array<char, kPageHeaderSize + kMetaSize> bytes;
  if (offset + bytes.size() > size) return absl::NotFoundError("the file ends before it");
  KEKD_ASSIGN_OR_RETURN(const size_t got, file.ReadAt(offset, absl::MakeSpan(bytes)));
  return ReadMeta(absl::string_view(bytes.data(), got));
}

}  // namespace

BboltFile::BboltFile(const RandomAccessFile& file, uint64_t size, GapList& gaps,
                     const BboltMeta& meta)
    : file_(&file), gaps_(&gaps), size_(size), meta_(meta), page_count_(size / meta.page_size) {
  taken_.resize(page_count_);
  in_use_.resize(page_count_);
  read_ahead_.resize(size / kReadAheadBlock + 1);
}

absl::StatusOr<BboltFile> BboltFile::Open(const RandomAccessFile& file, uint64_t size,
                                          GapList& gaps) {
  if (size > kMaxFileSize) return NoDatabase(file, absl::StrCat("it has ", size, " bytes"));
  const absl::StatusOr<BboltMeta> first = ReadMetaAt(file, 0, size);
  absl::StatusOr<BboltMeta> second = absl::NotFoundError("there is no meta page of bbolt");
  if (first.ok()) {
    second = ReadMetaAt(file, first->page_size, size);
  } else {
    // The second page begins where the first, damaged one would tell.
    for (uint64_t at = kMinPageSize; at <= kMaxPageSize && !second.ok(); at *= 2) {
      absl::StatusOr<BboltMeta> here = ReadMetaAt(file, at, size);
      if (absl::IsNotFound(here.status())) continue;
      if (here.ok() && here->page_size != at) continue;
      second = std::move(here);
    }
  }
  if (!first.ok() && !second.ok()) {
    const absl::Status& told = absl::IsNotFound(first.status()) ? second.status() : first.status();
    if (absl::IsNotFound(told)) return NoDatabase(file, "there is no meta page of bbolt in it");
    if (absl::IsInvalidArgument(told)) return NoDatabase(file, told.message());
    if (!absl::IsDataLoss(told)) return told;
    return absl::DataLossError(absl::StrCat(file.path(),
                                            ": both of the database's meta pages are damaged (",
                                            first.status().message(), "): ", kCure));
  }
  const BboltMeta& newer =
      !second.ok() || (first.ok() && first->txid > second->txid) ? *first : *second;
  BboltFile opened(file, size, gaps, newer);
  for (const auto& [id, meta] : {std::pair<PageId, const absl::StatusOr<BboltMeta>&>(0, first),
                                 std::pair<PageId, const absl::StatusOr<BboltMeta>&>(1, second)}) {
    if (id >= opened.page_count_) continue;
    opened.taken_[id] = true;
    opened.in_use_[id] = true;
    if (!meta.ok()) {
      opened.AddGap(id, absl::StrCat(meta.status().message(),
                                     "; what is read is the state that the other meta page tells"));
    }
  }
  if (newer.high_water > opened.page_count_) {
    gaps.Add({.what = absl::StrCat("the end of ", file.path()),
              .why = absl::StrCat("it is cut short: ", opened.page_count_, " pages of ",
                                  newer.high_water),
              .cure = kCure,
              .damaged = true});
  } else if (size % newer.page_size != 0) {
    gaps.Add({.what = absl::StrCat("the last ", size % newer.page_size, " bytes of ", file.path()),
              .why = "they are no page: something is missing, or was appended",
              .cure = kCure,
              .damaged = true});
  }
  return opened;
}

void BboltFile::AddGap(PageId id, absl::string_view why) {
  gaps_->Add({.what = absl::StrCat("page ", id, " of ", file_->path()),
              .why = std::string(why),
              .cure = kCure,
              .damaged = true});
}

absl::StatusOr<absl::string_view> BboltFile::TakePage(PageId id, ReadBuffer& buffer) {
  if (id < 2 || id >= meta_.high_water) {
    return absl::DataLossError("it is referred to and is none of the database's pages");
  }
  if (id >= page_count_) return absl::DataLossError("the file ends before it");
  if (taken_[id]) return absl::DataLossError("it is referred to twice");
  taken_[id] = true;
  const uint64_t offset = id * meta_.page_size;
  absl::Span<char> bytes = buffer.Resize(meta_.page_size);
  KEKD_ASSIGN_OR_RETURN(size_t got, file_->ReadAt(offset, bytes));
  if (got < bytes.size()) return absl::DataLossError("the file ends in it");
  const PageHeader header = ReadPageHeader(absl::string_view(bytes.data(), bytes.size()));
  if (header.id != id) {
    return absl::DataLossError(absl::StrCat("it says that it is page ", header.id));
  }
  const uint64_t size = (uint64_t{header.overflow} + 1) * meta_.page_size;
  if (header.overflow >= page_count_ - id) return absl::DataLossError("it overflows the file");
  if (size > kMaxPageRun) {
    return absl::DataLossError(absl::StrCat("with its overflow it has ", size, " bytes"));
  }
  for (PageId next = id + 1; next <= id + header.overflow; ++next) {
    if (taken_[next]) return absl::DataLossError("it overflows into another page");
  }
  if (header.overflow > 0) {
    bytes = buffer.Resize(size, meta_.page_size);
    KEKD_ASSIGN_OR_RETURN(got,
                          file_->ReadAt(offset + meta_.page_size, bytes.subspan(meta_.page_size)));
    if (got < size - meta_.page_size) return absl::DataLossError("the file ends in it");
    std::fill_n(taken_.begin() + static_cast<std::ptrdiff_t>(id), header.overflow + 1, true);
  }
  return absl::string_view(bytes.data(), bytes.size());
}

// One walk through all trees.
class BboltFile::Walker {
 public:
  Walker(BboltFile& file, BboltVisitor& visitor, absl::FunctionRef<void(uint64_t)> on_bytes)
      : file_(file), visitor_(visitor), on_bytes_(on_bytes) {}

  absl::Status WalkTree(PageId root, const std::string& bucket, int bucket_depth) {
    Tree tree = {.bucket = bucket, .bucket_depth = bucket_depth};
    return WalkPage(root, 0, tree);
  }

  // Of the two meta pages, which were read when the file was opened.
  absl::Status VisitMetaSlack() {
    for (PageId id = 0; id < std::min<PageId>(2, file_.page_count_); ++id) {
      const absl::Span<char> bytes = buffer_.Resize(file_.meta_.page_size);
      const absl::StatusOr<size_t> got = file_.file_->ReadAt(id * bytes.size(), bytes);
      if (!got.ok()) continue;
      KEKD_RETURN_IF_ERROR(
          Use(id, absl::string_view(bytes.data(), bytes.size()), kPageHeaderSize + kMetaSize));
    }
    return absl::OkStatus();
  }

  absl::Status VisitFreelist(PageId id) {
    const absl::StatusOr<absl::string_view> page = file_.TakePage(id, buffer_);
    if (!page.ok()) return absl::OkStatus();  // nothing is lost with it
    const absl::StatusOr<size_t> end = FreelistContentEnd(*page);
    if (!end.ok()) return absl::OkStatus();
    return Use(id, *page, *end);
  }

 private:
  struct Tree {
    const std::string& bucket;
    int bucket_depth = 0;
    // The first key of the leaf that was visited last: all that follow are less.
    std::optional<std::string> limit;
  };

  absl::Status Use(PageId id, absl::string_view page, size_t content_end) {
    const uint64_t pages = page.size() / file_.meta_.page_size;
    std::fill_n(file_.in_use_.begin() + static_cast<std::ptrdiff_t>(id), pages, true);
    on_bytes_(page.size());
    if (content_end == page.size()) return absl::OkStatus();
    return visitor_.VisitSlack(id * file_.meta_.page_size + content_end, page.substr(content_end));
  }

  void ReadAhead(PageId id) {
    const uint64_t block = id * file_.meta_.page_size / kReadAheadBlock;
    if (id >= file_.page_count_ || file_.read_ahead_[block]) return;
    file_.read_ahead_[block] = true;
    file_.file_->WillNeed(block * kReadAheadBlock, kReadAheadBlock);
  }

  absl::Status WalkPage(PageId id, int depth, Tree& tree) {
    const absl::StatusOr<absl::string_view> page = file_.TakePage(id, buffer_);
    if (!page.ok()) {
      file_.AddGap(id, page.status().message());
      return absl::OkStatus();
    }
    const absl::StatusOr<ElementPage> elements = ElementPage::Check(*page);
    if (!elements.ok()) {
      file_.AddGap(id, elements.status().message());
      return absl::OkStatus();
    }
    if (elements->is_leaf()) return WalkLeaf(id, *page, *elements, tree);
    if (elements->count() == 0 || depth == kMaxDepth) {
      file_.AddGap(
          id, elements->count() == 0 ? "it is a branch without elements" : "the tree is too deep");
      return absl::OkStatus();
    }
    // The buffer is needed for what is below.
    std::vector<PageId> children(elements->count());
    for (size_t i = 0; i < children.size(); ++i) children[i] = elements->branch(i).child;
    KEKD_RETURN_IF_ERROR(Use(id, *page, elements->content_end()));
    for (auto child = children.rbegin(); child != children.rend(); ++child) ReadAhead(*child);
    for (auto child = children.rbegin(); child != children.rend(); ++child) {
      KEKD_RETURN_IF_ERROR(WalkPage(*child, depth + 1, tree));
    }
    return absl::OkStatus();
  }

  absl::Status WalkLeaf(PageId id, absl::string_view page, const ElementPage& leaf, Tree& tree) {
    if (leaf.count() > 0) {
      if (tree.limit && leaf.leaf(leaf.count() - 1).key >= *tree.limit) {
        file_.AddGap(id, "its keys are not below those of the page that follows it");
        return absl::OkStatus();
      }
      tree.limit = std::string(leaf.leaf(0).key);
    }
    std::vector<std::pair<std::string, PageId>> buckets;
    KEKD_RETURN_IF_ERROR(VisitElements(id, leaf, tree, &buckets));
    KEKD_RETURN_IF_ERROR(Use(id, page, leaf.content_end()));
    for (const auto& [name, root] : buckets) {
      visitor_.VisitBucket(name);
      KEKD_RETURN_IF_ERROR(WalkTree(root, name, tree.bucket_depth + 1));
    }
    return absl::OkStatus();
  }

  // Of a page of its own or of one that lies inline in page `id`. Buckets with a root page of their
  // own are handed back, since the buffer is needed for it.
  absl::Status VisitElements(PageId id, const ElementPage& leaf, const Tree& tree,
                             std::vector<std::pair<std::string, PageId>>* buckets) {
    for (size_t i = leaf.count(); i-- > 0;) {
      const LeafElement element = leaf.leaf(i);
      if (!element.is_bucket) {
        KEKD_RETURN_IF_ERROR(visitor_.VisitElement(tree.bucket, element.key, element.value));
        continue;
      }
      std::string name = tree.bucket.empty() ? std::string(element.key)
                                             : absl::StrCat(tree.bucket, "/", element.key);
      const std::optional<BucketHeader> header = ReadBucketHeader(element.value);
      if (!header || tree.bucket_depth == kMaxBucketDepth) {
        file_.AddGap(id, "it has a bucket that is none");
      } else if (header->root != 0) {
        buckets->emplace_back(std::move(name), header->root);
      } else {
        const absl::StatusOr<ElementPage> inner = ElementPage::Check(header->inline_page);
        if (!inner.ok() || !inner->is_leaf()) {
          file_.AddGap(id, "it has an inline bucket that is none");
          continue;
        }
        visitor_.VisitBucket(name);
        const Tree inline_tree = {.bucket = name, .bucket_depth = tree.bucket_depth + 1};
        KEKD_RETURN_IF_ERROR(VisitElements(id, *inner, inline_tree, buckets));
      }
    }
    return absl::OkStatus();
  }

  BboltFile& file_;
  BboltVisitor& visitor_;
  const absl::FunctionRef<void(uint64_t)> on_bytes_;
  ReadBuffer buffer_;
};

absl::Status BboltFile::Walk(BboltVisitor& visitor, absl::FunctionRef<void(uint64_t)> on_bytes) {
  Walker walker(*this, visitor, on_bytes);
  KEKD_RETURN_IF_ERROR(walker.VisitMetaSlack());
  KEKD_RETURN_IF_ERROR(walker.WalkTree(meta_.root, "", 0));
  if (meta_.freelist == BboltMeta::kNoFreelist) return absl::OkStatus();
  return walker.VisitFreelist(meta_.freelist);
}

absl::StatusOr<bool> BboltFile::HasHeader(PageId id) const {
  std::array<char, kPageHeaderSize> bytes;
  KEKD_ASSIGN_OR_RETURN(const size_t got,
                        file_->ReadAt(id * meta_.page_size, absl::MakeSpan(bytes)));
  if (got < bytes.size()) return false;
  const PageHeader header = ReadPageHeader(absl::string_view(bytes.data(), bytes.size()));
  return header.id == id && (header.flags == kBranchPage || header.flags == kLeafPage ||
                             header.flags == kFreelistPage);
}

absl::Status BboltFile::ForEachUnusedPart(
    absl::FunctionRef<absl::Status(uint64_t, uint64_t)> visit) {
  std::optional<uint64_t> begin;
  for (PageId id = 0; id < page_count_; ++id) {
    const uint64_t offset = id * meta_.page_size;
    bool ends = in_use_[id];
    if (!ends && begin) {
      const absl::StatusOr<bool> has_header = HasHeader(id);
      ends = has_header.ok() && *has_header;
    }
    if (begin && ends) {
      KEKD_RETURN_IF_ERROR(visit(*begin, offset));
      begin.reset();
    }
    if (!in_use_[id] && !begin) begin = offset;
  }
  // What follows the last whole page.
  const uint64_t rest = begin.value_or(page_count_ * meta_.page_size);
  return rest < size_ ? visit(rest, size_) : absl::OkStatus();
}

}  // namespace kekd
