#include "cluster/etcd_file/wal_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/wire_reader.h"
#include "cluster/etcd_file/crc32c.h"

namespace kekd {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kLengthSize = 8;
constexpr size_t kWindow = 1 << 20;
// What a disk writes at once, as etcd takes it.
constexpr uint64_t kSector = 512;

// The size of a record as its own fields tell it; none if it has no data or if they can't be read.
std::optional<uint64_t> OwnSize(absl::string_view record) {
  constexpr char kType = 0x08;
  constexpr char kCrc = 0x10;
  constexpr char kData = 0x1a;
  absl::string_view rest = record;
  while (!rest.empty()) {
    const char tag = rest[0];
    if (tag != kType && tag != kCrc && tag != kData) return std::nullopt;
    rest.remove_prefix(1);
    const std::optional<uint64_t> number = TakeVarint(rest);
    if (!number) return std::nullopt;
    if (tag == kData) return record.size() - rest.size() + *number;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<absl::string_view> WalReader::Bytes(uint64_t offset, size_t size) {
  if (offset < window_begin_ || offset + size > window_begin_ + window_.size()) {
    const uint64_t left = file_.size() - std::min(offset, file_.size());
    const absl::Span<char> bytes =
        buffer_.Resize(static_cast<size_t>(std::min<uint64_t>(std::max(size, kWindow), left)));
    window_ = absl::string_view();
    KEKD_ASSIGN_OR_RETURN(const size_t got, file_.ReadAt(offset, bytes));
    window_ = absl::string_view(bytes.data(), got);
    window_begin_ = offset;
  }
  return window_.substr(offset - window_begin_, size);
}

bool WalReader::HasUnwrittenSector(absl::string_view record) const {
  for (size_t begin = 0; begin < record.size();) {
    const uint64_t at = offset_ + kLengthSize + begin;
    const size_t size =
        std::min(static_cast<size_t>(kSector - at % kSector), record.size() - begin);
    const absl::string_view sector = record.substr(begin, size);
    if (sector.find_first_not_of('\0') == absl::string_view::npos) return true;
    begin += size;
  }
  return false;
}

bool WalReader::IsTorn(absl::string_view record) const {
  // A segment gets its name when its first record is on disk.
  if (offset_ == 0) return false;
  // A length that was damaged may take in what follows the record, up to what was never written.
  const std::optional<uint64_t> size = OwnSize(record);
  return (!size || *size == record.size()) && HasUnwrittenSector(record);
}

absl::StatusOr<std::optional<WalRecord>> WalReader::Decode(absl::string_view record) {
  WalRecord decoded;
  uint64_t crc = 0;
  WireReader reader(record);
  while (const std::optional<WireField> field = reader.Next()) {
    if (field->number == 1) decoded.type = field->number_value;
    if (field->number == 2) crc = field->number_value;
    if (field->number == 3) decoded.data = field->bytes;
  }
  if (!reader.ok()) return absl::DataLossError("it is no record");
  if (decoded.type == WalRecord::kCrc) {
    // The first of a segment goes on from the segment before it.
    if (has_crc_ && crc_ != 0 && crc_ != crc) {
      return absl::DataLossError("the checksum so far does not fit");
    }
    crc_ = static_cast<uint32_t>(crc);
  } else {
    crc_ = ExtendCrc32c(crc_, decoded.data);
    if (crc_ != crc) return absl::DataLossError("it does not fit its checksum");
  }
  has_crc_ = true;
  return std::optional<WalRecord>(decoded);
}

absl::StatusOr<std::optional<WalRecord>> WalReader::Next() {
  failed_end_ = offset_;
  KEKD_ASSIGN_OR_RETURN(const absl::string_view head, Bytes(offset_, kLengthSize));
  if (head.empty()) return std::nullopt;
  if (head.size() < kLengthSize) {
    failed_end_ = file_.size();
    is_torn_ = true;
    return absl::DataLossError("the file ends in its length");
  }
  uint64_t length = 0;
  std::memcpy(&length, head.data(), sizeof(length));
  if (length == 0) return std::nullopt;
  const uint64_t padding = (length >> 63) != 0 ? length >> 56 & 0x7 : 0;
  const uint64_t size = length & 0x00ffffffffffffff;
  if (size + padding > file_.size() - offset_ - kLengthSize) {
    failed_end_ = offset_ + kLengthSize;
    is_torn_ = true;
    return absl::DataLossError("the file ends in it, or its length is damaged");
  }
  if (size > kMaxRecord) return absl::DataLossError(absl::StrCat("it has ", size, " bytes"));
  KEKD_ASSIGN_OR_RETURN(const absl::string_view record,
                        Bytes(offset_ + kLengthSize, static_cast<size_t>(size)));
  failed_end_ = offset_ + kLengthSize + size + padding;
  if (record.size() < size) return absl::DataLossError("the file ends in it");
  absl::StatusOr<std::optional<WalRecord>> decoded = Decode(record);
  if (decoded.ok()) {
    offset_ = failed_end_;
  } else {
    is_torn_ = IsTorn(record);
  }
  return decoded;
}

}  // namespace kekd
