// ring_secrets CONFIGURATION [CIPHERTEXTS [PASSPHRASE_FILE]]: prints every secret of the only
// keyring, "KIND HEX" a line, as find_secrets takes them: the ring key, the KEKs and all that is
// derived from them, the key file's secret, what a passphrase becomes, and the one-time keys of the
// ciphertexts (hexadecimal lines of a file; "" for none). The first bytes of an expanded AES key
// are the key itself, so whoever looks for the keys finds key schedules too.
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/file_system.h"
#include "base/hex.h"
#include "base/openssl.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "keystore/ciphertext.h"
#include "keystore/digest.h"
#include "keystore/file_keyring_store.h"
#include "keystore/key_file.h"
#include "keystore/passphrase_kdf.h"
#include "keystore/secret_source.h"
#include "kms/config/config.h"
#include "kms/keyring/keyring_access.h"

namespace kekd::testing {
namespace {

constexpr size_t kBlock = 16;
using Block = std::array<uint8_t, kBlock>;

void Print(absl::string_view kind, ByteView secret) {
  std::cout << kind << ' ' << HexEncode(secret) << '\n';
}
void Print(absl::string_view kind, const SecretBytes& secret) {
  Print(kind, secret.Reveal(SecretAccessToken()));
}

Block Aes256(ByteView key, Block block) {
  const OpenSslPtr<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new());
  int n = 0;
  if (EVP_EncryptInit_ex2(context.get(), EVP_aes_256_ecb(), key.data(), nullptr, nullptr) != 1 ||
      EVP_EncryptUpdate(context.get(), block.data(), &n, block.data(), kBlock) != 1) {
    abort();
  }
  return block;
}

// GHASH's key, E(0), as it is and as libcrypto keeps it: the halves as numbers of the machine.
void PrintGhashKey(ByteView key) {
  Block h = Aes256(key, Block());
  Print("ghash-key", h);
  std::reverse(h.begin(), h.begin() + kBlock / 2);
  std::reverse(h.begin() + kBlock / 2, h.end());
  Print("ghash-key", h);
}

// What XAES-256-GCM keeps of its key besides the key: CMAC's L and its first subkey.
Block XaesSubkey(ByteView key) {
  const Block l = Aes256(key, Block());
  Block k1;
  for (size_t i = 0; i < kBlock; ++i) {
    const int next = i + 1 < kBlock ? l[i + 1] >> 7 : 0;
    k1[i] = static_cast<uint8_t>(l[i] << 1 | next);
  }
  k1[kBlock - 1] = static_cast<uint8_t>(k1[kBlock - 1] ^ (l[0] >> 7) * 0x87);
  return k1;
}

void PrintXaesKey(absl::string_view kind, ByteView key) {
  Print(kind, key);
  Print("xaes-subkey", Aes256(key, Block()));
  Print("xaes-subkey", XaesSubkey(key));
}

// The one-time key that XAES-256-GCM makes of the key and the nonce's first half.
void PrintOneTimeKey(ByteView key, ByteView nonce) {
  const Block k1 = XaesSubkey(key);
  std::vector<uint8_t> derived;
  for (uint8_t counter = 1; counter <= 2; ++counter) {
    Block message = {0, counter, 'X', 0};
    std::copy_n(nonce.begin(), 12, message.begin() + 4);
    for (size_t i = 0; i < kBlock; ++i) message[i] = static_cast<uint8_t>(message[i] ^ k1[i]);
    const Block half = Aes256(key, message);
    derived.insert(derived.end(), half.begin(), half.end());
  }
  Print("one-time-key", derived);
  PrintGhashKey(derived);
}

absl::Status PrintDerived(const SecretBytes& secret, const RingIdentity& ring,
                          absl::string_view info, absl::string_view kind) {
  KEKD_ASSIGN_OR_RETURN(const SecretBytes key, HkdfSha256(secret, ring.ring_uuid.bytes(), info));
  PrintXaesKey(kind, key.Reveal(SecretAccessToken()));
  return absl::OkStatus();
}

absl::Status PrintRingKey(const RingKey& ring_key, const RingIdentity& ring) {
  Print("ring-key", ring_key.secret());
  for (const absl::string_view info : {"kekd/record-mac/1", "kekd/high-water-mac/1",
                                       "kekd/kek-wrap/1", "kekd/former-ring-key-wrap/1"}) {
    KEKD_RETURN_IF_ERROR(PrintDerived(ring_key.secret(), ring, info, "ring-derived-key"));
  }
  return absl::OkStatus();
}

absl::Status PrintPassphrase(const std::string& path, const Keyring& keyring) {
  KEKD_ASSIGN_OR_RETURN(
      const SecretBytes passphrase,
      CreateFileSecretSource(FileSystem::System(), "passphrase", path, std::nullopt)->Read());
  Print("passphrase", passphrase);
  for (const Wrap& wrap : keyring.ring_key_wraps()) {
    if (!wrap.kdf.has_value()) continue;
    KEKD_ASSIGN_OR_RETURN(const SecretBytes key, DerivePassphraseKey(passphrase, *wrap.kdf));
    Print("scrypt-output", key);
    // What scrypt begins with (RFC 7914, section 6, step 1).
    const ByteView raw = passphrase.Reveal(SecretAccessToken());
    SecretBytes blocks(size_t{128} * wrap.kdf->r * wrap.kdf->p);
    const absl::Span<uint8_t> out = blocks.RevealMutable(SecretAccessToken());
    if (PKCS5_PBKDF2_HMAC(AsText(raw).data(), static_cast<int>(raw.size()),
                          AsBytes(wrap.kdf->salt).data(), static_cast<int>(wrap.kdf->salt.size()),
                          1, EVP_sha256(), static_cast<int>(out.size()), out.data()) != 1) {
      return OpenSslError("PBKDF2");
    }
    Print("scrypt-blocks", blocks);
    KEKD_RETURN_IF_ERROR(
        PrintDerived(key, keyring.identity(), "kekd/passphrase-wrap/1", "wrapping-key"));
  }
  return absl::OkStatus();
}

absl::Status PrintOneTimeKeys(const std::string& path, uint32_t version, ByteView kek) {
  std::ifstream lines(path);
  std::string line;
  while (lines >> line) {
    std::string bytes(line.size() / 2, '\0');
    if (!HexDecode(line, AsWritableBytes(bytes))) {
      return absl::InvalidArgumentError("a ciphertext is not hexadecimal");
    }
    KEKD_ASSIGN_OR_RETURN(const Ciphertext ciphertext, Ciphertext::Parse(AsBytes(bytes)));
    if (ciphertext.version == version) PrintOneTimeKey(kek, ciphertext.sealed);
  }
  return absl::OkStatus();
}

absl::Status Run(const std::string& config_path, const std::string& ciphertexts,
                 const std::string& passphrase) {
  FileSystem& fs = FileSystem::System();
  KEKD_ASSIGN_OR_RETURN(const Config config, LoadConfig(fs, config_path));
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const configured, config.FindKeyring(""));
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<FileKeyringStore> store,
                        FileKeyringStore::Open(StoreOptions(fs, config, *configured),
                                               FileKeyringStore::Access::kReadOnly));
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> keyring, store->Load());
  const std::shared_ptr<const RingKey> ring_key = store->ring_key()->Get();
  const RingIdentity& identity = keyring->identity();
  KEKD_RETURN_IF_ERROR(PrintRingKey(*ring_key, identity));
  for (const KeyVersion& version : keyring->parts().versions) {
    for (const Wrap& wrap : version.material.wraps) {
      KEKD_ASSIGN_OR_RETURN(
          const SecretBytes kek,
          ring_key->UnwrapKek(wrap, {.ring = identity, .version = version.number}));
      const ByteView raw = kek.Reveal(SecretAccessToken());
      PrintXaesKey("kek", raw);
      if (!ciphertexts.empty()) {
        KEKD_RETURN_IF_ERROR(PrintOneTimeKeys(ciphertexts, version.number, raw));
      }
    }
  }
  for (const UnlockConfig& unlock : configured->unlock) {
    if (unlock.kind != UnlockConfig::Kind::kKeyFile) continue;
    const std::unique_ptr<SecretSource> source =
        MakeSecretSource(fs, unlock, "the key file", AskTwice::kNo, std::nullopt);
    KEKD_ASSIGN_OR_RETURN(const SecretBytes content, source->Read());
    KEKD_ASSIGN_OR_RETURN(const SecretBytes secret, ParseKeyFile(content, source->Describe()));
    Print("key-file", secret);
    KEKD_RETURN_IF_ERROR(PrintDerived(secret, identity, "kekd/key-file-wrap/1", "wrapping-key"));
  }
  return passphrase.empty() ? absl::OkStatus() : PrintPassphrase(passphrase, *keyring);
}

}  // namespace
}  // namespace kekd::testing

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    std::cerr << "usage: ring_secrets CONFIGURATION [CIPHERTEXTS [PASSPHRASE_FILE]]\n";
    return 2;
  }
  const absl::Status status =
      kekd::testing::Run(argv[1], argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "");
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "ring_secrets: " << status << "\n";
  return EXIT_FAILURE;
}
