#include "base/terminal_mode.h"

#include <errno.h>

#include "base/posix_error.h"

namespace kekd {

TerminalMode::TerminalMode(int fd) : fd_(fd) {
  sigset_t ending;
  sigemptyset(&ending);
  for (const int signal : {SIGTERM, SIGINT, SIGQUIT}) sigaddset(&ending, signal);
  pthread_sigmask(SIG_BLOCK, &ending, &mask_before_);
  hangup_before_ = signal(SIGHUP, SIG_IGN);
}

absl::StatusOr<std::unique_ptr<TerminalMode>> TerminalMode::Set(int fd, Echo echo) {
  std::unique_ptr<TerminalMode> mode(new TerminalMode(fd));
  if (tcgetattr(fd, &mode->before_) != 0) return PosixError(errno, "tcgetattr of the terminal");
  termios next = mode->before_;
  next.c_lflag &= ~static_cast<tcflag_t>(echo == Echo::kOff ? ECHO | ISIG : ISIG);
  next.c_lflag |= ICANON;
  next.c_cc[VEOL] = kInterrupt;
  next.c_cc[VEOL2] = kQuit;
  if (tcsetattr(fd, TCSAFLUSH, &next) != 0) return PosixError(errno, "tcsetattr of the terminal");
  mode->is_set_ = true;
  return mode;
}

TerminalMode::~TerminalMode() {
  if (is_set_) tcsetattr(fd_, TCSAFLUSH, &before_);
  if (hangup_before_ != SIG_ERR) signal(SIGHUP, hangup_before_);
  pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

}  // namespace kekd
