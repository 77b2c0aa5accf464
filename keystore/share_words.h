// Secret bytes as words that can be written down, read out and typed.
#ifndef KEKD_KEYSTORE_SHARE_WORDS_H_
#define KEKD_KEYSTORE_SHARE_WORDS_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"

namespace kekd {

// Proquints (D. S. Wilkerson, "A Proposal for Proquints", arXiv:0901.4016): each 16 bits are a word
// of five letters, consonant, vowel, consonant, vowel, consonant, with 16 consonants and 4 vowels.
// Four words a line, each line with its number before it, so that a place can be named.
inline constexpr size_t kWordsPerLine = 4;
inline constexpr size_t kWordLetters = 5;

// The line that a word (from 1) is written in.
inline size_t LineOfWord(size_t word) { return (word - 1) / kWordsPerLine + 1; }

// The text of an even number of bytes: lines with their ends.
SecretBytes EncodeWords(const SecretBytes& bytes);

// `size` bytes, which is even, from their words: in upper or lower case, with blanks, line ends,
// hyphens, commas and full stops between them; numbers (the lines') are skipped. InvalidArgument,
// with the number of the first word that is none or of how many there are, otherwise; the words
// themselves are in no error.
absl::StatusOr<SecretBytes> DecodeWords(ByteView text, size_t size);

// The 51 other words that a word becomes by one wrong letter, by number (below kOtherWords).
inline constexpr size_t kOtherWords = 3 * 15 + 2 * 3;
uint16_t WithOneOtherLetter(uint16_t word, size_t which);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_SHARE_WORDS_H_
