#include "base/secret_bytes.h"

#include <gtest/gtest.h>

#include <concepts>
#include <ostream>
#include <string>
#include <type_traits>
#include <utility>

#include "tests/support/secrets.h"

namespace kekd {
namespace {

using ::kekd::testing::RevealedText;
using ::kekd::testing::SecretFromText;

// Looks at memory that was given back. It stays mapped: the arena keeps its regions.
bool IsZero(const volatile uint8_t* memory, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (memory[i] != 0) return false;
  }
  return true;
}

const volatile uint8_t* AddressOf(const SecretBytes& secret) {
  return secret.Reveal(SecretAccessToken()).data();
}

template <typename T>
concept Printable = requires(std::ostream& out, const T& value) { out << value; };

static_assert(!std::is_copy_constructible_v<SecretBytes>);
static_assert(!std::is_copy_assignable_v<SecretBytes>);
static_assert(!std::equality_comparable<SecretBytes>);
static_assert(!Printable<SecretBytes>);

TEST(SecretBytesTest, PrintsItsSizeAndNoByte) {
  EXPECT_EQ(::testing::PrintToString(SecretFromText("top secret")), "SecretBytes(10 bytes)");
  EXPECT_EQ(::testing::PrintToString(SecretBytes()), "SecretBytes(0 bytes)");
}

TEST(SecretBytesTest, BeginsAsZeros) {
  const SecretBytes secret(100);
  EXPECT_EQ(secret.size(), 100u);
  EXPECT_TRUE(IsZero(AddressOf(secret), 100));
}

TEST(SecretBytesTest, WipesItsMemoryWhenItGoes) {
  const volatile uint8_t* memory = nullptr;
  {
    const SecretBytes secret = SecretFromText("sixteen bytes!!!");
    memory = AddressOf(secret);
    ASSERT_FALSE(IsZero(memory, 16));
  }
  EXPECT_TRUE(IsZero(memory, 16));
}

TEST(SecretBytesTest, LeavesNothingBehindWhenMovedFrom) {
  SecretBytes from = SecretFromText("abc");
  const SecretBytes to = std::move(from);
  EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(RevealedText(to), "abc");
}

TEST(SecretBytesTest, WipesWhatItHeldWhenAssignedTo) {
  SecretBytes held = SecretFromText("old old old");
  const volatile uint8_t* const old = AddressOf(held);
  SecretBytes next = SecretFromText("new");
  held = std::move(next);
  EXPECT_TRUE(IsZero(old, 11));
  EXPECT_EQ(RevealedText(held), "new");
  EXPECT_TRUE(next.empty());  // NOLINT(bugprone-use-after-move)
}

TEST(SecretBytesTest, SurvivesAMoveToItself) {
  SecretBytes secret = SecretFromText("abc");
  SecretBytes& same = secret;
  secret = std::move(same);
  EXPECT_EQ(RevealedText(secret), "abc");
}

TEST(SecretBytesTest, TruncateWipesTheRest) {
  SecretBytes secret = SecretFromText("keep!drop drop");
  const volatile uint8_t* const memory = AddressOf(secret);
  secret.Truncate(5);
  EXPECT_EQ(RevealedText(secret), "keep!");
  EXPECT_TRUE(IsZero(memory + 5, 9));
  secret.Truncate(5);
  EXPECT_EQ(secret.size(), 5u);
  secret.Truncate(0);
  EXPECT_TRUE(secret.empty());
  EXPECT_TRUE(IsZero(memory, 5));
}

TEST(SecretBytesTest, CloneIsIndependent) {
  SecretBytes original = SecretFromText("abc");
  const SecretBytes clone = original.Clone();
  original.RevealMutable(SecretAccessToken())[0] = 'x';
  EXPECT_EQ(RevealedText(clone), "abc");
  EXPECT_TRUE(SecretBytes().Clone().empty());
}

TEST(SecretBytesTest, ComparesEveryByteAndTheSize) {
  const SecretBytes secret = SecretFromText("0123456789");
  EXPECT_TRUE(SecretBytes::ConstantTimeEquals(secret, secret.Clone()));
  EXPECT_TRUE(SecretBytes::ConstantTimeEquals(SecretBytes(), SecretBytes()));
  EXPECT_FALSE(SecretBytes::ConstantTimeEquals(secret, SecretFromText("012345678")));
  EXPECT_FALSE(SecretBytes::ConstantTimeEquals(secret, SecretBytes()));
  for (size_t i = 0; i < secret.size(); ++i) {
    SecretBytes other = secret.Clone();
    other.RevealMutable(SecretAccessToken())[i] ^= 0x80;
    EXPECT_FALSE(SecretBytes::ConstantTimeEquals(secret, other)) << i;
  }
}

TEST(SecretBytesTest, WipeOverwritesMemoryOfOthers) {
  std::string text = "plaintext";
  Wipe(text.data(), 5);
  EXPECT_EQ(text, std::string(5, '\0') + "text");
  Wipe(nullptr, 0);
}

}  // namespace
}  // namespace kekd
