#include "kms/ctl/share_words_output.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace kekd {
namespace {

// Clears the screen and what was scrolled out of it, and goes to its top (ECMA-48; the second is
// xterm's).
constexpr absl::string_view kClearScreen = "\x1b[2J\x1b[3J\x1b[H";

// write(2), so that no copy stays in a buffer.
absl::Status WriteAll(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return absl::InternalError(PosixError(errno, "writing the shares' words").message());
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status WaitForEnter(int fd) {
  char c = 0;
  while (c != '\n') {
    const ssize_t n = read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::CancelledError("the terminal ended before every share was shown");
  }
  return absl::OkStatus();
}

absl::Status ShowOne(int fd, const BackupShare& share, const std::string& keyring,
                     absl::Time made) {
  const std::string header = absl::StrCat(
      "# share ", uint32_t{share.secret.index}, " of ", share.total, " of a backup of keyring ",
      keyring, ", made on ", absl::FormatTime("%Y-%m-%d", made, absl::UTCTimeZone()), ". Any ",
      share.threshold, " of them open the backup\n");
  KEKD_RETURN_IF_ERROR(WriteAll(fd, AsBytes(header)));
  KEKD_ASSIGN_OR_RETURN(const SecretBytes words, ShareWords(share));
  return WriteAll(fd, words.Reveal(SecretAccessToken()));
}

absl::StatusOr<UniqueFd> OpenTerminal() {
  UniqueFd terminal(open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (terminal.valid()) return terminal;
  return absl::FailedPreconditionError(
      "the shares' words are to be shown on the terminal, but there is none: use --share-dir, or "
      "--share-words stdout");
}

}  // namespace

absl::Status CheckCanShowShareWords(BackupMaking::Words where) {
  if (where != BackupMaking::Words::kTerminal) return absl::OkStatus();
  return OpenTerminal().status();
}

absl::Status ShowShareWords(BackupMaking::Words where, absl::Span<const BackupShare> shares,
                            const std::string& keyring, absl::Time made) {
  if (where == BackupMaking::Words::kNone) return absl::OkStatus();
  if (where == BackupMaking::Words::kStdout) {
    for (const BackupShare& share : shares) {
      KEKD_RETURN_IF_ERROR(ShowOne(STDOUT_FILENO, share, keyring, made));
      KEKD_RETURN_IF_ERROR(WriteAll(STDOUT_FILENO, AsBytes("\n")));
    }
    return absl::OkStatus();
  }
  KEKD_ASSIGN_OR_RETURN(const UniqueFd terminal, OpenTerminal());
  for (const BackupShare& share : shares) {
    KEKD_RETURN_IF_ERROR(ShowOne(terminal.get(), share, keyring, made));
    KEKD_RETURN_IF_ERROR(WriteAll(
        terminal.get(), AsBytes("\nWrite it down with the numbers of the lines; it is shown this "
                                "once. Then press Enter: the screen is cleared.")));
    const absl::Status waited = WaitForEnter(terminal.get());
    KEKD_RETURN_IF_ERROR(WriteAll(terminal.get(), AsBytes(kClearScreen)));
    KEKD_RETURN_IF_ERROR(waited);
  }
  return absl::OkStatus();
}

}  // namespace kekd
