#include "kms/ctl/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kms/ctl/table.h"

namespace kekd {
namespace {

constexpr absl::Duration kQuietTime = absl::Milliseconds(500);
constexpr absl::Duration kRewriteInterval = absl::Milliseconds(200);
constexpr absl::Duration kLineInterval = absl::Seconds(5);

constexpr absl::string_view kEraseLine = "\r\x1b[K";

bool IsDumb(const TerminalFacts& facts) {
  return facts.term == nullptr || absl::string_view(facts.term) == "dumb" || facts.term[0] == '\0';
}

}  // namespace

std::string Painted(absl::string_view text, Tone tone, Colors colors) {
  if (colors == Colors::kOff || tone == Tone::kPlain) return std::string(text);
  const absl::string_view color = tone == Tone::kGood      ? "\x1b[32m"
                                  : tone == Tone::kWarning ? "\x1b[33m"
                                                           : "\x1b[31m";
  return absl::StrCat(color, text, "\x1b[0m");
}

TerminalFacts FactsOf(int fd) {
  return {.is_terminal = isatty(fd) == 1, .no_color = getenv("NO_COLOR"), .term = getenv("TERM")};
}

Colors ColorsFor(const TerminalFacts& facts) {
  const bool is_refused = facts.no_color != nullptr && facts.no_color[0] != '\0';
  return facts.is_terminal && !IsDumb(facts) && !is_refused ? Colors::kOn : Colors::kOff;
}

ProgressStyle ProgressStyleFor(const TerminalFacts& facts) {
  return facts.is_terminal && !IsDumb(facts) ? ProgressStyle::kRewrite : ProgressStyle::kLines;
}

Progress::Progress(Options options) : options_(std::move(options)), begin_(options_.clock->Now()) {
  next_ = begin_ + (options_.style == ProgressStyle::kRewrite ? kQuietTime : kLineInterval);
  if (options_.write == nullptr) {
    options_.write = [](absl::string_view text) { fwrite(text.data(), 1, text.size(), stderr); };
  }
}

Progress::~Progress() {
  if (is_shown_) options_.write(kEraseLine);
}

void Progress::Update(uint64_t done) {
  if (options_.style == ProgressStyle::kSilent) return;
  const absl::Time now = options_.clock->Now();
  if (now < next_) return;
  if (options_.style == ProgressStyle::kLines) {
    next_ = now + kLineInterval;
    options_.write(absl::StrCat(Line(done, now), "\n"));
    return;
  }
  next_ = now + kRewriteInterval;
  is_shown_ = true;
  options_.write(absl::StrCat(kEraseLine, Line(done, now)));
}

void Progress::Update(uint64_t done, uint64_t total) {
  options_.total = total;
  Update(done);
}

// "kekctl: measuring calls: 500 of 2000 (25%), 12s left".
std::string Progress::Line(uint64_t done, absl::Time now) const {
  std::string line = absl::StrCat("kekctl: ", options_.what, ": ", done);
  if (options_.total == 0) return line;
  absl::StrAppend(&line, " of ", options_.total);
  if (done == 0) return line;
  const double part =
      std::min(1.0, static_cast<double>(done) / static_cast<double>(options_.total));
  const absl::Duration left = (now - begin_) * ((1 - part) / part);
  absl::StrAppend(&line, " (", static_cast<int>(part * 100), "%), ", FormatAge(left), " left");
  return line;
}

}  // namespace kekd
