#include "base/nearest_name.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"

namespace kekd {
namespace {

// Longer texts are no mistyped names, and comparing them would cost for nothing.
constexpr size_t kMaxNameBytes = 60;

// Levenshtein's distance: how many letters to insert, drop or change.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace

absl::string_view NearestName(absl::string_view unknown,
                              absl::Span<const absl::string_view> known) {
  if (unknown.size() > kMaxNameBytes) return "";
  const std::string lower = absl::AsciiStrToLower(unknown);
  absl::string_view nearest;
  // Not as far as changing every letter: then they would have nothing in common.
  size_t least = std::min(std::max<size_t>(2, unknown.size() / 3) + 1, unknown.size());
  for (const absl::string_view name : known) {
    const size_t distance = EditDistance(lower, absl::AsciiStrToLower(name));
    if (distance < least) {
      least = distance;
      nearest = name;
    }
  }
  return nearest;
}

}  // namespace kekd
