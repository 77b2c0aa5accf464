#include "tests/memory/secret_index.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "base/hex.h"

namespace kekd::testing {
namespace {

constexpr size_t kFilterBits = size_t{1} << 24;
// Keys are this long at most: what is longer is not looked for in the forms that keys get.
constexpr size_t kHashedBytes = 64;

uint64_t KeyAt(const void* memory) {
  uint64_t key;
  memcpy(&key, memory, sizeof(key));
  return key;
}

size_t FilterBit(uint64_t key) { return (key * 0x9e3779b97f4a7c15) >> 40; }

// Zeros, and what else a pattern of a program looks like, are no trace of a secret.
bool IsTelling(absl::string_view window) {
  std::array<bool, 256> seen = {};
  size_t different = 0;
  for (const char c : window) different += !std::exchange(seen[static_cast<uint8_t>(c)], true);
  return different > SecretIndex::kWindowBytes / 2;
}

// As SHA-2 takes its input: big-endian words, as numbers of the machine.
std::string Swapped(ByteView secret, size_t word) {
  std::string text(AsText(secret));
  text.resize(text.size() / word * word);
  for (size_t i = 0; i < text.size(); i += word) {
    std::reverse(text.data() + i, text.data() + i + word);
  }
  return text;
}

// As HMAC takes a key (FIPS 198-1, section 4, steps 4 and 7).
std::string Padded(ByteView secret, uint8_t pad) {
  std::string text(AsText(secret));
  for (char& c : text) c = static_cast<char>(c ^ pad);
  return text;
}

}  // namespace

void SecretIndex::Add(absl::string_view kind, ByteView secret) {
  AddPattern(kind, "raw", std::string(AsText(secret)), kWindowBytes, 1);
  if (secret.size() <= kHashedBytes) {
    AddPattern(kind, "32-bit words", Swapped(secret, 4), kWindowBytes, 4);
    AddPattern(kind, "64-bit words", Swapped(secret, 8), kWindowBytes, 8);
    AddPattern(kind, "HMAC's inner key", Padded(secret, 0x36), kWindowBytes, 1);
    AddPattern(kind, "HMAC's outer key", Padded(secret, 0x5c), kWindowBytes, 1);
  }
  const std::string hex = HexEncode(secret);
  AddPattern(kind, "hex", hex, 2 * kWindowBytes, 2);
  AddPattern(kind, "hex", absl::AsciiStrToUpper(hex), 2 * kWindowBytes, 2);
  // What stands before it decides at which of its bytes a group of four digits begins. Nine bytes
  // are three groups.
  for (size_t skip = 0; skip < 3 && skip < secret.size(); ++skip) {
    absl::string_view rest = AsText(secret.subspan(skip));
    rest.remove_suffix(rest.size() % 3);
    AddPattern(kind, "base64", absl::Base64Escape(rest), 12, 4);
  }
  ++secrets_;
}

void SecretIndex::AddPattern(absl::string_view kind, absl::string_view form, std::string text,
                             size_t size, size_t step) {
  const auto number = static_cast<uint32_t>(patterns_.size());
  for (size_t offset = 0; offset + size <= text.size(); offset += step) {
    if (!IsTelling(absl::string_view(text).substr(offset, size))) continue;
    windows_.push_back({KeyAt(text.data() + offset), number, static_cast<uint32_t>(offset),
                        static_cast<uint32_t>(size)});
  }
  patterns_.push_back({std::string(kind), form, secrets_, std::move(text)});
}

void SecretIndex::Build() {
  std::sort(windows_.begin(), windows_.end(),
            [](const Window& a, const Window& b) { return a.key < b.key; });
  filter_.assign(kFilterBits / 64, 0);
  for (const Window& window : windows_) {
    const size_t bit = FilterBit(window.key);
    filter_[bit / 64] |= uint64_t{1} << (bit % 64);
  }
}

void SecretIndex::Search(ByteView memory, Found found) const {
  if (memory.size() < kWindowBytes) return;
  const auto less = [](const Window& window, uint64_t key) { return window.key < key; };
  for (size_t at = 0; at + kWindowBytes <= memory.size(); ++at) {
    const uint64_t key = KeyAt(memory.data() + at);
    if (key == 0) continue;  // most of memory
    const size_t bit = FilterBit(key);
    if ((filter_[bit / 64] >> (bit % 64) & 1) == 0) continue;
    for (auto window = std::lower_bound(windows_.begin(), windows_.end(), key, less);
         window != windows_.end() && window->key == key; ++window) {
      const Pattern& pattern = patterns_[window->pattern];
      if (at + window->size <= memory.size() &&
          memcmp(memory.data() + at, pattern.text.data() + window->offset, window->size) == 0) {
        found(at, window->size, pattern);
      }
    }
  }
}

}  // namespace kekd::testing
