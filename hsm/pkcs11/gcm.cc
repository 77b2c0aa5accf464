#include "hsm/pkcs11/gcm.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/attributes.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/token/nonce_history.h"

namespace kekd {
namespace {

constexpr size_t kNonceBytes = GcmNonceBytes(KeyMechanism::kGcmTokenIv);
constexpr size_t kAppendedNonceBytes = GcmNonceBytes(KeyMechanism::kGcmTokenIvAppended);

CK_GCM_PARAMS Parameters(absl::Span<uint8_t> nonce, ByteView associated_data) {
  CK_GCM_PARAMS parameters = {};
  parameters.pIv = nonce.empty() ? nullptr : nonce.data();
  parameters.ulIvLen = nonce.size();
  parameters.ulIvBits = 8 * nonce.size();
  parameters.pAAD = Unconst(associated_data.data());
  parameters.ulAADLen = associated_data.size();
  parameters.ulTagBits = 8 * kGcmTagBytes;
  return parameters;
}

}  // namespace

absl::StatusOr<std::string> GcmSeal(const Module& module, CK_SESSION_HANDLE session,
                                    CK_OBJECT_HANDLE key, KeyMechanism mechanism,
                                    const RandomSource& random, const SecretBytes& plaintext,
                                    ByteView associated_data) {
  if (plaintext.empty() || plaintext.size() > kMaxGcmPlaintextBytes || associated_data.empty()) {
    return absl::InvalidArgumentError(
        "a plaintext of 1 to 4096 bytes and associated data are needed");
  }
  std::array<uint8_t, kNonceBytes> nonce = {};
  if (mechanism == KeyMechanism::kGcmCallerIv) {
    // Not the token's (C_GenerateRandom), which in a network costs as much as the encryption.
    KEKD_RETURN_IF_ERROR(random.FillNonce(absl::MakeSpan(nonce)));
  }
  const bool appended = mechanism == KeyMechanism::kGcmTokenIvAppended;
  CK_GCM_PARAMS parameters =
      Parameters(appended ? absl::Span<uint8_t>() : absl::MakeSpan(nonce), associated_data);
  CK_MECHANISM with = {CKM_AES_GCM, &parameters, sizeof(parameters)};
  KEKD_RETURN_IF_ERROR(CheckRv(module->C_EncryptInit(session, &with, key), "C_EncryptInit"));

  // The output goes where it belongs in the result; there is room for what a token may append.
  const size_t expected = plaintext.size() + kGcmTagBytes + (appended ? kAppendedNonceBytes : 0);
  std::string sealed(kNonceBytes + plaintext.size() + kGcmTagBytes + kAppendedNonceBytes, '\0');
  CK_ULONG size = sealed.size() - kNonceBytes;
  const ByteView input = plaintext.Reveal(SecretAccessToken());
  const absl::Span<uint8_t> bytes = AsWritableBytes(sealed);
  KEKD_RETURN_IF_ERROR(CheckRv(module->C_Encrypt(session, Unconst(input.data()), input.size(),
                                                 bytes.data() + kNonceBytes, &size),
                               "C_Encrypt"));
  if (size != expected) {
    return absl::UnavailableError(absl::StrCat("C_Encrypt gave ", size, " bytes instead of ",
                                               expected, " for ", input.size()));
  }
  const auto is_zero = [](ByteView made) {
    return std::all_of(made.begin(), made.end(), [](uint8_t b) { return b == 0; });
  };
  const absl::Status zero = absl::UnavailableError("C_Encrypt left the initialisation vector zero");
  if (appended) {
    const std::string appended_nonce =
        sealed.substr(kNonceBytes + size - kAppendedNonceBytes, kAppendedNonceBytes);
    if (is_zero(AsBytes(appended_nonce))) return zero;
    return absl::StrCat(appended_nonce, sealed.substr(kNonceBytes, size - kAppendedNonceBytes));
  }
  // What is in the parameter now is what counts: a token may have replaced ours.
  if (is_zero(nonce)) return zero;
  std::copy(nonce.begin(), nonce.end(), bytes.begin());
  sealed.resize(kNonceBytes + size);
  return sealed;
}

absl::StatusOr<SecretBytes> GcmOpen(const Module& module, CK_SESSION_HANDLE session,
                                    CK_OBJECT_HANDLE key, KeyMechanism mechanism, ByteView sealed,
                                    ByteView associated_data) {
  const size_t nonce_size = GcmNonceBytes(mechanism);
  if (sealed.size() <= nonce_size + kGcmTagBytes || associated_data.empty() ||
      sealed.size() > nonce_size + kMaxGcmPlaintextBytes + kGcmTagBytes) {
    return absl::InvalidArgumentError("the ciphertext has no size that one can have");
  }
  std::array<uint8_t, kAppendedNonceBytes> nonce = {};
  std::copy_n(sealed.begin(), nonce_size, nonce.begin());
  CK_GCM_PARAMS parameters = Parameters(absl::MakeSpan(nonce).first(nonce_size), associated_data);
  CK_MECHANISM with = {CKM_AES_GCM, &parameters, sizeof(parameters)};
  KEKD_RETURN_IF_ERROR(CheckRv(module->C_DecryptInit(session, &with, key), "C_DecryptInit"));

  const ByteView input = sealed.subspan(nonce_size);
  // Room for the tag too: some modules ask for as much as they are given.
  SecretBytes plaintext(input.size());
  CK_ULONG size = plaintext.size();
  KEKD_RETURN_IF_ERROR(
      CheckRv(module->C_Decrypt(session, Unconst(input.data()), input.size(),
                                plaintext.RevealMutable(SecretAccessToken()).data(), &size),
              "C_Decrypt"));
  if (size != input.size() - kGcmTagBytes) {
    return absl::UnavailableError(
        absl::StrCat("C_Decrypt gave ", size, " bytes instead of ", input.size() - kGcmTagBytes));
  }
  plaintext.Truncate(size);
  return plaintext;
}

}  // namespace kekd
