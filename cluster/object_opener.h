// Decrypts objects of etcd as kube-apiserver would, to prove that it could.
#ifndef KEKD_CLUSTER_OBJECT_OPENER_H_
#define KEKD_CLUSTER_OBJECT_OPENER_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/secret_bytes.h"
#include "cluster/dek_source_opener.h"
#include "cluster/storage_value.h"

namespace kekd {

enum class OpenOutcome {
  kNotTried,  // not of KMS v2
  kOpened,
  kDamaged,      // no API server can read it, whatever keys there are
  kUnknownKey,   // its key is in none of the keyrings: nothing is known of the data
  kUnavailable,  // its key can't be used now: nothing is known of the data
};

absl::string_view ToString(OpenOutcome outcome);  // "opened", "damaged", …

// Why an object is damaged.
enum class Damage {
  kNone,
  kObject,  // altered, or moved to this key of etcd from another one
  // The encrypted DEK source or its annotations were altered, or the key_id to that of another
  // version. One that no keyring has is nothing but an unknown key.
  kDekSource,
  kStructure,  // the value, or what its DEK source opens to, has not the form it must have
};

absl::string_view ToString(Damage damage);  // "the object was altered or moved here", …

// ObjectOpener opens objects of KMS v2 (KEP-3299; k8s.io/apiserver, envelope/kmsv2 and aes/): the
// DEK source through a DekSourceOpener, with those opened last kept in locked memory since
// thousands of objects share one, then the object under the key that it gives. Not thread-safe.
class ObjectOpener final {
 public:
  static constexpr size_t kMaxCachedSources = 1024;
  // A key that was unavailable this many times in a row is not asked for again: a scan of a
  // million objects must not wait a million times for a token that is away.
  static constexpr int kMaxFailuresInARow = 5;

  struct Result {
    OpenOutcome outcome = OpenOutcome::kNotTried;
    Damage damage = Damage::kNone;
    absl::Status reason;    // OK if it was opened or not tried; no secret
    SecretBytes plaintext;  // if it was opened
  };

  // `sources` outlives the opener.
  explicit ObjectOpener(const DekSourceOpener& sources,
                        size_t max_cached_sources = kMaxCachedSources);

  // `key` is the object's key in etcd, which it is bound to. Does not wait beyond the deadline.
  Result Open(absl::string_view key, const StorageValue& value, absl::Time deadline);

 private:
  struct CachedSource {
    std::string name;  // what it was opened from
    absl::StatusOr<SecretBytes> source;
  };
  using Cache = std::list<CachedSource>;
  struct Failures {
    int in_a_row = 0;
    absl::Status last;
  };

  const absl::StatusOr<SecretBytes>& OpenSource(const EncryptedObject& object, absl::Time deadline);
  absl::StatusOr<SecretBytes> AskForSource(const EncryptedObject& object, absl::Time deadline);

  const DekSourceOpener& sources_;
  const size_t max_cached_sources_;
  Cache cache_;                                                      // the one used last is first
  absl::flat_hash_map<absl::string_view, Cache::iterator> by_name_;  // views of the entries' names
  std::string name_;                                                 // kept for its memory
  absl::StatusOr<SecretBytes> not_cached_;  // an answer that may be another one next time
  absl::flat_hash_map<std::string, Failures> failures_;  // by key id
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_OBJECT_OPENER_H_
