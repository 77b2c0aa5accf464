#include "keystore/share_words.h"

#include <array>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/length_prefixed.h"

namespace kekd {
namespace {

constexpr absl::string_view kConsonants = "bdfghjklmnprstvz";
constexpr absl::string_view kVowels = "aiou";

// Where the bits of each letter are in a word's 16, and what it may be.
struct Letter {
  int shift;
  absl::string_view alphabet;
};
constexpr std::array<Letter, kWordLetters> kLetters = {
    {{12, kConsonants}, {10, kVowels}, {6, kConsonants}, {4, kVowels}, {0, kConsonants}}};

uint16_t Mask(const Letter& letter) {
  return static_cast<uint16_t>((letter.alphabet.size() - 1) << letter.shift);
}

bool IsBetweenWords(char c) {
  return absl::ascii_isspace(static_cast<unsigned char>(c)) || c == '-' || c == ',' || c == '.' ||
         c == ':';
}

// The next run of characters that are not between words, and the text behind it; empty at the end.
absl::string_view NextToken(absl::string_view& text) {
  while (!text.empty() && IsBetweenWords(text.front())) text.remove_prefix(1);
  size_t size = 0;
  while (size < text.size() && !IsBetweenWords(text[size])) ++size;
  const absl::string_view token = text.substr(0, size);
  text.remove_prefix(size);
  return token;
}

bool IsNumber(absl::string_view token) {
  return token.find_first_not_of("0123456789") == absl::string_view::npos;
}

bool DecodeWord(absl::string_view token, uint8_t* out) {
  if (token.size() != kWordLetters) return false;
  uint32_t word = 0;
  for (size_t i = 0; i < kWordLetters; ++i) {
    const char c = absl::ascii_tolower(static_cast<unsigned char>(token[i]));
    const size_t value = kLetters[i].alphabet.find(c);
    if (value == absl::string_view::npos) return false;
    word |= static_cast<uint32_t>(value) << kLetters[i].shift;
  }
  out[0] = static_cast<uint8_t>(word >> 8);
  out[1] = static_cast<uint8_t>(word);
  return true;
}

}  // namespace

SecretBytes EncodeWords(const SecretBytes& bytes) {
  const ByteView in = bytes.Reveal(SecretAccessToken());
  const size_t words = in.size() / 2;
  const size_t lines = words == 0 ? 0 : LineOfWord(words);
  constexpr size_t kNumberSize = 4;  // "12: "
  // Each word with the blank or line end behind it.
  SecretBytes text(lines * kNumberSize + words * (kWordLetters + 1));
  uint8_t* out = text.RevealMutable(SecretAccessToken()).data();
  for (size_t word = 0; word < words; ++word) {
    if (word % kWordsPerLine == 0) {
      const size_t line = LineOfWord(word + 1);
      *out++ = line < 10 ? ' ' : static_cast<uint8_t>('0' + line / 10 % 10);
      *out++ = static_cast<uint8_t>('0' + line % 10);
      *out++ = ':';
      *out++ = ' ';
    }
    const uint16_t value = ReadU16(in.data() + 2 * word);
    for (const Letter& letter : kLetters) {
      *out++ = static_cast<uint8_t>(letter.alphabet[(value & Mask(letter)) >> letter.shift]);
    }
    const bool ends_line = word + 1 == words || (word + 1) % kWordsPerLine == 0;
    *out++ = ends_line ? '\n' : ' ';
  }
  return text;
}

absl::StatusOr<SecretBytes> DecodeWords(ByteView text, size_t size) {
  SecretBytes bytes(size);
  uint8_t* const out = bytes.RevealMutable(SecretAccessToken()).data();
  absl::string_view rest = AsText(text);
  size_t words = 0;
  for (absl::string_view token = NextToken(rest); !token.empty(); token = NextToken(rest)) {
    if (IsNumber(token)) continue;
    uint8_t word[2];
    const bool is_word = DecodeWord(token, word);
    ++words;
    if (!is_word) {
      return absl::InvalidArgumentError(
          absl::StrCat("word ", words, " (in line ", LineOfWord(words),
                       ") is none that a share can have: each "
                       "has ",
                       kWordLetters,
                       " letters, and of those that sound alike only b d f g h j k l m n "
                       "p r s t v z and a i o u are used; compare it with what was written down"));
    }
    if (2 * words <= size) memcpy(out + 2 * (words - 1), word, sizeof(word));
    Wipe(word, sizeof(word));
  }
  if (2 * words != size) {
    return absl::InvalidArgumentError(
        absl::StrCat("there are ", words, " words, and a share has ", size / 2,
                     words * 2 < size ? ": some are missing" : ": some are too many"));
  }
  return bytes;
}

uint16_t WithOneOtherLetter(uint16_t word, size_t which) {
  for (const Letter& letter : kLetters) {
    const size_t others = letter.alphabet.size() - 1;
    if (which < others) {
      // 1 to 15 (3) added to what is there, in its own bits: each other letter once.
      const auto added = static_cast<uint32_t>(which + 1) << letter.shift;
      return static_cast<uint16_t>((word & ~Mask(letter)) | ((word + added) & Mask(letter)));
    }
    which -= others;
  }
  return word;
}

}  // namespace kekd
