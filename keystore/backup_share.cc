#include "keystore/backup_share.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/hex.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "keystore/digest.h"
#include "keystore/share_words.h"

namespace kekd {
namespace {

constexpr uint8_t kFormat = 1;
constexpr size_t kIdOffset = 4;
constexpr size_t kSecretOffset = kIdOffset + BackupShare::kIdBytes;
constexpr size_t kCheckOffset = kSecretOffset + BackupShare::kSecretBytes;
constexpr size_t kCheckBytes = 4;
constexpr size_t kShareBytes = kCheckOffset + kCheckBytes;
constexpr size_t kWords = kShareBytes / 2;
constexpr absl::string_view kLineBegin = "kekd-share-1 ";
constexpr absl::string_view kAnyLineBegin = "kekd-share-";

using Check = std::array<uint8_t, kCheckBytes>;

// They lie beside the share itself, so they give nothing away.
absl::StatusOr<Check> CheckBytes(ByteView share) {
  constexpr absl::string_view kLabel = "kekd/backup-share-check/1";
  SecretBytes labelled(kLabel.size() + kCheckOffset);
  uint8_t* const bytes = labelled.RevealMutable(SecretAccessToken()).data();
  memcpy(bytes, kLabel.data(), kLabel.size());
  memcpy(bytes + kLabel.size(), share.data(), kCheckOffset);
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest digest, Sha256(labelled.Reveal(SecretAccessToken())));
  Check check;
  memcpy(check.data(), digest.data(), check.size());
  return check;
}

absl::StatusOr<bool> CheckFits(ByteView share) {
  KEKD_ASSIGN_OR_RETURN(const Check check, CheckBytes(share));
  return memcmp(check.data(), share.data() + kCheckOffset, check.size()) == 0;
}

absl::StatusOr<SecretBytes> Encode(const BackupShare& share) {
  SecretBytes bytes(kShareBytes);
  uint8_t* const out = bytes.RevealMutable(SecretAccessToken()).data();
  if (share.id.size() != BackupShare::kIdBytes ||
      share.secret.value.size() != BackupShare::kSecretBytes) {
    return absl::InternalError("a share has the wrong size");
  }
  out[0] = kFormat;
  out[1] = static_cast<uint8_t>(share.threshold);
  out[2] = static_cast<uint8_t>(share.total);
  out[3] = share.secret.index;
  std::copy(share.id.begin(), share.id.end(), out + kIdOffset);
  memcpy(out + kSecretOffset, share.secret.value.Reveal(SecretAccessToken()).data(),
         BackupShare::kSecretBytes);
  KEKD_ASSIGN_OR_RETURN(const Check check, CheckBytes(bytes.Reveal(SecretAccessToken())));
  memcpy(out + kCheckOffset, check.data(), check.size());
  return bytes;
}

void StoreWord(uint8_t* at, uint16_t word) {
  at[0] = static_cast<uint8_t>(word >> 8);
  at[1] = static_cast<uint8_t>(word);
}

std::string Place(size_t word) {
  return absl::StrCat("word ", word, " (in line ", LineOfWord(word), ")");
}

// Where somebody who typed the words is most likely to have erred: one wrong letter, or two
// neighbours exchanged. With 4 check bytes the 1247 tries find a wrong place once in three million
// times. Nothing if the error is another one.
absl::StatusOr<std::optional<std::string>> FindTypingError(const SecretBytes& share) {
  SecretBytes tried = share.Clone();
  const absl::Span<uint8_t> bytes = tried.RevealMutable(SecretAccessToken());
  for (size_t word = 0; word < kWords; ++word) {
    uint8_t* const at = bytes.data() + 2 * word;
    const uint16_t typed = ReadU16(at);
    for (size_t other = 0; other < kOtherWords; ++other) {
      StoreWord(at, WithOneOtherLetter(typed, other));
      KEKD_ASSIGN_OR_RETURN(const bool fits, CheckFits(bytes));
      if (fits) return absl::StrCat(Place(word + 1), " seems to have a wrong letter");
    }
    StoreWord(at, typed);
    if (word + 1 == kWords) break;
    const uint16_t next = ReadU16(at + 2);
    StoreWord(at, next);
    StoreWord(at + 2, typed);
    KEKD_ASSIGN_OR_RETURN(const bool fits, CheckFits(bytes));
    if (fits) return absl::StrCat(Place(word + 1), " and the next seem to be exchanged");
    StoreWord(at, typed);
    StoreWord(at + 2, next);
  }
  return std::nullopt;
}

// The text without comments and without blanks and line ends around it.
SecretBytes WithoutComments(ByteView text) {
  SecretBytes rest(text.size());
  uint8_t* const out = rest.RevealMutable(SecretAccessToken()).data();
  size_t size = 0;
  absl::string_view lines = AsText(text);
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    const absl::string_view line = lines.substr(0, end);
    lines.remove_prefix(end == absl::string_view::npos ? lines.size() : end + 1);
    if (absl::StripLeadingAsciiWhitespace(line).substr(0, 1) == "#") continue;
    memcpy(out + size, line.data(), line.size());
    size += line.size();
    if (end != absl::string_view::npos) out[size++] = '\n';
  }
  rest.Truncate(size);
  return rest;
}

