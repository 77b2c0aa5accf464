// How kekctl comes to know a keyring.
#ifndef KEKD_KMS_CTL_KEYRING_READER_H_
#define KEKD_KMS_CTL_KEYRING_READER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/open_keyring.h"
#include "kms/config/config.h"

namespace kekd {

// The keyring with its keys, from the files. Takes no lock and writes nothing.
absl::StatusOr<std::shared_ptr<const OpenKeyring>> ReadKeyringFiles(FileSystem& fs,
                                                                    const Config& config,
                                                                    const KeyringConfig& keyring,
                                                                    absl::Time deadline);

// The keyring that kekd serves, or, if kekd is not running, that of the files.
absl::StatusOr<admin::v1::Keyring> ReadKeyring(FileSystem& fs, const Config& config,
                                               const KeyringConfig& keyring, absl::Time deadline);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_KEYRING_READER_H_
