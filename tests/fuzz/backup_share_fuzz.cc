// The text of a share, as somebody typed it.
#include <cstdlib>

#include "keystore/backup_share.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kekd;
  const absl::StatusOr<BackupShare> share = ParseShare(ByteView(data, size), "typed");
  if (!share.ok()) {
    const absl::Status& status = share.status();
    const bool expected = absl::IsInvalidArgument(status) || absl::IsDataLoss(status) ||
                          absl::IsUnimplemented(status);
    if (!expected) abort();
    return 0;
  }
  // Either form of it is the same share.
  for (const bool words : {false, true}) {
    const absl::StatusOr<SecretBytes> text =
        words ? ShareWords(*share) : ShareFileContent(*share, "prod", absl::UnixEpoch());
    if (!text.ok()) abort();
    const absl::StatusOr<BackupShare> again =
        ParseShare(text->Reveal(SecretAccessToken()), "written");
    if (!again.ok() || again->id != share->id || again->threshold != share->threshold ||
        again->total != share->total || again->secret.index != share->secret.index ||
        !SecretBytes::ConstantTimeEquals(again->secret.value, share->secret.value)) {
      abort();
    }
  }
  return 0;
}
