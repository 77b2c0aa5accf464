#include "kms/ctl/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/utf8.h"

namespace kekd {
namespace {

constexpr absl::string_view kGap = "  ";

// Code points, which is what a terminal's columns are for the texts of ours.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

// Characters that make a terminal show what follows in another order than it is in (Unicode, annex
// 9), and so a name for what it is not.
bool TurnsText(absl::string_view character) {
  const auto within = [&](absl::string_view first, absl::string_view last) {
    return character >= first && character <= last;
  };
  return character == "\u061c" || within("\u200e", "\u200f") || within("\u202a", "\u202e") ||
         within("\u2066", "\u2069");
}

// The bytes of the first character if it is UTF-8 and does nothing but stand for itself; else 0.
size_t PrintableCharacter(absl::string_view text) {
  const size_t size = Utf8CharacterBytes(text);
  const absl::string_view character = text.substr(0, size);
  if (size == 1) return character >= " " && character != "\x7f" ? 1 : 0;
  // U+0080 to U+009F are control characters too: U+009B does what ESC [ does.
  const bool is_control = size == 2 && character >= "\xc2\x80" && character <= "\xc2\x9f";
  return is_control || TurnsText(character) ? 0 : size;
}

}  // namespace

std::string Printable(absl::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const size_t size = PrintableCharacter(text);
    if (size != 0) {
      absl::StrAppend(&shown, text.substr(0, size));
      text.remove_prefix(size);
      continue;
    }
    absl::StrAppendFormat(&shown, "\\x%02x", static_cast<unsigned char>(text[0]));
    text.remove_prefix(1);
  }
  return shown;
}

std::string Table::ToString(Colors colors) const {
  std::vector<size_t> widths(rows_.front().size());
  std::vector<std::vector<std::string>> shown;
  for (const std::vector<std::string>& row : rows_) {
    std::vector<std::string>& cells = shown.emplace_back();
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      cells.push_back(Printable(row[i].empty() ? "-" : row[i]));
      widths[i] = std::max(widths[i], Width(cells[i]));
    }
  }
  std::string text;
  for (size_t row = 0; row < shown.size(); ++row) {
    const std::vector<std::string>& cells = shown[row];
    for (size_t i = 0; i < cells.size(); ++i) {
      const auto tone = tones_.find({row, i});
      absl::StrAppend(
          &text, i == 0 ? "" : kGap,
          Painted(cells[i], tone == tones_.end() ? Tone::kPlain : tone->second, colors));
      if (i + 1 < cells.size()) text.append(widths[i] - Width(cells[i]), ' ');
    }
    text += '\n';
  }
  return text;
}

std::string FormatMillis(int64_t unix_millis) {
  if (unix_millis == 0) return "";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixMillis(unix_millis),
                          absl::UTCTimeZone());
}

std::string FormatMillisWithAge(int64_t unix_millis, absl::Time now) {
  if (unix_millis == 0) return "-";
  const absl::Duration age = now - absl::FromUnixMillis(unix_millis);
  return absl::StrCat(FormatMillis(unix_millis), " (", FormatAge(age), " ago)");
}

std::string FormatMillisAsAge(int64_t unix_millis, absl::Time now) {
  if (unix_millis == 0) return "-";
  return absl::StrCat(FormatAge(now - absl::FromUnixMillis(unix_millis)), " ago");
}

std::string FormatAge(absl::Duration age) {
  // A clock that was set back makes nothing younger than now.
  const int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(age));
  if (seconds < 60) return absl::StrCat(seconds, "s");
  const int64_t minutes = seconds / 60;
  if (minutes < 60) return absl::StrCat(minutes, "m");
  const int64_t hours = minutes / 60;
  if (hours < 24) return absl::StrCat(hours, "h", minutes % 60, "m");
  return absl::StrCat(hours / 24, "d", hours % 24, "h");
}

std::string FormatLatency(absl::Duration latency) {
  const int64_t micros = absl::ToInt64Microseconds(latency);
  if (micros < 1000) return absl::StrCat(micros, "us");
  return absl::StrFormat("%.2fms", absl::ToDoubleMilliseconds(latency));
}

}  // namespace kekd
