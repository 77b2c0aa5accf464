#include "base/uuid.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/hex.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr size_t kTextSize = 36;

bool IsDashAt(size_t index) { return index == 8 || index == 13 || index == 18 || index == 23; }

}  // namespace

absl::StatusOr<Uuid> Uuid::Random(const RandomSource& random) {
  Uuid uuid;
  KEKD_RETURN_IF_ERROR(random.Fill(absl::MakeSpan(uuid.bytes_)));
  uuid.bytes_[6] = static_cast<uint8_t>((uuid.bytes_[6] & 0x0f) | 0x40);  // version 4
  uuid.bytes_[8] = static_cast<uint8_t>((uuid.bytes_[8] & 0x3f) | 0x80);  // variant 10
  return uuid;
}

absl::StatusOr<Uuid> Uuid::Parse(absl::string_view text) {
  std::string digits;
  bool well_formed = text.size() == kTextSize;
  for (size_t i = 0; well_formed && i < text.size(); ++i) {
    if (IsDashAt(i)) {
      well_formed = text[i] == '-';
    } else {
      digits.push_back(absl::ascii_tolower(static_cast<unsigned char>(text[i])));
    }
  }
  Uuid uuid;
  if (!well_formed || !HexDecode(digits, absl::MakeSpan(uuid.bytes_))) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::CHexEscape(text.substr(0, 64)),
                     "\" is not a UUID such as 6ba7b810-9dad-41d1-80b4-00c04fd430c8"));
  }
  return uuid;
}

absl::StatusOr<Uuid> Uuid::FromBytes(ByteView bytes) {
  if (bytes.size() != kBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a UUID has ", kBytes, " bytes, not ", bytes.size()));
  }
  Uuid uuid;
  std::copy(bytes.begin(), bytes.end(), uuid.bytes_.begin());
  return uuid;
}

std::string Uuid::ToString() const {
  const std::string digits = HexEncode(bytes());
  const absl::string_view view = digits;
  return absl::StrCat(view.substr(0, 8), "-", view.substr(8, 4), "-", view.substr(12, 4), "-",
                      absl::StrCat(view.substr(16, 4), "-", view.substr(20)));
}

}  // namespace kekd
