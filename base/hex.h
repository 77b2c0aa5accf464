// Lower-case hexadecimal.
#ifndef KEKD_BASE_HEX_H_
#define KEKD_BASE_HEX_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/bytes.h"

namespace kekd {

std::string HexEncode(ByteView bytes);

// Writes two digits a byte into `out`, which has twice the size of `bytes`. For secrets, whose text
// must not pass through a std::string.
void HexEncodeTo(ByteView bytes, absl::Span<uint8_t> out);

// Fills `out` from exactly two lower-case digits a byte. Returns false, with `out` unspecified, on
// another length or any other character. Looks at every digit in the same way, whatever it is.
bool HexDecode(absl::string_view digits, absl::Span<uint8_t> out);

}  // namespace kekd

#endif  // KEKD_BASE_HEX_H_
