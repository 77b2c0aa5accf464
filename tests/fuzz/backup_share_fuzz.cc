// The text of a share, as somebody typed it; and a share that somebody typed with one letter wrong.
#include <algorithm>
#include <array>
#include <string>

#include "keystore/backup_share.h"
#include "keystore/share_words.h"
#include "tests/fuzz/choices.h"

namespace kekd {
namespace {

using ::kekd::testing::Choices;
using ::kekd::testing::Require;

bool Same(const BackupShare& a, const BackupShare& b) {
  return a.id == b.id && a.threshold == b.threshold && a.total == b.total &&
         a.secret.index == b.secret.index &&
         SecretBytes::ConstantTimeEquals(a.secret.value, b.secret.value);
}

absl::StatusOr<SecretBytes> TextOf(const BackupShare& share, bool words) {
  return words ? ShareWords(share) : ShareFileContent(share, "prod", absl::UnixEpoch());
}

void CheckRefused(const absl::Status& status) {
  Require(absl::IsInvalidArgument(status) || absl::IsDataLoss(status) ||
          absl::IsUnimplemented(status));
}

void CheckText(ByteView text) {
  const absl::StatusOr<BackupShare> share = ParseShare(text, "typed");
  if (!share.ok()) return CheckRefused(share.status());
  // Either form of it is the same share.
  for (const bool words : {false, true}) {
    const absl::StatusOr<SecretBytes> written = TextOf(*share, words);
    Require(written.ok());
    const absl::StatusOr<BackupShare> again =
        ParseShare(written->Reveal(SecretAccessToken()), "written");
    Require(again.ok() && Same(*again, *share));
  }
}

// Words without the check of a share around them.
void CheckWords(ByteView text) {
  for (const size_t size : {size_t{2}, size_t{8}, size_t{48}}) {
    const absl::StatusOr<SecretBytes> bytes = DecodeWords(text, size);
    if (!bytes.ok()) {
      Require(absl::IsInvalidArgument(bytes.status()));
      continue;
    }
    const SecretBytes words = EncodeWords(*bytes);
    const absl::StatusOr<SecretBytes> again = DecodeWords(words.Reveal(SecretAccessToken()), size);
    Require(again.ok() && SecretBytes::ConstantTimeEquals(*again, *bytes));
  }
}

// Its check bytes are behind a digest: nobody finds a share by trying.
void CheckAltered(Choices& choices) {
  BackupShare share;
  share.threshold = 2 + choices.Below(15);
  share.total = share.threshold + choices.Below(17 - share.threshold);
  share.secret.index = static_cast<uint8_t>(1 + choices.Below(share.total));
  share.id = std::string(choices.Take(BackupShare::kIdBytes));
  share.id.resize(BackupShare::kIdBytes);
  std::array<uint8_t, BackupShare::kSecretBytes> secret = {};
  const absl::string_view taken = choices.Take(secret.size());
  std::copy(taken.begin(), taken.end(), secret.begin());
  share.secret.value = SecretBytes::CopyOf(secret);
  const absl::StatusOr<SecretBytes> text = TextOf(share, choices.Flag());
  Require(text.ok());
  std::string typed(AsText(text->Reveal(SecretAccessToken())));
  for (uint32_t i = choices.Below(3); i > 0; --i) {
    const size_t at = (choices.Byte() * 256u + choices.Byte()) % typed.size();
    typed[at] = static_cast<char>(choices.Byte());
  }
  const absl::StatusOr<BackupShare> parsed = ParseShare(AsBytes(typed), "typed");
  if (!parsed.ok()) return CheckRefused(parsed.status());
  // A comment, a blank or a letter's case was changed, or nothing.
  Require(Same(*parsed, share));
}

}  // namespace
}  // namespace kekd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const kekd::ByteView bytes(data, size);
  kekd::CheckText(bytes);
  kekd::CheckWords(bytes);
  kekd::testing::Choices choices(kekd::AsText(bytes));
  kekd::CheckAltered(choices);
  return 0;
}
