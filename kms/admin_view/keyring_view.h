// A keyring as it is shown: without anything secret, wrapped or not.
#ifndef KEKD_KMS_ADMIN_VIEW_KEYRING_VIEW_H_
#define KEKD_KMS_ADMIN_VIEW_KEYRING_VIEW_H_

#include "kekd/admin/v1/admin.pb.h"
#include "keystore/keyring.h"
#include "keystore/open_keyring.h"

namespace kekd {

// The same message whether kekd answers with it or kekctl makes it from the files. `opened` may be
// null: then no version has a problem, as none was tried.
admin::v1::Keyring KeyringToView(const Keyring& keyring, const OpenKeyring* opened);

}  // namespace kekd

#endif  // KEKD_KMS_ADMIN_VIEW_KEYRING_VIEW_H_
