#include "keystore/aead.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/openssl.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr size_t kGcmNonceBytes = 12;
constexpr size_t kXaesNonceBytes = 24;
constexpr size_t kBlockBytes = 16;

// Fetched once for the process: an implicit fetch at each operation costs as much as the operation.
const EVP_CIPHER* FetchedGcm() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  return cipher;
}

// Of the size of this key; null if AES has none.
const EVP_CIPHER* FetchedGcm(size_t key_bytes) {
  static const EVP_CIPHER* const aes128 = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
  static const EVP_CIPHER* const aes192 = EVP_CIPHER_fetch(nullptr, "AES-192-GCM", nullptr);
  switch (key_bytes) {
    case 16:
      return aes128;
    case 24:
      return aes192;
    case kAes256KeyBytes:
      return FetchedGcm();
    default:
      return nullptr;
  }
}

const EVP_CIPHER* FetchedEcb() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-ECB", nullptr);
  return cipher;
}

// A context of the cipher, without a key. Naming the cipher again with each key would make
// libcrypto free and allocate its state again.
absl::StatusOr<OpenSslPtr<EVP_CIPHER_CTX>> NewContext(const EVP_CIPHER* cipher) {
  OpenSslPtr<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new());
  if (context == nullptr ||
      EVP_CipherInit_ex2(context.get(), cipher, nullptr, nullptr, 1, nullptr) != 1) {
    return OpenSslError("EVP_CIPHER_CTX_new");
  }
  return context;
}

absl::Status NotAuthentic() {
  return absl::InvalidArgumentError(
      "the ciphertext does not authenticate: it was altered, or made under another key or for "
      "another purpose");
}

// AES-256-GCM (SP 800-38D) in a context of FetchedGcm(). out: ciphertext || tag.
absl::Status GcmSeal(EVP_CIPHER_CTX* context, const uint8_t* key, const uint8_t* nonce,
                     const SecretBytes& plaintext, ByteView associated_data, uint8_t* out) {
  const ByteView raw = plaintext.Reveal(SecretAccessToken());
  int n = 0;
  int tail = 0;
  if (EVP_EncryptInit_ex2(context, nullptr, key, nonce, nullptr) != 1 ||
      EVP_EncryptUpdate(context, nullptr, &n, associated_data.data(),
                        static_cast<int>(associated_data.size())) != 1 ||
      EVP_EncryptUpdate(context, out, &n, raw.data(), static_cast<int>(raw.size())) != 1 ||
      EVP_EncryptFinal_ex(context, out + n, &tail) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kAeadTagBytes),
                          out + raw.size()) != 1) {
    return OpenSslError("AES-256-GCM encryption");
  }
  return absl::OkStatus();
}

absl::StatusOr<SecretBytes> GcmOpen(EVP_CIPHER_CTX* context, const uint8_t* key,
                                    const uint8_t* nonce, ByteView ciphertext_and_tag,
                                    ByteView associated_data) {
  const size_t size = ciphertext_and_tag.size() - kAeadTagBytes;
  std::array<uint8_t, kAeadTagBytes> tag;
  memcpy(tag.data(), ciphertext_and_tag.data() + size, tag.size());
  SecretBytes plaintext(size);
  uint8_t* const out = plaintext.RevealMutable(SecretAccessToken()).data();
  int n = 0;
  int tail = 0;
  if (EVP_DecryptInit_ex2(context, nullptr, key, nonce, nullptr) != 1 ||
      EVP_DecryptUpdate(context, nullptr, &n, associated_data.data(),
                        static_cast<int>(associated_data.size())) != 1 ||
      EVP_DecryptUpdate(context, out, &n, ciphertext_and_tag.data(), static_cast<int>(size)) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag.size()),
                          tag.data()) != 1) {
    return OpenSslError("AES-256-GCM decryption");
  }
  // The one call that fails for what the caller sent; libcrypto puts no error in its queue for it.
  if (EVP_DecryptFinal_ex(context, out + n, &tail) != 1) return NotAuthentic();
  return plaintext;
}

absl::Status CheckSizes(size_t plaintext_size, size_t associated_data_size) {
  constexpr size_t kMax = std::numeric_limits<int>::max() / 2;
  if (plaintext_size > kMax || associated_data_size > kMax) {
    return absl::InvalidArgumentError("the plaintext or associated data is too large");
  }
  return absl::OkStatus();
}

class Aes256Gcm final : public Aead {
 public:
  Aes256Gcm(SecretBytes key, OpenSslPtr<EVP_CIPHER_CTX> context, const RandomSource& random)
      : key_(std::move(key)), random_(random), context_(std::move(context)) {}

  Algorithm algorithm() const override { return Algorithm::kAes256Gcm; }

  absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext,
                                      ByteView associated_data) const override {
    KEKD_RETURN_IF_ERROR(CheckSizes(plaintext.size(), associated_data.size()));
    std::string sealed(kGcmNonceBytes + plaintext.size() + kAeadTagBytes, '\0');
    const absl::Span<uint8_t> out = AsWritableBytes(sealed);
    // Not FillNonce: SP 800-38D, section 8.2.2, wants an approved generator.
    KEKD_RETURN_IF_ERROR(random_.Fill(out.first(kGcmNonceBytes)));
    MutexLock lock(&mu_);
    KEKD_RETURN_IF_ERROR(GcmSeal(context_.get(), RawKey(), out.data(), plaintext, associated_data,
                                 out.data() + kGcmNonceBytes));
    return sealed;
  }

  absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data) const override {
    KEKD_RETURN_IF_ERROR(CheckSizes(sealed.size(), associated_data.size()));
    if (sealed.size() < kGcmNonceBytes + kAeadTagBytes) return NotAuthentic();
    MutexLock lock(&mu_);
    return GcmOpen(context_.get(), RawKey(), sealed.data(), sealed.subspan(kGcmNonceBytes),
                   associated_data);
  }

 private:
  const uint8_t* RawKey() const { return key_.Reveal(SecretAccessToken()).data(); }

  const SecretBytes key_;
  const RandomSource& random_;
  mutable Mutex mu_;
  const OpenSslPtr<EVP_CIPHER_CTX> context_ ABSL_GUARDED_BY(mu_);
};

// XAES-256-GCM (C2SP, xaes-256-gcm.md): AES-256-GCM under a key derived from the first half of a
// 24-byte nonce by CMAC (SP 800-108r1 in counter mode), with the second half as its nonce.
class Xaes256Gcm final : public Aead {
 public:
  static absl::StatusOr<std::unique_ptr<const Aead>> Create(const SecretBytes& key,
                                                            const RandomSource& random) {
    KEKD_ASSIGN_OR_RETURN(OpenSslPtr<EVP_CIPHER_CTX> ecb, NewContext(FetchedEcb()));
    KEKD_ASSIGN_OR_RETURN(OpenSslPtr<EVP_CIPHER_CTX> gcm, NewContext(FetchedGcm()));
    if (EVP_EncryptInit_ex2(ecb.get(), nullptr, key.Reveal(SecretAccessToken()).data(), nullptr,
                            nullptr) != 1 ||
        EVP_CIPHER_CTX_set_padding(ecb.get(), 0) != 1) {
      return OpenSslError("AES-256 key schedule");
    }
    // CMAC's first subkey (SP 800-38B, section 6.1): L = AES(0), doubled in GF(2^128).
    SecretBytes k1(kBlockBytes);
    const absl::Span<uint8_t> l = k1.RevealMutable(SecretAccessToken());
    int n = 0;
    if (EVP_EncryptUpdate(ecb.get(), l.data(), &n, l.data(), kBlockBytes) != 1) {
      return OpenSslError("AES-256");
    }
    const uint8_t carry = l[0] >> 7;
    for (size_t i = 0; i + 1 < kBlockBytes; ++i) {
      l[i] = static_cast<uint8_t>(l[i] << 1 | l[i + 1] >> 7);
    }
    l[kBlockBytes - 1] = static_cast<uint8_t>(l[kBlockBytes - 1] << 1 ^ carry * 0x87);
    return std::unique_ptr<const Aead>(
        new Xaes256Gcm(std::move(ecb), std::move(gcm), std::move(k1), random));
  }

  Algorithm algorithm() const override { return Algorithm::kXaes256Gcm; }

  absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext,
                                      ByteView associated_data) const override {
    KEKD_RETURN_IF_ERROR(CheckSizes(plaintext.size(), associated_data.size()));
    std::string sealed(kXaesNonceBytes + plaintext.size() + kAeadTagBytes, '\0');
    const absl::Span<uint8_t> out = AsWritableBytes(sealed);
    KEKD_RETURN_IF_ERROR(random_.FillNonce(out.first(kXaesNonceBytes)));
    MutexLock lock(&mu_);
    KEKD_RETURN_IF_ERROR(DeriveLocked(out.data()));
    KEKD_RETURN_IF_ERROR(GcmSeal(gcm_.get(), DerivedKeyLocked(), out.data() + kGcmNonceBytes,
                                 plaintext, associated_data, out.data() + kXaesNonceBytes));
    return sealed;
  }

  absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data) const override {
    KEKD_RETURN_IF_ERROR(CheckSizes(sealed.size(), associated_data.size()));
    if (sealed.size() < kXaesNonceBytes + kAeadTagBytes) return NotAuthentic();
    MutexLock lock(&mu_);
    KEKD_RETURN_IF_ERROR(DeriveLocked(sealed.data()));
    return GcmOpen(gcm_.get(), DerivedKeyLocked(), sealed.data() + kGcmNonceBytes,
                   sealed.subspan(kXaesNonceBytes), associated_data);
  }

 private:
  Xaes256Gcm(OpenSslPtr<EVP_CIPHER_CTX> ecb, OpenSslPtr<EVP_CIPHER_CTX> gcm, SecretBytes k1,
             const RandomSource& random)
      : k1_(std::move(k1)),
        random_(random),
        ecb_(std::move(ecb)),
        gcm_(std::move(gcm)),
        derived_(kAes256KeyBytes) {}

  // derived_ = CMAC(M1) || CMAC(M2), Mi = 00 0i 'X' 00 || nonce[:12]. Each message is one whole
  // block, so its CMAC is one AES of message XOR k1.
  absl::Status DeriveLocked(const uint8_t* nonce) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const ByteView k1 = k1_.Reveal(SecretAccessToken());
    const absl::Span<uint8_t> key = derived_.RevealMutable(SecretAccessToken());
    for (uint8_t counter = 1; counter <= 2; ++counter) {
      std::array<uint8_t, kBlockBytes> message = {0, counter, 'X', 0};
      std::copy_n(nonce, kGcmNonceBytes, message.begin() + 4);
      uint8_t* const block = key.data() + (counter - 1) * kBlockBytes;
      for (size_t i = 0; i < kBlockBytes; ++i) {
        block[i] = static_cast<uint8_t>(message[i] ^ k1[i]);
      }
    }
    int n = 0;
    if (EVP_EncryptUpdate(ecb_.get(), key.data(), &n, key.data(), kAes256KeyBytes) != 1) {
      return OpenSslError("AES-256");
    }
    return absl::OkStatus();
  }

  const uint8_t* DerivedKeyLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return derived_.Reveal(SecretAccessToken()).data();
  }

  const SecretBytes k1_;
  const RandomSource& random_;
  mutable Mutex mu_;
  const OpenSslPtr<EVP_CIPHER_CTX> ecb_ ABSL_GUARDED_BY(mu_);
  const OpenSslPtr<EVP_CIPHER_CTX> gcm_ ABSL_GUARDED_BY(mu_);
  mutable SecretBytes derived_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::string_view ToString(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kXaes256Gcm:
      return "XAES-256-GCM";
    case Algorithm::kAes256Gcm:
      return "AES-256-GCM";
    case Algorithm::kAes256GcmWrappedKey:
      return "AES-256-GCM under a wrapped one-time key";
  }
  return "?";
}

absl::StatusOr<Algorithm> AlgorithmFromNumber(uint32_t number) {
  switch (number) {
    case static_cast<uint32_t>(Algorithm::kXaes256Gcm):
      return Algorithm::kXaes256Gcm;
    case static_cast<uint32_t>(Algorithm::kAes256Gcm):
      return Algorithm::kAes256Gcm;
    case static_cast<uint32_t>(Algorithm::kAes256GcmWrappedKey):
      return Algorithm::kAes256GcmWrappedKey;
    default:
      return absl::UnimplementedError(
          absl::StrCat("algorithm ", number, " is not known to this version of kekd"));
  }
}

size_t NonceSize(Algorithm algorithm) {
  return algorithm == Algorithm::kXaes256Gcm ? kXaesNonceBytes : kGcmNonceBytes;
}

absl::StatusOr<std::unique_ptr<const Aead>> CreateAead(Algorithm algorithm, SecretBytes key,
                                                       const RandomSource& random) {
  if (key.size() != kAes256KeyBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("an AES-256 key has ", kAes256KeyBytes, " bytes, not ", key.size()));
  }
  if (algorithm == Algorithm::kAes256GcmWrappedKey) {
    return absl::InvalidArgumentError("one-time keys are made by a device's backend");
  }
  if (FetchedGcm() == nullptr || FetchedEcb() == nullptr) return OpenSslError("EVP_CIPHER_fetch");
  if (algorithm == Algorithm::kXaes256Gcm) return Xaes256Gcm::Create(key, random);
  KEKD_ASSIGN_OR_RETURN(OpenSslPtr<EVP_CIPHER_CTX> context, NewContext(FetchedGcm()));
  return std::make_unique<const Aes256Gcm>(std::move(key), std::move(context), random);
}

absl::StatusOr<SecretBytes> OpenAesGcm(const SecretBytes& key, ByteView sealed,
                                       ByteView associated_data) {
  const EVP_CIPHER* const cipher = FetchedGcm(key.size());
  if (cipher == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("an AES key has 16, 24 or 32 bytes, not ", key.size()));
  }
  KEKD_RETURN_IF_ERROR(CheckSizes(sealed.size(), associated_data.size()));
  if (sealed.size() < kGcmNonceBytes + kAeadTagBytes) return NotAuthentic();
  KEKD_ASSIGN_OR_RETURN(const OpenSslPtr<EVP_CIPHER_CTX> context, NewContext(cipher));
  return GcmOpen(context.get(), key.Reveal(SecretAccessToken()).data(), sealed.data(),
                 sealed.subspan(kGcmNonceBytes), associated_data);
}

}  // namespace kekd
