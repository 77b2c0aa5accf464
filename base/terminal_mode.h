// A terminal on which a secret is typed or shown.
#ifndef KEKD_BASE_TERMINAL_MODE_H_
#define KEKD_BASE_TERMINAL_MODE_H_

#include <signal.h>
#include <termios.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace kekd {

// As long as a TerminalMode lives no key ends the process: Ctrl-C and Ctrl-backslash end the line
// that is typed instead, and are in it. Signals that would end it wait, and SIGHUP is ignored, as
// reading ends with the terminal: so that no terminal is left mute, nor with a secret on its
// screen, and what was begun is cleared away. Not thread-safe; one at a time.
class TerminalMode final {
 public:
  enum class Echo : bool { kOff, kOn };

  // `fd` is an open terminal, and outlives the result.
  static absl::StatusOr<std::unique_ptr<TerminalMode>> Set(int fd, Echo echo);
  ~TerminalMode();  // as it was before
  TerminalMode(const TerminalMode&) = delete;
  TerminalMode& operator=(const TerminalMode&) = delete;

  // Whether a byte of a line is one of the two that should interrupt what goes on.
  static bool IsInterrupt(uint8_t byte) { return byte == kInterrupt || byte == kQuit; }

 private:
  static constexpr uint8_t kInterrupt = 3;  // Ctrl-C
  static constexpr uint8_t kQuit = 28;      // Ctrl-backslash

  explicit TerminalMode(int fd);

  const int fd_;
  termios before_ = {};
  sigset_t mask_before_;
  void (*hangup_before_)(int) = SIG_DFL;
  bool is_set_ = false;
};

}  // namespace kekd

#endif  // KEKD_BASE_TERMINAL_MODE_H_
