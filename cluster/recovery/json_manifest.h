// Objects that kube-apiserver stores as JSON, as manifests.
#ifndef KEKD_CLUSTER_RECOVERY_JSON_MANIFEST_H_
#define KEKD_CLUSTER_RECOVERY_JSON_MANIFEST_H_

#include <optional>

#include "absl/strings/string_view.h"
#include "base/secret_bytes.h"

namespace kekd {

// The object (custom resources and their definitions are stored as JSON) without what belongs to
// the old cluster: of its metadata uid, resourceVersion, generation, creationTimestamp, selfLink,
// managedFields, ownerReferences and the marks of a deletion. An API server would refuse some of
// these, and delete what has an owner that is not there. The rest stays byte for byte. None if it
// is no JSON object with metadata, as far as its brackets, strings and commas tell: numbers, words
// and the characters in a string are not looked at.
std::optional<SecretBytes> MakeJsonManifest(absl::string_view object);

}  // namespace kekd

#endif  // KEKD_CLUSTER_RECOVERY_JSON_MANIFEST_H_
