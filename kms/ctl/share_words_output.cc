#include "kms/ctl/share_words_output.h"

#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "base/terminal_mode.h"
#include "base/unique_fd.h"
#include "keystore/share_words.h"

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

// One line without the blanks around it. Of one that is longer than a word can be, the rest is
// lost.
absl::StatusOr<SecretBytes> ReadLine(int fd) {
  constexpr size_t kMaxLine = 64;
  SecretBytes line(kMaxLine);
  uint8_t* const out = line.RevealMutable(SecretAccessToken()).data();
  size_t size = 0;
  uint8_t c = 0;
  while (true) {
    const ssize_t n = read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return absl::CancelledError(
          "the terminal ended before every share was written down; the backup is not kept");
    }
    if (TerminalMode::IsInterrupt(c)) {
      return absl::CancelledError(
          "interrupted before every share was written down; the backup is not kept");
    }
    if (c == '\n') break;
    const bool is_blank = c == ' ' || c == '\t' || c == '\r';
    if (size < kMaxLine && !is_blank) out[size++] = c;
  }
  line.Truncate(size);
  return line;
}

// The last of the share's words. As it is shown it has lower-case letters.
SecretBytes LastWord(const SecretBytes& words) {
  const absl::string_view text =
      absl::StripTrailingAsciiWhitespace(AsText(words.Reveal(SecretAccessToken())));
  return SecretBytes::CopyOf(AsBytes(text.substr(text.size() - kWordLetters)));
}

// Until the last word of the share is typed. What was typed before it was asked for does not count:
// the share is shown this once.
absl::Status WaitForLastWord(int fd, const SecretBytes& words) {
  const SecretBytes last = LastWord(words);
  absl::string_view prompt =
      "\nWrite it down with the numbers of the lines; it is shown this once. Then type its last\n"
      "word and press Enter: the screen is cleared. ";
  while (true) {
    if (tcflush(fd, TCIFLUSH) != 0) return PosixError(errno, "tcflush of the terminal");
    KEKD_RETURN_IF_ERROR(WriteAll(fd, AsBytes(prompt)));
    KEKD_ASSIGN_OR_RETURN(SecretBytes typed, ReadLine(fd));
    for (uint8_t& c : typed.RevealMutable(SecretAccessToken())) {
      c = static_cast<uint8_t>(absl::ascii_tolower(c));
    }
    if (SecretBytes::ConstantTimeEquals(typed, last)) return absl::OkStatus();
    prompt = "That is not the last word of this share. Type it and press Enter: ";
  }
}

absl::StatusOr<SecretBytes> ShowOne(int fd, const BackupShare& share, const std::string& keyring,
                                    absl::Time made) {
  const std::string header = ShareHeader(share, keyring, made);
  KEKD_RETURN_IF_ERROR(WriteAll(fd, AsBytes(header)));
  KEKD_ASSIGN_OR_RETURN(SecretBytes words, ShareWords(share));
  KEKD_RETURN_IF_ERROR(WriteAll(fd, words.Reveal(SecretAccessToken())));
  return words;
}

absl::Status ShowUntilWrittenDown(int fd, const BackupShare& share, const std::string& keyring,
                                  absl::Time made) {
  const absl::StatusOr<SecretBytes> words = ShowOne(fd, share, keyring, made);
  const absl::Status shown = words.ok() ? WaitForLastWord(fd, *words) : words.status();
  const absl::Status cleared = WriteAll(fd, AsBytes(kClearScreen));
  return shown.ok() ? cleared : shown;
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
      KEKD_RETURN_IF_ERROR(ShowOne(STDOUT_FILENO, share, keyring, made).status());
      KEKD_RETURN_IF_ERROR(WriteAll(STDOUT_FILENO, AsBytes("\n")));
    }
    return absl::OkStatus();
  }
  KEKD_ASSIGN_OR_RETURN(const UniqueFd terminal, OpenTerminal());
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<TerminalMode> quiet,
                        TerminalMode::Set(terminal.get(), TerminalMode::Echo::kOn));
  for (const BackupShare& share : shares) {
    KEKD_RETURN_IF_ERROR(ShowUntilWrittenDown(terminal.get(), share, keyring, made));
  }
  return absl::OkStatus();
}

}  // namespace kekd
