// UTF-8, told from other bytes.
#ifndef KEKD_BASE_UTF8_H_
#define KEKD_BASE_UTF8_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace kekd {

// How many bytes the character at the front has (RFC 3629: shortest forms, no surrogates); 0 if
// there is none.
size_t Utf8CharacterBytes(absl::string_view bytes);

// Whether all of the bytes are UTF-8.
bool IsUtf8(absl::string_view bytes);

}  // namespace kekd

#endif  // KEKD_BASE_UTF8_H_
