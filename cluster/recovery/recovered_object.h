// What a person gets who needs an object without an API server.
#ifndef KEKD_CLUSTER_RECOVERY_RECOVERED_OBJECT_H_
#define KEKD_CLUSTER_RECOVERY_RECOVERED_OBJECT_H_

#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"

namespace kekd {

// The form of a recovered object.
enum class RecoveredForm {
  kManifest,  // JSON that 'kubectl apply' takes
  kStored,    // the bytes as kube-apiserver stores them, unencrypted
};

// The ending of a file with such content: ".json" or ".stored".
absl::string_view FileEnding(RecoveredForm form);

struct RecoveredObject {
  RecoveredForm form = RecoveredForm::kStored;
  SecretBytes content;
};

// Makes a manifest of an object as kube-apiserver stores it, unencrypted: of core v1 Secrets and
// ConfigMaps in the protobuf storage encoding (k8s.io/apimachinery, runtime.Unknown behind
// "k8s\0"), and of whatever is stored as JSON (custom resources), without what json_manifest.h
// leaves out. A manifest has the name, namespace, labels, annotations, finalizers and content, and
// nothing that belongs to the old cluster (uid, resourceVersion, times, owners, managedFields).
// Anything else comes back as stored, since its type is not known here: nothing is ever lost. All
// in locked memory.
RecoveredObject MakeRecovered(const SecretBytes& stored);

}  // namespace kekd

#endif  // KEKD_CLUSTER_RECOVERY_RECOVERED_OBJECT_H_
