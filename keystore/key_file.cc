#include "keystore/key_file.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/durable_file.h"
#include "base/hex.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "keystore/digest.h"

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

}  // namespace

absl::StatusOr<SecretBytes> NewKeyFileLine(const RandomSource& random) {
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
  return line;
}

absl::Status CreateKeyFile(FileSystem& fs, absl::string_view path, std::optional<uid_t> owner,
                           std::optional<gid_t> group, const RandomSource& random) {
  KEKD_ASSIGN_OR_RETURN(const SecretBytes line, NewKeyFileLine(random));
  return CreateFileDurably(fs, path, line.Reveal(SecretAccessToken()),
                           {.mode = 0600, .owner = owner, .group = group});
}

absl::StatusOr<SecretBytes> ParseKeyFile(const SecretBytes& content, absl::string_view what) {
  absl::string_view line = AsText(content.Reveal(SecretAccessToken()));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.substr(0, kMagic.size()) != kMagic || line.size() != kLineSize) {
    return absl::DataLossError(
        absl::StrCat(what,
                     " is not a kekd key file (one line: \"kekd-key-file-1\", 64 and 8 hexadecimal "
                     "digits); put back the one that 'kekctl keyring init' made"));
  }
  line.remove_prefix(kMagic.size());
  SecretBytes secret(kSecretBytes);
  if (!HexDecode(line.substr(0, 2 * kSecretBytes), secret.RevealMutable(SecretAccessToken()))) {
    return absl::DataLossError(absl::StrCat(what,
                                            ": the key is not 64 lower-case hexadecimal "
                                            "digits; the key file is damaged"));
  }
  KEKD_ASSIGN_OR_RETURN(const std::string check, CheckDigits(secret));
  if (line.substr(2 * kSecretBytes) != absl::StrCat(" ", check)) {
    return absl::DataLossError(absl::StrCat(
        what, ": the check digits do not fit the key; the key file is damaged or was mistyped"));
  }
  return secret;
}

}  // namespace kekd
