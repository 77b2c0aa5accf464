#include "keystore/addressed_ciphertext.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "keystore/key_id.h"

namespace kekd {

absl::StatusOr<AddressedCiphertext> AddressCiphertext(const OpenKeyring& keyring,
                                                      absl::string_view ciphertext,
                                                      absl::string_view key_id,
                                                      size_t annotations) {
  const std::string& ring = keyring.keyring().identity().name;
  const absl::StatusOr<Ciphertext> parsed = Ciphertext::Parse(AsBytes(ciphertext));
  // The header's number leads to the version whose key_id must be the given one; only where it is
  // not is the ring searched, to tell an unknown key_id from an altered header.
  const OpenKeyring::Entry* entry = parsed.ok() ? keyring.Find(parsed->version) : nullptr;
  if (entry == nullptr || entry->version->key_id.text() != key_id) {
    entry = keyring.Find(KeyId(key_id));
  }
  if (entry == nullptr) {
    return absl::NotFoundError(absl::StrCat(
        "keyring \"", ring, "\" has no key \"", absl::Utf8SafeCHexEscape(key_id.substr(0, 128)),
        "\": the data was encrypted by another keyring or cluster, or by a newer copy of this "
        "one"));
  }
  const uint32_t version = entry->version->number;
  if (!CanDecrypt(entry->version->state)) {
    return absl::FailedPreconditionError(
        absl::StrCat("key version ", version, " of keyring \"", ring, "\" has been destroyed"));
  }
  if (annotations != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the request carries ", annotations,
                     " annotations; kekd writes none, so this is not its data"));
  }
  if (!parsed.ok()) return parsed.status();
  if (parsed->version != version || parsed->algorithm != entry->version->material.algorithm) {
    return absl::InvalidArgumentError(absl::StrCat("the ciphertext names key version ",
                                                   parsed->version, " where its key_id names ",
                                                   version, ": one of them was altered"));
  }
  return AddressedCiphertext{entry, *parsed};
}

}  // namespace kekd
