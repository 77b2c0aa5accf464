// Text for people: tables, times and durations.
#ifndef KEKD_KMS_CTL_TABLE_H_
#define KEKD_KMS_CTL_TABLE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "kms/ctl/terminal.h"

namespace kekd {

// Table lines texts up in columns. Control characters of a cell are escaped, since what is shown
// may come from a file or a peer and must not steer the terminal. Thread-compatible.
class Table final {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

  // As many cells as the header has.
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // Gives the cell in that column of the last row its tone.
  void SetTone(size_t column, Tone tone) { tones_[{rows_.size() - 1, column}] = tone; }
  // One line a row, without blanks at its end.
  std::string ToString(Colors colors = Colors::kOff) const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::map<std::pair<size_t, size_t>, Tone> tones_;  // by row and column
};

// The text with its control characters, those that change the direction of text, and bytes that
// are no UTF-8 escaped.
std::string Printable(absl::string_view text);

// RFC 3339 in UTC, to the second; empty for 0, which stands for "never".
std::string FormatMillis(int64_t unix_millis);
// The same with its age: "2026-03-01T10:00:00Z (3h ago)"; "-" for 0.
std::string FormatMillisWithAge(int64_t unix_millis, absl::Time now);
// Only its age: "3h12m ago"; "-" for 0.
std::string FormatMillisAsAge(int64_t unix_millis, absl::Time now);
// "45s", "12m", "3h12m", "17d4h": the two largest units.
std::string FormatAge(absl::Duration age);
// "85us", "1.25ms".
std::string FormatLatency(absl::Duration latency);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_TABLE_H_
