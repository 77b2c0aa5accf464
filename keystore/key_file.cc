#include "keystore/key_file.h"

#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/durable_file.h"
#include "base/hex.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr absl::string_view kMagic = "kekd-key-file-1 ";
constexpr size_t kSecretBytes = 32;
constexpr size_t kCheckBytes = 4;
constexpr size_t kLineSize = kMagic.size() + 2 * kSecretBytes + 1 + 2 * kCheckBytes;

// The check digits: the first bytes of SHA-256 over a label and the secret. They lie beside the
// secret itself, so they give nothing away.
absl::StatusOr<std::string> CheckDigits(const SecretBytes& secret) {
  constexpr absl::string_view kLabel = "kekd/key-file-check/1";
  SecretBytes labelled(kLabel.size() + secret.size());
  uint8_t* const bytes = labelled.RevealMutable(SecretAccessToken()).data();
  memcpy(bytes, kLabel.data(), kLabel.size());
  memcpy(bytes + kLabel.size(), secret.Reveal(SecretAccessToken()).data(), secret.size());
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest digest, Sha256(labelled.Reveal(SecretAccessToken())));
  return HexEncode(ByteView(digest.data(), kCheckBytes));
}

absl::StatusOr<SecretBytes> ParseKeyFile(const SecretBytes& content, absl::string_view path) {
  absl::string_view line = AsText(content.Reveal(SecretAccessToken()));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.substr(0, kMagic.size()) != kMagic || line.size() != kLineSize) {
    return absl::DataLossError(
        absl::StrCat(path,
                     " is not a kekd key file (one line: \"kekd-key-file-1\", 64 and 8 hexadecimal "
                     "digits); put back the one that 'kekctl keyring init' made"));
  }
  line.remove_prefix(kMagic.size());
  SecretBytes secret(kSecretBytes);
  if (!HexDecode(line.substr(0, 2 * kSecretBytes), secret.RevealMutable(SecretAccessToken()))) {
    return absl::DataLossError(absl::StrCat(path,
                                            ": the key is not 64 lower-case hexadecimal "
                                            "digits; the key file is damaged"));
  }
  KEKD_ASSIGN_OR_RETURN(const std::string check, CheckDigits(secret));
  if (line.substr(2 * kSecretBytes) != absl::StrCat(" ", check)) {
    return absl::DataLossError(absl::StrCat(
        path, ": the check digits do not fit the key; the key file is damaged or was mistyped"));
  }
  return secret;
}

class KeyFileWrapper final : public RingKeyWrapper {
 public:
  KeyFileWrapper(FileSystem& fs, absl::string_view path, std::optional<uid_t> other_owner,
                 const RandomSource& random)
      : fs_(fs), path_(path), other_owner_(other_owner), random_(random) {}

  WrapType type() const override { return WrapType::kKeyFile; }
  std::string Describe() const override { return absl::StrCat("key file ", path_); }

