// Shows the words of shares to the people who are to keep them.
#ifndef KEKD_KMS_CTL_SHARE_WORDS_OUTPUT_H_
#define KEKD_KMS_CTL_SHARE_WORDS_OUTPUT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "keystore/backup_share.h"
#include "kms/ctl/verbs.h"

namespace kekd {

// Each share once: on the terminal one after the other, each until its last word is typed, when the
// screen is cleared; or one below the other on stdout. The words go there straight from locked
// memory. FailedPrecondition if there is no terminal; Cancelled, with a cleared screen, if the
// terminal ended or Ctrl-C was typed: the shares were not written down, and the backup is
// worthless.
absl::Status ShowShareWords(BackupMaking::Words where, absl::Span<const BackupShare> shares,
                            const std::string& keyring, absl::Time made);

// Whether that can be done, before anything is made.
absl::Status CheckCanShowShareWords(BackupMaking::Words where);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_SHARE_WORDS_OUTPUT_H_
