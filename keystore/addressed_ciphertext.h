// Which key a ciphertext is for.
#ifndef KEKD_KEYSTORE_ADDRESSED_CIPHERTEXT_H_
#define KEKD_KEYSTORE_ADDRESSED_CIPHERTEXT_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "keystore/ciphertext.h"
#include "keystore/open_keyring.h"

namespace kekd {

// A ciphertext and the one key that may open it. Views of both.
struct AddressedCiphertext {
  const OpenKeyring::Entry* entry = nullptr;  // its key may be null: then `status` says why
  Ciphertext ciphertext;
};

// THE rule of decryption: the key_id that came with a ciphertext and the version in its header have
// to name the same key, and no key is ever tried. NotFound if the ring has no such key_id;
// FailedPrecondition if that key has been destroyed; InvalidArgument if the ciphertext is none of
// that key's or came with annotations, of which kekd writes none; Unimplemented if it is of a newer
// format.
absl::StatusOr<AddressedCiphertext> AddressCiphertext(const OpenKeyring& keyring,
                                                      absl::string_view ciphertext,
                                                      absl::string_view key_id, size_t annotations);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_ADDRESSED_CIPHERTEXT_H_
