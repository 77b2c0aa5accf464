#include "kms/ctl/keyring_reader.h"

#include "base/status_macros.h"
#include "keystore/file_keyring_store.h"
#include "kms/admin_view/keyring_view.h"
#include "kms/ctl/admin_client.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {

absl::StatusOr<std::shared_ptr<const OpenKeyring>> ReadKeyringFiles(FileSystem& fs,
                                                                    const Config& config,
                                                                    const KeyringConfig& keyring,
                                                                    absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<FileKeyringStore> store,
                        FileKeyringStore::Open(StoreOptions(fs, config, keyring),
                                               FileKeyringStore::Access::kReadOnly));
  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<const Keyring> loaded, store->Load());
  KEKD_RETURN_IF_ERROR(CheckName(*loaded, keyring));
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const BackendSet> backends,
                        MakeBackends(fs, config, keyring, store->ring_key()));
  return OpenKeyring::Open(std::move(loaded), *backends, nullptr, deadline);
}

absl::StatusOr<admin::v1::Keyring> ReadKeyring(FileSystem& fs, const Config& config,
                                               const KeyringConfig& keyring, absl::Time deadline) {
  const absl::StatusOr<AdminClient> kekd = AdminClient::Connect(config);
  if (kekd.ok()) return kekd->GetKeyring(keyring.name, deadline);
  if (!absl::IsNotFound(kekd.status())) return kekd.status();
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const OpenKeyring> opened,
                        ReadKeyringFiles(fs, config, keyring, deadline));
  return KeyringToView(opened->keyring(), opened.get());
}

}  // namespace kekd
