// Values as API servers write them, for tests.
#ifndef KEKD_TESTS_CLUSTER_ETCD_VALUES_H_
#define KEKD_TESTS_CLUSTER_ETCD_VALUES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace kekd::testing {

// Field `number` of a protobuf message.
std::string BytesField(uint32_t number, absl::string_view content);
std::string VarintField(uint32_t number, uint64_t value);

// An EncryptedObject without its prefix.
struct ObjectFields {
  std::string encrypted_data = std::string(60, 'd');
  std::string key_id = "kek-1";
  std::string dek_source = "wrapped-seed";
  std::vector<std::pair<std::string, std::string>> annotations = {};
  uint64_t type = 1;

  std::string Message() const;
  // With the prefix of that provider.
  std::string Value(absl::string_view provider = "kekd") const;
};

// A Secret in clear, as protobuf.
std::string PlaintextProtobuf();

// What k8s.io/apiserver writes for the plaintext "hello" under the key
// /registry/secrets/default/test: DEK source 00..1f, key id kek-1; verified with its own code.
inline constexpr absl::string_view kVectorKey = "/registry/secrets/default/test";
std::string SeedVector();    // type 1
std::string AesKeyVector();  // type 0, which Kubernetes 1.27 wrote

}  // namespace kekd::testing

#endif  // KEKD_TESTS_CLUSTER_ETCD_VALUES_H_
