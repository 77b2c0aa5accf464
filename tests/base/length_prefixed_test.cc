#include "base/length_prefixed.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/hex.h"

namespace kekd {
namespace {

TEST(LengthPrefixedTest, WritesEachLengthInFrontOfItsField) {
  LengthPrefixed fields;
  fields.Add("ab").AddU8(7).AddU32(0x01020304).Add(absl::string_view());
  EXPECT_EQ(HexEncode(AsBytes(fields.bytes())),
            "000000026162"
            "0000000107"
            "0000000401020304"
            "00000000");
}

// What makes it safe to hash: no two lists of fields have one encoding.
TEST(LengthPrefixedTest, GivesEveryListOfFieldsItsOwnBytes) {
  std::set<std::string> seen;
  size_t lists = 0;
  for (int count = 0; count <= 3; ++count) {
    for (int lengths = 0; lengths < (count == 0 ? 1 : 1 << (2 * count)); ++lengths) {
      LengthPrefixed fields;
      for (int i = 0; i < count; ++i) {
        fields.Add(std::string(static_cast<size_t>(lengths >> (2 * i) & 3), '\0'));
      }
      seen.insert(fields.bytes());
      ++lists;
    }
  }
  EXPECT_EQ(seen.size(), lists);
}

TEST(LengthPrefixedTest, AppendsAndReadsBigEndian) {
  std::string bytes;
  AppendU16(bytes, 0xfe01);
  AppendU32(bytes, 0xfedcba01);
  AppendU64(bytes, 0xfedcba9876543210);
  EXPECT_EQ(HexEncode(AsBytes(bytes)), "fe01fedcba01fedcba9876543210");
  const uint8_t* const data = AsBytes(bytes).data();
  EXPECT_EQ(ReadU16(data), 0xfe01);
  EXPECT_EQ(ReadU32(data + 2), 0xfedcba01);
  EXPECT_EQ(ReadU64(data + 6), 0xfedcba9876543210);
}

}  // namespace
}  // namespace kekd
