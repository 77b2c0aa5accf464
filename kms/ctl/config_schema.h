// The configuration's shape as a JSON schema, for editors and other tools.
#ifndef KEKD_KMS_CTL_CONFIG_SCHEMA_H_
#define KEKD_KMS_CTL_CONFIG_SCHEMA_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace kekd {

// manifests/kekd.schema.json, draft 7 of JSON Schema, in the words that older drafts have too.
absl::string_view ConfigSchema();

// InvalidArgument, with the place in the document, for YAML that the schema does not allow, and for
// what is no YAML. A field without a value is one that is not there, as for ParseConfig, and every
// scalar is a text. ParseConfig refuses more: a schema sees neither two values at a time nor users.
absl::Status CheckAgainstSchema(absl::string_view yaml, absl::string_view origin);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_CONFIG_SCHEMA_H_
