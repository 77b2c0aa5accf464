// KMS v2's EncryptedObject: what follows the prefix of a value that a KMS v2 provider encrypted.
#ifndef KEKD_CLUSTER_ENCRYPTED_OBJECT_H_
#define KEKD_CLUSTER_ENCRYPTED_OBJECT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekd {

// What the DEK source is, by its number in the message.
enum class DekSourceType : uint8_t {
  kAesGcmKey = 0,  // an AES key that encrypts objects itself: Kubernetes 1.27, 1.28 by default
  kHkdfSha256XNonceAesGcmSeed = 1,  // each object's key is derived from it: all later ones
};

// EncryptedObject (k8s.io/apiserver, envelope/kmsv2/v2/api.proto) as views of the value it was read
// from, valid as long as that is. A value.
struct EncryptedObject {
  // kube-apiserver's limits, inclusive.
  static constexpr size_t kMaxKeyIdBytes = 1024;
  static constexpr size_t kMaxDekSourceBytes = 1024;
  static constexpr size_t kMaxAnnotationsBytes = size_t{32} * 1024;

  struct Annotation {
    absl::string_view key;
    absl::string_view value;
  };

  absl::string_view encrypted_data;
  absl::string_view key_id;
  absl::string_view encrypted_dek_source;
  DekSourceType dek_source_type = DekSourceType::kAesGcmKey;
  std::vector<Annotation> annotations;  // by key; kekd writes none

  // InvalidArgument, naming the rule, unless kube-apiserver would take the message: a protobuf
  // message with fields in any order, of a field given twice the last, unknown fields passed over
  // (groups, which no protobuf of Kubernetes has, are refused), that passes
  // ValidateEncryptedObject. Nothing is decrypted. Allocates only for annotations and errors.
  static absl::StatusOr<EncryptedObject> Parse(absl::string_view message);
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ENCRYPTED_OBJECT_H_
