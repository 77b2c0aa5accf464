#include "hsm/pkcs11/cbc_hmac.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/attributes.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/token/key_reference.h"

namespace kekd {
namespace {

constexpr size_t kMacBytes = 32;
// What follows the one-time key under AES-CBC. The MAC speaks for the HMAC key alone; another AES
// key shows by this block.
constexpr absl::string_view kCheck = "kekd/cbc-check/1";
constexpr size_t kPlaintextBytes = kOneTimeKeyBytes + kCheck.size();
static_assert(kPlaintextBytes % 16 == 0);
constexpr size_t kMacAt = kCbcIvBytes + kPlaintextBytes;
using Mac = std::array<uint8_t, kMacBytes>;

// Made on the token and compared here: C_Verify would be one more function that a token must have.
absl::StatusOr<Mac> MacOf(const Module& module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                          ByteView data) {
  CK_MECHANISM with = {CKM_SHA256_HMAC, nullptr, 0};
  KEKD_RETURN_IF_ERROR(CheckRv(module->C_SignInit(session, &with, key), "C_SignInit"));
  Mac mac = {};
  CK_ULONG size = mac.size();
  KEKD_RETURN_IF_ERROR(CheckRv(
      module->C_Sign(session, Unconst(data.data()), data.size(), mac.data(), &size), "C_Sign"));
  if (size != mac.size()) {
    return absl::UnavailableError(absl::StrCat("C_Sign gave ", size, " bytes instead of 32"));
  }
  return mac;
}

}  // namespace

absl::StatusOr<std::string> CbcHmacSeal(const Module& module, CK_SESSION_HANDLE session,
                                        CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE mac_key,
                                        const RandomSource& random, const SecretBytes& plaintext) {
  std::string sealed(kMacAt, '\0');
  const absl::Span<uint8_t> bytes = AsWritableBytes(sealed);
  KEKD_RETURN_IF_ERROR(random.FillNonce(bytes.first(kCbcIvBytes)));
  CK_MECHANISM with = {CKM_AES_CBC, bytes.data(), kCbcIvBytes};
  KEKD_RETURN_IF_ERROR(CheckRv(module->C_EncryptInit(session, &with, key), "C_EncryptInit"));
  const ByteView one_time_key = plaintext.Reveal(SecretAccessToken());
  SecretBytes checked(kPlaintextBytes);
  const absl::Span<uint8_t> input = checked.RevealMutable(SecretAccessToken());
  std::copy_n(one_time_key.begin(), kOneTimeKeyBytes, input.begin());
  std::copy(kCheck.begin(), kCheck.end(), input.begin() + kOneTimeKeyBytes);
  CK_ULONG size = kPlaintextBytes;
  KEKD_RETURN_IF_ERROR(CheckRv(
      module->C_Encrypt(session, input.data(), input.size(), bytes.data() + kCbcIvBytes, &size),
      "C_Encrypt"));
  if (size != kPlaintextBytes) {
    return absl::UnavailableError(absl::StrCat("C_Encrypt gave ", size, " bytes instead of 48"));
  }
  KEKD_ASSIGN_OR_RETURN(const Mac mac, MacOf(module, session, mac_key, AsBytes(sealed)));
  sealed.append(mac.begin(), mac.end());
  return sealed;
}

absl::StatusOr<SecretBytes> CbcHmacOpen(const Module& module, CK_SESSION_HANDLE session,
                                        CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE mac_key,
                                        ByteView sealed) {
  if (sealed.size() != kMacAt + kMacBytes) {
    return absl::InvalidArgumentError("the ciphertext has no size that one can have");
  }
  KEKD_ASSIGN_OR_RETURN(const Mac mac, MacOf(module, session, mac_key, sealed.first(kMacAt)));
  if (CRYPTO_memcmp(mac.data(), sealed.data() + kMacAt, kMacBytes) != 0) {
    return CkRvError(CKR_SIGNATURE_INVALID, "HMAC", "it is another one");
  }
  std::array<uint8_t, kCbcIvBytes> iv = {};
  std::copy_n(sealed.begin(), kCbcIvBytes, iv.begin());
  CK_MECHANISM with = {CKM_AES_CBC, iv.data(), iv.size()};
  KEKD_RETURN_IF_ERROR(CheckRv(module->C_DecryptInit(session, &with, key), "C_DecryptInit"));
  SecretBytes plaintext(kPlaintextBytes);
  CK_ULONG size = plaintext.size();
  const ByteView input = sealed.subspan(kCbcIvBytes, kPlaintextBytes);
  KEKD_RETURN_IF_ERROR(
      CheckRv(module->C_Decrypt(session, Unconst(input.data()), input.size(),
                                plaintext.RevealMutable(SecretAccessToken()).data(), &size),
              "C_Decrypt"));
  if (size != kPlaintextBytes) {
    return absl::UnavailableError(absl::StrCat("C_Decrypt gave ", size, " bytes instead of 48"));
  }
  if (CRYPTO_memcmp(plaintext.Reveal(SecretAccessToken()).data() + kOneTimeKeyBytes, kCheck.data(),
                    kCheck.size()) != 0) {
    return CkRvError(CKR_ENCRYPTED_DATA_INVALID, "C_Decrypt", "it is of another AES key");
  }
  plaintext.Truncate(kOneTimeKeyBytes);
  return plaintext;
}

}  // namespace kekd