absl::StatusOr<SecretBytes> ParseLine(absl::string_view line) {
  if (line.substr(0, kLineBegin.size()) != kLineBegin) {
    return absl::UnimplementedError(
        "it is of a format that this kekd does not know: a newer kekd made it");
  }
  line.remove_prefix(kLineBegin.size());
  SecretBytes share(kShareBytes);
  if (!HexDecode(line, share.RevealMutable(SecretAccessToken()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("after \"kekd-share-1\" there must be ", 2 * kShareBytes,
                     " lower-case hexadecimal digits and nothing else"));
  }
  return share;
}

absl::StatusOr<BackupShare> Decode(const SecretBytes& share) {
  const ByteView bytes = share.Reveal(SecretAccessToken());
  if (bytes[0] > kFormat) {
    return absl::UnimplementedError(absl::StrCat("it has format ", uint32_t{bytes[0]},
                                                 ", this kekd reads formats up to ",
                                                 uint32_t{kFormat}, ": a newer kekd made it"));
  }
  BackupShare out;
  out.threshold = bytes[1];
  out.total = bytes[2];
  out.secret.index = bytes[3];
  if (bytes[0] == 0 || !CheckShareNumbers(out.threshold, out.total).ok() || out.secret.index == 0 ||
      out.secret.index > out.total) {
    return absl::DataLossError("its numbers can't be those of a share");
  }
  out.id = std::string(AsText(bytes.subspan(kIdOffset, BackupShare::kIdBytes)));
  out.secret.value = SecretBytes::CopyOf(bytes.subspan(kSecretOffset, BackupShare::kSecretBytes));
  return out;
}

absl::StatusOr<BackupShare> ParseText(ByteView text) {
  const SecretBytes content = WithoutComments(text);
  const absl::string_view stripped =
      absl::StripAsciiWhitespace(AsText(content.Reveal(SecretAccessToken())));
  if (stripped.empty()) return absl::InvalidArgumentError("it is empty");
  const bool is_line = stripped.substr(0, kAnyLineBegin.size()) == kAnyLineBegin;
  KEKD_ASSIGN_OR_RETURN(const SecretBytes share, is_line
                                                     ? ParseLine(stripped)
                                                     : DecodeWords(AsBytes(stripped), kShareBytes));
  KEKD_ASSIGN_OR_RETURN(const bool fits, CheckFits(share.Reveal(SecretAccessToken())));
  if (fits) return Decode(share);
  if (is_line) return absl::DataLossError("its check digits do not fit: it is damaged");
  KEKD_ASSIGN_OR_RETURN(const std::optional<std::string> error, FindTypingError(share));
  if (error.has_value()) {
    return absl::DataLossError(absl::StrCat(*error, "; compare it with what was written down"));
  }
  return absl::DataLossError(
      "the words do not fit together: more than one of them is wrong; compare them with what was "
      "written down, line by line");
}

}  // namespace

