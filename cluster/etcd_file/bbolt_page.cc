#include "cluster/etcd_file/bbolt_page.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace kekd {
namespace {

// bbolt writes the host's byte order, and every machine that Kubernetes runs on but s390x is
// little.
static_assert(std::endian::native == std::endian::little);

constexpr uint32_t kMagic = 0xED0CDAED;
constexpr uint32_t kSwappedMagic = 0xEDDA0CED;
constexpr uint32_t kVersion = 2;
constexpr size_t kMetaSummed = 56;  // what the checksum is over
constexpr size_t kBucketHeaderSize = 16;
constexpr uint32_t kBucketElement = 0x01;

template <typename T>
T Load(absl::string_view bytes, size_t at) {
  T value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

uint64_t Fnv64a(absl::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : bytes) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  return hash;
}

}  // namespace

PageHeader ReadPageHeader(absl::string_view page) {
  return {.id = Load<uint64_t>(page, 0),
          .flags = Load<uint16_t>(page, 8),
          .count = Load<uint16_t>(page, 10),
          .overflow = Load<uint32_t>(page, 12)};
}

absl::StatusOr<BboltMeta> ReadMeta(absl::string_view bytes) {
  if (bytes.size() < kPageHeaderSize + kMetaSize) return absl::NotFoundError("it is too short");
  const absl::string_view meta = bytes.substr(kPageHeaderSize, kMetaSize);
  const uint32_t magic = Load<uint32_t>(meta, 0);
  if (magic == kSwappedMagic) {
    return absl::InvalidArgumentError("it was written by a machine of the other byte order");
  }
  if (magic != kMagic) return absl::NotFoundError("there is no meta page of bbolt");
  const uint64_t checksum = Load<uint64_t>(meta, kMetaSummed);
  if (checksum != Fnv64a(meta.substr(0, kMetaSummed))) {
    return absl::DataLossError("its checksum does not fit");
  }
  const uint32_t version = Load<uint32_t>(meta, 4);
  if (version != kVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has bbolt's format ", version, ", and only ", kVersion, " is known"));
  }
  const BboltMeta read = {.page_size = Load<uint32_t>(meta, 8),
                          .root = Load<uint64_t>(meta, 16),
                          .freelist = Load<uint64_t>(meta, 32),
                          .high_water = Load<uint64_t>(meta, 40),
                          .txid = Load<uint64_t>(meta, 48)};
  const bool sound = std::has_single_bit(read.page_size) && read.page_size >= kMinPageSize &&
                     read.page_size <= kMaxPageSize;
  if (!sound)
    return absl::DataLossError(absl::StrCat("it has pages of ", read.page_size, " bytes"));
  return read;
}

absl::StatusOr<ElementPage> ElementPage::Check(absl::string_view page) {
  if (page.size() < kPageHeaderSize) return absl::DataLossError("it is too short");
  ElementPage checked(page, ReadPageHeader(page));
  const PageHeader& header = checked.header_;
  const bool is_leaf = header.flags == kLeafPage;
  if (!is_leaf && header.flags != kBranchPage) {
    return absl::DataLossError(
        absl::StrCat("it is neither a leaf nor a branch (its flags are ", header.flags, ")"));
  }
  checked.content_end_ = kPageHeaderSize + size_t{header.count} * kElementSize;
  if (checked.content_end_ > page.size()) {
    return absl::DataLossError("its elements do not fit into it");
  }
  absl::string_view last;
  for (size_t i = 0; i < header.count; ++i) {
    const size_t at = kPageHeaderSize + i * kElementSize;
    const size_t field = is_leaf ? at + 4 : at;
    const uint64_t begin = at + uint64_t{Load<uint32_t>(page, field)};
    const uint64_t key_size = Load<uint32_t>(page, field + 4);
    const uint64_t end = begin + key_size + (is_leaf ? Load<uint32_t>(page, at + 12) : 0);
    if (end > page.size()) {
      return absl::DataLossError(absl::StrCat("element ", i, " ends behind it"));
    }
    // bbolt writes them one after the other. If they could lie over each other, a small page could
    // hold far more than its own size to go through.
    if (begin < checked.content_end_) {
      return absl::DataLossError(absl::StrCat("element ", i, " lies over what precedes it"));
    }
    const absl::string_view key = page.substr(begin, key_size);
    if (i > 0 && key <= last) return absl::DataLossError("its keys are not in order");
    last = key;
    checked.content_end_ = static_cast<size_t>(end);
  }
  return checked;
}

LeafElement ElementPage::leaf(size_t index) const {
  const size_t at = kPageHeaderSize + index * kElementSize;
  const size_t begin = at + Load<uint32_t>(page_, at + 4);
  const size_t key_size = Load<uint32_t>(page_, at + 8);
  return {.is_bucket = (Load<uint32_t>(page_, at) & kBucketElement) != 0,
          .key = page_.substr(begin, key_size),
          .value = page_.substr(begin + key_size, Load<uint32_t>(page_, at + 12))};
}

BranchElement ElementPage::branch(size_t index) const {
  const size_t at = kPageHeaderSize + index * kElementSize;
  return {.key = page_.substr(at + Load<uint32_t>(page_, at), Load<uint32_t>(page_, at + 4)),
          .child = Load<uint64_t>(page_, at + 8)};
}

std::optional<BucketHeader> ReadBucketHeader(absl::string_view value) {
  if (value.size() < kBucketHeaderSize) return std::nullopt;
  return BucketHeader{.root = Load<uint64_t>(value, 0),
                      .inline_page = value.substr(kBucketHeaderSize)};
}

absl::StatusOr<size_t> FreelistContentEnd(absl::string_view page) {
  if (page.size() < kPageHeaderSize + 8) return absl::DataLossError("it is too short");
  const PageHeader header = ReadPageHeader(page);
  if (header.flags != kFreelistPage) return absl::DataLossError("it is no list of free pages");
  // A count of 16 bits that is full stands for one of 64 bits, which comes first.
  uint64_t count = header.count;
  if (count == 0xffff) {
    count = Load<uint64_t>(page, kPageHeaderSize);
    if (count >= page.size() / 8) return absl::DataLossError("its pages do not fit into it");
    ++count;
  }
  const uint64_t end = kPageHeaderSize + count * 8;
  if (end > page.size()) return absl::DataLossError("its pages do not fit into it");
  return static_cast<size_t>(end);
}

}  // namespace kekd
