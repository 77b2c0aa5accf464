// How a value in etcd is stored, told without any key.
#ifndef KEKD_CLUSTER_STORAGE_VALUE_H_
#define KEKD_CLUSTER_STORAGE_VALUE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "cluster/encrypted_object.h"

namespace kekd {

// The providers of an EncryptionConfiguration, by the prefix they write.
enum class StorageKind {
  kPlaintext,        // identity: an object as protobuf, JSON or CBOR
  kAesCbc,           // k8s:enc:aescbc:v1:<key name>:
  kAesGcm,           // k8s:enc:aesgcm:v1:<key name>:
  kSecretbox,        // k8s:enc:secretbox:v1:<key name>:
  kKmsV1,            // k8s:enc:kms:v1:<provider name>:
  kKmsV2,            // k8s:enc:kms:v2:<provider name>:
  kUnknownProvider,  // k8s:enc: and a provider that kube-apiserver does not have
  kUnrecognised,     // none of these
};
inline constexpr size_t kStorageKinds = 8;

absl::string_view ToString(StorageKind kind);  // "plaintext", "aescbc", "KMS v2", …

// A classified value; views of it, valid as long as it is.
struct StorageValue {
  StorageKind kind = StorageKind::kUnrecognised;
  // The provider's name for KMS, the key's name for the others with a key; of an unknown provider
  // what stands for it, "kms:v3". Cut off where the value ends.
  absl::string_view name;
  absl::string_view payload;  // what follows the prefix; the whole value if there is none
  EncryptedObject object;     // of KMS v2, if there is no defect
  // Why kube-apiserver could not decode this value whatever keys it has; empty if that can't be
  // told without a key. Never empty for kUnknownProvider and kUnrecognised.
  std::string defect;

  bool decodable() const { return defect.empty(); }
};

// Classifies by the prefix and checks what can be checked without a key: lengths, block sizes,
// framing. So a value whose end is missing is mostly not decodable.
//
// Names may contain ':' except with KMS v2, and what follows them is not marked off. The first ':'
// counts after which the rest has the provider's layout; of aesgcm and secretbox, whose layout is
// nothing but a minimum length, that is in practice the first one.
StorageValue ClassifyValue(absl::string_view value);

// The same for the beginning of a value (StoredObject::whole is false): by its prefix alone, with
// no payload and no object, and no defect where the prefix is whole.
StorageValue ClassifyBeginning(absl::string_view beginning);

}  // namespace kekd

#endif  // KEKD_CLUSTER_STORAGE_VALUE_H_