std::string ShareHeader(const BackupShare& share, absl::string_view keyring, absl::Time made) {
  return absl::StrCat("# share ", uint32_t{share.secret.index}, " of ", share.total, " of backup ",
                      HexEncode(AsBytes(share.id)), " of keyring ", keyring, ", made on ",
                      absl::FormatTime("%Y-%m-%d", made, absl::UTCTimeZone()), ". Any ",
                      share.threshold, " of them open the backup: keep them apart\n");
}

absl::StatusOr<SecretBytes> ShareFileContent(const BackupShare& share, absl::string_view keyring,
                                             absl::Time made) {
  KEKD_ASSIGN_OR_RETURN(const SecretBytes bytes, Encode(share));
  const std::string header = ShareHeader(share, keyring, made);
  SecretBytes content(header.size() + kLineBegin.size() + 2 * kShareBytes + 1);
  const absl::Span<uint8_t> out = content.RevealMutable(SecretAccessToken());
  memcpy(out.data(), header.data(), header.size());
  memcpy(out.data() + header.size(), kLineBegin.data(), kLineBegin.size());
  HexEncodeTo(bytes.Reveal(SecretAccessToken()),
              out.subspan(header.size() + kLineBegin.size(), 2 * kShareBytes));
  out.back() = '\n';
  return content;
}

absl::StatusOr<SecretBytes> ShareWords(const BackupShare& share) {
  KEKD_ASSIGN_OR_RETURN(const SecretBytes bytes, Encode(share));
  return EncodeWords(bytes);
}

absl::StatusOr<BackupShare> ParseShare(ByteView text, absl::string_view source) {
  absl::StatusOr<BackupShare> share = ParseText(text);
  if (!share.ok()) return WithContext(share.status(), source);
  share->source = std::string(source);
  return share;
}

absl::StatusOr<SecretBytes> CombineBackupShares(absl::Span<const BackupShare> shares,
                                                const Uuid& id, uint32_t threshold, uint32_t total,
                                                std::optional<size_t> left_out) {
  const std::string expected(AsText(id.bytes().first(BackupShare::kIdBytes)));
  std::vector<ShamirShare> chosen;
  for (size_t i = 0; i < shares.size(); ++i) {
    const BackupShare& share = shares[i];
    if (share.id != expected || share.threshold != threshold || share.total != total) {
      return absl::InvalidArgumentError(absl::StrCat(
          share.source, " is a share of another backup (", HexEncode(AsBytes(share.id)),
          "…), not of this one (", HexEncode(AsBytes(expected)), "…)"));
    }
    for (size_t j = 0; j < i; ++j) {
      if (shares[j].secret.index == share.secret.index) {
        return absl::InvalidArgumentError(absl::StrCat("share ", uint32_t{share.secret.index},
                                                       " is there twice: ", shares[j].source,
                                                       " and ", share.source));
      }
    }
    if (chosen.size() == threshold || i == left_out) continue;
    chosen.push_back({share.secret.index, share.secret.value.Clone()});
  }
  if (chosen.size() < threshold) {
    return absl::InvalidArgumentError(
        absl::StrCat(chosen.size(), chosen.size() == 1 ? " share was" : " shares were",
                     " given, and ", threshold, " of the ", total, " are needed"));
  }
  return CombineShares(chosen);
}

absl::Status CheckSurplusShares(absl::Span<const BackupShare> shares, uint32_t threshold,
                                const SecretBytes& secret) {
  if (shares.size() <= threshold) return absl::OkStatus();
  for (const BackupShare& surplus : shares.subspan(threshold)) {
    std::vector<ShamirShare> chosen;
    for (const BackupShare& share : shares.subspan(1, threshold - 1)) {
      chosen.push_back({share.secret.index, share.secret.value.Clone()});
    }
    chosen.push_back({surplus.secret.index, surplus.secret.value.Clone()});
    KEKD_ASSIGN_OR_RETURN(const SecretBytes combined, CombineShares(chosen));
    if (!SecretBytes::ConstantTimeEquals(combined, secret)) return DoesNotFit(surplus);
  }
  return absl::OkStatus();
}

absl::Status DoesNotFit(const BackupShare& share) {
  return absl::DataLossError(
      absl::StrCat(share.source,
                   " does not fit the other shares, which open this backup, although "
                   "it says that it is of it: somebody has altered it"));
}

}  // namespace kekd
