#include "keystore/open_keyring.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/at_once.h"
#include "base/status_macros.h"
#include "keystore/canary.h"
#include "keystore/ciphertext.h"

namespace kekd {
namespace {

absl::StatusOr<std::shared_ptr<const BackendKey>> OpenAndCheck(const RingIdentity& ring,
                                                               const KeyVersion& version,
                                                               const BackendSet& backends,
                                                               absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(KeyBackend* const backend, backends.Find(version.backend));
  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<const BackendKey> key,
                        backend->OpenKey({ring, version.number}, version.material, deadline));
  KEKD_RETURN_IF_ERROR(CheckCanary(ring, version, *key, deadline));
  return key;
}

void OpenEntry(const RingIdentity& ring, const BackendSet& backends, absl::Time deadline,
               OpenKeyring::Entry& entry) {
  absl::StatusOr<std::shared_ptr<const BackendKey>> key =
      OpenAndCheck(ring, *entry.version, backends, deadline);
  entry.status = key.status();
  if (key.ok()) entry.key = *std::move(key);
}

}  // namespace

std::shared_ptr<const OpenKeyring> OpenKeyring::Open(std::shared_ptr<const Keyring> keyring,
                                                     const BackendSet& backends,
                                                     const OpenKeyring* previous,
                                                     absl::Time deadline) {
  std::shared_ptr<OpenKeyring> opened(new OpenKeyring(std::move(keyring)));
  const Keyring& ring = *opened->keyring_;
  opened->entries_.reserve(ring.versions().size());
  std::vector<Entry*> on_devices;
  for (const KeyVersion& version : ring.versions()) {
    Entry& entry = opened->entries_.emplace_back();
    entry.version = &version;
    entry.associated_data =
        CiphertextAssociatedData(ring.identity(), version.material.algorithm, version.key_id);
    if (!CanDecrypt(version.state)) {
      entry.status =
          absl::NotFoundError(absl::StrCat("key version ", version.number, " has been destroyed"));
      continue;
    }
    const Entry* before = previous == nullptr ? nullptr : previous->Find(version.number);
    if (before != nullptr && before->key != nullptr && before->version->key_id == version.key_id) {
      entry.key = before->key;
      continue;
    }
    if (version.material.HasDeviceKey()) {
      on_devices.push_back(&entry);
    } else {
      OpenEntry(ring.identity(), backends, deadline, entry);
    }
  }
  ForEachAtOnce(on_devices.size(), kOpenAtOnce,
                [&](size_t i) { OpenEntry(ring.identity(), backends, deadline, *on_devices[i]); });
  if (const KeyVersion* primary = ring.Primary()) {
    opened->primary_ = &opened->entries_[primary->number - 1];
  }
  return opened;
}

const OpenKeyring::Entry* OpenKeyring::Find(uint32_t number) const {
  if (number == 0 || number > entries_.size()) return nullptr;
  return &entries_[number - 1];
}

absl::Status OpenKeyring::CheckDecrypts(uint32_t number, absl::Time deadline) const {
  const Entry* const entry = Find(number);
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat("no key version ", number));
  if (entry->key == nullptr) return WithContext(entry->status, "it can't be opened");
  KEKD_RETURN_IF_ERROR(CheckCanary(keyring_->identity(), *entry->version, *entry->key, deadline));
  return entry->key->ProveEverywhere(deadline);
}

const OpenKeyring::Entry* OpenKeyring::Find(const KeyId& key_id) const {
  const KeyVersion* version = keyring_->Find(key_id);
  return version == nullptr ? nullptr : Find(version->number);
}

}  // namespace kekd
