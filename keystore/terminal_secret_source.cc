#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "base/terminal_mode.h"
#include "base/unique_fd.h"
#include "keystore/passphrase_kdf.h"
#include "keystore/secret_source.h"

namespace kekd {
namespace {

void Say(int fd, absl::string_view text) {
  // What can't be said is no reason not to read.
  if (write(fd, text.data(), text.size()) < 0) return;
}

// One line, without its end, straight into locked memory.
absl::StatusOr<SecretBytes> ReadLine(int fd) {
  SecretBytes line(SecretSource::kMaxSecretBytes + 1);
  const absl::Span<uint8_t> out = line.RevealMutable(SecretAccessToken());
  size_t size = 0;
  while (size < out.size()) {
    const ssize_t got = read(fd, out.data() + size, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return PosixError(errno, "read from the terminal");
    if (got == 0 || out[size] == '\n') {
      line.Truncate(size);
      return line;
    }
    if (TerminalMode::IsInterrupt(out[size])) return absl::CancelledError("interrupted");
    ++size;
  }
  return absl::OutOfRangeError(
      absl::StrCat("more than ", SecretSource::kMaxSecretBytes, " bytes were typed"));
}

// What was typed so far; one terminal, so one person at a time is asked.
struct Typed {
  // Never destroyed, so that it is there for whoever asks at exit.
  static Typed& Instance() {
    static auto* const typed = new Typed;
    return *typed;
  }

  Mutex mu;
  std::map<std::string, SecretBytes> secrets ABSL_GUARDED_BY(mu);
};

class TerminalSecretSource final : public SecretSource {
 public:
  TerminalSecretSource(absl::string_view what, AskTwice twice) : what_(what), twice_(twice) {}

  std::string Describe() const override { return "the passphrase typed at the terminal"; }

  absl::StatusOr<SecretBytes> Read() const override {
    Typed& typed = Typed::Instance();
    MutexLock lock(&typed.mu);
    SecretBytes& secret = typed.secrets[what_];
    if (secret.empty()) {
      KEKD_ASSIGN_OR_RETURN(secret, Ask());
    }
    return secret.Clone();
  }

 private:
  absl::StatusOr<SecretBytes> Ask() const {
    const UniqueFd terminal(open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!terminal.valid()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the passphrase for ", what_,
          " is to be typed, but there is no terminal: give it in a file or as a credential"));
    }
    KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<TerminalMode> quiet,
                          TerminalMode::Set(terminal.get(), TerminalMode::Echo::kOff));
    Say(terminal.get(), absl::StrCat("Passphrase for ", what_, ": "));
    absl::StatusOr<SecretBytes> first = ReadLine(terminal.get());
    Say(terminal.get(), "\n");
    KEKD_RETURN_IF_ERROR(first.status());
    if (first->empty()) return absl::InvalidArgumentError("an empty passphrase was typed");
    if (twice_ == AskTwice::kNo) return first;
    // Nobody should type one twice that will not do.
    KEKD_RETURN_IF_ERROR(WithContext(CheckNewPassphrase(*first), Describe()));
    Say(terminal.get(), "The same once more: ");
    absl::StatusOr<SecretBytes> second = ReadLine(terminal.get());
    Say(terminal.get(), "\n");
    KEKD_RETURN_IF_ERROR(second.status());
    if (SecretBytes::ConstantTimeEquals(*first, *second)) return first;
    return absl::InvalidArgumentError("the two passphrases differ; try again");
  }

  const std::string what_;
  const AskTwice twice_;
};

}  // namespace

std::unique_ptr<SecretSource> CreateTerminalSecretSource(absl::string_view what, AskTwice twice) {
  return std::make_unique<TerminalSecretSource>(what, twice);
}

}  // namespace kekd
