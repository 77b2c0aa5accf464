// JSON written into locked memory.
#ifndef KEKD_CLUSTER_RECOVERY_JSON_TEXT_H_
#define KEKD_CLUSTER_RECOVERY_JSON_TEXT_H_

#include "absl/strings/string_view.h"
#include "base/secret_builder.h"

namespace kekd {

// Appends a JSON string (RFC 8259, section 7) of a text that is UTF-8, with its quotes.
void AppendJsonString(absl::string_view text, SecretBuilder& out);

}  // namespace kekd

#endif  // KEKD_CLUSTER_RECOVERY_JSON_TEXT_H_
