#include "hsm/pkcs11/message_gcm.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/attributes.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/pkcs11/gcm.h"

namespace kekd {
namespace {

constexpr size_t kNonceBytes = 12;

GcmMessageParameters Parameters(std::array<uint8_t, kNonceBytes>& nonce,
                                std::array<uint8_t, kGcmTagBytes>& tag) {
  return {.iv = nonce.data(),
          .iv_bytes = nonce.size(),
          .iv_fixed_bits = 0,
          .iv_generator = kCkgGenerateRandom,
          .tag = tag.data(),
          .tag_bits = 8 * tag.size()};
}

absl::Status NoFunctions() {
  return CkRvError(CKR_FUNCTION_NOT_SUPPORTED, "C_MessageEncryptInit",
                   "the module has no interface of PKCS#11 3.0");
}

}  // namespace

absl::StatusOr<std::string> MessageGcmSeal(const Module& module, CK_SESSION_HANDLE session,
                                           CK_OBJECT_HANDLE key, const SecretBytes& plaintext,
                                           ByteView associated_data) {
  if (plaintext.empty() || plaintext.size() > kMaxGcmPlaintextBytes || associated_data.empty()) {
    return absl::InvalidArgumentError(
        "a plaintext of 1 to 4096 bytes and associated data are needed");
  }
  const FunctionList3* const functions = module.messages();
  if (functions == nullptr) return NoFunctions();
  CK_MECHANISM with = {CKM_AES_GCM, nullptr, 0};
  KEKD_RETURN_IF_ERROR(
      CheckRv(functions->C_MessageEncryptInit(session, &with, key), "C_MessageEncryptInit"));
  std::array<uint8_t, kNonceBytes> nonce = {};
  std::array<uint8_t, kGcmTagBytes> tag = {};
  GcmMessageParameters parameters = Parameters(nonce, tag);
  const ByteView input = plaintext.Reveal(SecretAccessToken());
  // Room for a tag too: some modules ask for as much as they will ever write.
  std::string sealed(kNonceBytes + input.size() + kGcmTagBytes, '\0');
  CK_ULONG size = sealed.size() - kNonceBytes;
  KEKD_RETURN_IF_ERROR(
      CheckRv(functions->C_EncryptMessage(session, &parameters, sizeof(parameters),
                                          Unconst(associated_data.data()), associated_data.size(),
                                          Unconst(input.data()), input.size(),
                                          AsWritableBytes(sealed).data() + kNonceBytes, &size),
              "C_EncryptMessage"));
  KEKD_RETURN_IF_ERROR(CheckRv(functions->C_MessageEncryptFinal(session), "C_MessageEncryptFinal"));
  if (size != input.size()) {
    return absl::UnavailableError(
        absl::StrCat("C_EncryptMessage gave ", size, " bytes instead of ", input.size()));
  }
  if (std::all_of(nonce.begin(), nonce.end(), [](uint8_t b) { return b == 0; })) {
    return absl::UnavailableError("C_EncryptMessage left the initialisation vector zero");
  }
  std::copy(nonce.begin(), nonce.end(), sealed.begin());
  std::copy(tag.begin(), tag.end(), sealed.end() - static_cast<ptrdiff_t>(kGcmTagBytes));
  return sealed;
}

absl::StatusOr<SecretBytes> MessageGcmOpen(const Module& module, CK_SESSION_HANDLE session,
                                           CK_OBJECT_HANDLE key, ByteView sealed,
                                           ByteView associated_data) {
  if (sealed.size() <= kNonceBytes + kGcmTagBytes || associated_data.empty() ||
      sealed.size() > kNonceBytes + kMaxGcmPlaintextBytes + kGcmTagBytes) {
    return absl::InvalidArgumentError("the ciphertext has no size that one can have");
  }
  const FunctionList3* const functions = module.messages();
  if (functions == nullptr) return NoFunctions();
  CK_MECHANISM with = {CKM_AES_GCM, nullptr, 0};
  KEKD_RETURN_IF_ERROR(
      CheckRv(functions->C_MessageDecryptInit(session, &with, key), "C_MessageDecryptInit"));
  std::array<uint8_t, kNonceBytes> nonce = {};
  std::array<uint8_t, kGcmTagBytes> tag = {};
  std::copy_n(sealed.begin(), kNonceBytes, nonce.begin());
  std::copy(sealed.end() - static_cast<ptrdiff_t>(kGcmTagBytes), sealed.end(), tag.begin());
  GcmMessageParameters parameters = Parameters(nonce, tag);
  const ByteView input = sealed.subspan(kNonceBytes, sealed.size() - kNonceBytes - kGcmTagBytes);
  SecretBytes plaintext(input.size() + kGcmTagBytes);
  CK_ULONG size = plaintext.size();
  KEKD_RETURN_IF_ERROR(CheckRv(
      functions->C_DecryptMessage(session, &parameters, sizeof(parameters),
                                  Unconst(associated_data.data()), associated_data.size(),
                                  Unconst(input.data()), input.size(),
                                  plaintext.RevealMutable(SecretAccessToken()).data(), &size),
      "C_DecryptMessage"));
  KEKD_RETURN_IF_ERROR(CheckRv(functions->C_MessageDecryptFinal(session), "C_MessageDecryptFinal"));
  if (size != input.size()) {
    return absl::UnavailableError(
        absl::StrCat("C_DecryptMessage gave ", size, " bytes instead of ", input.size()));
  }
  plaintext.Truncate(size);
  return plaintext;
}

}  // namespace kekd