  absl::StatusOr<Wrap> WrapRingKey(const RingKey& ring_key,
                                   const RingIdentity& ring) const override {
    KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<const Aead> aead, WrappingKey(ring));
    Wrap wrap;
    wrap.type = WrapType::kKeyFile;
    wrap.reference = path_;
    KEKD_ASSIGN_OR_RETURN(wrap.blob,
                          aead->Encrypt(ring_key.secret(), AsBytes(AssociatedData(ring))));
    return wrap;
  }

  absl::StatusOr<std::shared_ptr<const RingKey>> UnwrapRingKey(
      const Wrap& wrap, const RingIdentity& ring, const RandomSource& random) const override {
    KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<const Aead> aead, WrappingKey(ring));
    absl::StatusOr<SecretBytes> secret =
        aead->Decrypt(AsBytes(wrap.blob), AsBytes(AssociatedData(ring)));
    if (absl::IsInvalidArgument(secret.status())) {
      return absl::DataLossError(
          absl::StrCat("key file ", path_,
                       " does not open this keyring: it is the key of another "
                       "one, or the keyring is damaged"));
    }
    if (!secret.ok()) return secret.status();
    return RingKey::Create(*std::move(secret), ring.ring_uuid, random);
  }

 private:
  static std::string AssociatedData(const RingIdentity& ring) {
    LengthPrefixed fields;
    fields.Add("kekd/ring-key-wrap/1")
        .Add("key-file")
        .Add(ring.cluster_id.bytes())
        .Add(ring.ring_uuid.bytes());
    return fields.bytes();
  }

  absl::StatusOr<std::unique_ptr<const Aead>> WrappingKey(const RingIdentity& ring) const {
    FileInfo info;
    // Twice the size: room for line ends that an editor or a shell added.
    absl::StatusOr<SecretBytes> content = fs_.ReadSecretFile(path_, 2 * kLineSize, &info);
    if (absl::IsNotFound(content.status())) {
      return absl::NotFoundError(
          absl::StrCat("key file ", path_,
                       " does not exist: put your copy of it back, nothing else opens this "
                       "keyring"));
    }
    if (!content.ok()) return content.status();
    KEKD_RETURN_IF_ERROR(CheckAccess(info));
    KEKD_ASSIGN_OR_RETURN(const SecretBytes secret, ParseKeyFile(*content, path_));
    KEKD_ASSIGN_OR_RETURN(SecretBytes key,
                          HkdfSha256(secret, ring.ring_uuid.bytes(), "kekd/key-file-wrap/1"));
    return CreateAead(Algorithm::kXaes256Gcm, std::move(key), random_);
  }

  absl::Status CheckAccess(const FileInfo& info) const {
    if (info.owner != 0 && info.owner != geteuid() && info.owner != other_owner_) {
      return absl::PermissionDeniedError(absl::StrFormat(
          "key file %s belongs to uid %d, who could read and replace it; give it to root or to "
          "kekd's user (chown)",
          path_, info.owner));
    }
    if ((info.mode & 077) != 0) {
      return absl::PermissionDeniedError(
          absl::StrFormat("key file %s has mode %04o: others than its owner have rights on it; "
                          "run 'chmod 0600 %s' and consider the key as known to them",
                          path_, info.mode, path_));
    }
    return absl::OkStatus();
  }

  FileSystem& fs_;
  const std::string path_;
  const std::optional<uid_t> other_owner_;
  const RandomSource& random_;
};

}  // namespace

absl::Status CreateKeyFile(FileSystem& fs, absl::string_view path, std::optional<uid_t> owner,
                           std::optional<gid_t> group, const RandomSource& random) {
  SecretBytes secret(kSecretBytes);
  KEKD_RETURN_IF_ERROR(random.Fill(secret.RevealMutable(SecretAccessToken())));
  KEKD_ASSIGN_OR_RETURN(const std::string check, CheckDigits(secret));
  SecretBytes line(kLineSize + 1);
  const absl::Span<uint8_t> out = line.RevealMutable(SecretAccessToken());
  memcpy(out.data(), kMagic.data(), kMagic.size());
  HexEncodeTo(secret.Reveal(SecretAccessToken()), out.subspan(kMagic.size(), 2 * kSecretBytes));
  out[kMagic.size() + 2 * kSecretBytes] = ' ';
  memcpy(out.data() + kMagic.size() + 2 * kSecretBytes + 1, check.data(), check.size());
  out.back() = '\n';
  return CreateFileDurably(fs, path, line.Reveal(SecretAccessToken()),
                           {.mode = 0600, .owner = owner, .group = group});
}

std::unique_ptr<RingKeyWrapper> CreateKeyFileWrapper(FileSystem& fs, absl::string_view path,
                                                     std::optional<uid_t> other_owner,
                                                     const RandomSource& random) {
  return std::make_unique<KeyFileWrapper>(fs, path, other_owner, random);
}

}  // namespace kekd
