// JSON written into locked memory.
#ifndef KEKD_CLUSTER_RECOVERY_JSON_TEXT_H_
#define KEKD_CLUSTER_RECOVERY_JSON_TEXT_H_

#include "absl/strings/string_view.h"
#include "base/secret_builder.h"

namespace kekd {

// Whether the bytes are UTF-8 (RFC 3629: shortest forms, no surrogates), and so may be JSON text.
bool IsUtf8(absl::string_view bytes);

// Appends a JSON string (RFC 8259, section 7) of a text that is UTF-8, with its quotes.
void AppendJsonString(absl::string_view text, SecretBuilder& out);

}  // namespace kekd

#endif  // KEKD_CLUSTER_RECOVERY_JSON_TEXT_H_
