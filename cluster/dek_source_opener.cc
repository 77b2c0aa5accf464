#include "cluster/dek_source_opener.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "keystore/addressed_ciphertext.h"
#include "keystore/canary.h"

namespace kekd {
namespace {

// Of a backend that a repetition may find well again.
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status) || absl::IsCancelled(status) || absl::IsAborted(status);
}

absl::Status Unusable(const OpenKeyring& keyring, const OpenKeyring::Entry& entry,
                      const absl::Status& why) {
  return absl::UnavailableError(absl::StrCat("key version ", entry.version->number,
                                             " of keyring \"", keyring.keyring().identity().name,
                                             "\" can't be used: ", why.message()));
}

class KeyringDekSourceOpener final : public DekSourceOpener {
 public:
  explicit KeyringDekSourceOpener(std::vector<std::shared_ptr<const OpenKeyring>> keyrings)
      : keyrings_(std::move(keyrings)) {}

  absl::StatusOr<SecretBytes> Open(absl::string_view encrypted_source, absl::string_view key_id,
                                   size_t annotations, absl::Time deadline) const override {
    absl::Status failure = absl::NotFoundError("none of the keyrings has its key");
    for (const std::shared_ptr<const OpenKeyring>& keyring : keyrings_) {
      const absl::StatusOr<AddressedCiphertext> addressed =
          AddressCiphertext(*keyring, encrypted_source, key_id, annotations);
      if (absl::IsNotFound(addressed.status())) continue;
      // Of two copies of a ring the other may have a key that is gone in this one.
      if (absl::IsFailedPrecondition(addressed.status())) {
        if (absl::IsNotFound(failure)) failure = absl::NotFoundError(addressed.status().message());
        continue;
      }
      if (!addressed.ok()) return addressed.status();
      absl::StatusOr<SecretBytes> source = OpenWith(*keyring, *addressed, deadline);
      if (source.ok() || absl::IsInvalidArgument(source.status())) return source;
      failure = source.status();
    }
    return failure;
  }

 private:
  static absl::StatusOr<SecretBytes> OpenWith(const OpenKeyring& keyring,
                                              const AddressedCiphertext& addressed,
                                              absl::Time deadline) {
    const OpenKeyring::Entry& entry = *addressed.entry;
    if (entry.key == nullptr) return Unusable(keyring, entry, entry.status);
    absl::StatusOr<SecretBytes> source = Decrypt(addressed, deadline);
    if (source.ok()) return source;
    const absl::Status first = source.status();
    absl::Status canary = CheckCanary(keyring, entry, deadline);
    if (!canary.ok()) return Unusable(keyring, entry, canary);
    if (absl::IsInvalidArgument(first)) return first;
    // Not every device says of altered data that it is altered. One that works and refuses this one
    // twice, neither time for a passing reason, has said so.
    source = Decrypt(addressed, deadline);
    if (source.ok()) return source;
    canary = CheckCanary(keyring, entry, deadline);
    if (!canary.ok()) return Unusable(keyring, entry, canary);
    const absl::Status& second = source.status();
    if (absl::IsInvalidArgument(second)) return second;
    if (IsPassing(first) || IsPassing(second)) return Unusable(keyring, entry, second);
    return absl::InvalidArgumentError(second.message());
  }

  static absl::StatusOr<SecretBytes> Decrypt(const AddressedCiphertext& addressed,
                                             absl::Time deadline) {
    return addressed.entry->key->Decrypt(addressed.ciphertext.sealed,
                                         AsBytes(addressed.entry->associated_data), deadline);
  }

  static absl::Status CheckCanary(const OpenKeyring& keyring, const OpenKeyring::Entry& entry,
                                  absl::Time deadline) {
    return kekd::CheckCanary(keyring.keyring().identity(), *entry.version, *entry.key, deadline);
  }

  const std::vector<std::shared_ptr<const OpenKeyring>> keyrings_;
};

}  // namespace

std::unique_ptr<const DekSourceOpener> CreateKeyringDekSourceOpener(
    std::vector<std::shared_ptr<const OpenKeyring>> keyrings) {
  return std::make_unique<const KeyringDekSourceOpener>(std::move(keyrings));
}

}  // namespace kekd
