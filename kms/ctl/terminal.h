// What kekctl does on a terminal and nowhere else.
#ifndef KEKD_KMS_CTL_TERMINAL_H_
#define KEKD_KMS_CTL_TERMINAL_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace kekd {

enum class Colors { kOff, kOn };

// What a text tells: nothing else has a colour.
enum class Tone {
  kPlain,
  kGood,     // green: healthy
  kWarning,  // yellow: degraded
  kBad,      // red: failing
};

// The text in its tone's colour.
std::string Painted(absl::string_view text, Tone tone, Colors colors);

struct TerminalFacts {
  bool is_terminal = false;        // of the stream that is written to
  const char* no_color = nullptr;  // $NO_COLOR (no-color.org), null if it is not set
  const char* term = nullptr;      // $TERM
};
// Of a stream of this process.
TerminalFacts FactsOf(int fd);
// On a terminal that is not dumb, unless NO_COLOR is set to anything but the empty text.
Colors ColorsFor(const TerminalFacts& facts);

// Where a Progress tells how far it is.
enum class ProgressStyle {
  kSilent,
  kLines,    // a line every few seconds, for a log
  kRewrite,  // one line of a terminal, again and again
};
ProgressStyle ProgressStyleFor(const TerminalFacts& facts);

// Progress says on standard error how far a long piece of work is. Work that is done within half a
// second says nothing. Not thread-safe.
class Progress final {
 public:
  struct Options {
    std::string what;  // "measuring calls"
    uint64_t total = 0;
    ProgressStyle style = ProgressStyle::kSilent;
    const Clock* clock = &Clock::System();
    std::function<void(absl::string_view)> write = nullptr;  // to standard error if not given
  };

  explicit Progress(Options options);
  // Takes the line away from a terminal.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // So much is done. May be called for every single piece: nearly all calls return at once.
  void Update(uint64_t done);
  // The same where the total shows only on the way; 0: it is not known.
  void Update(uint64_t done, uint64_t total);

 private:
  std::string Line(uint64_t done, absl::Time now) const;

  Options options_;
  absl::Time begin_;
  absl::Time next_;        // when the next line is due
  bool is_shown_ = false;  // a line that must be taken away
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_TERMINAL_H_
