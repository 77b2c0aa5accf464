#include "base/wire_reader.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace kekd {
namespace {

using Type = WireField::Type;

// The examples of protobuf.dev's "Encoding": field 1 = 150, field 2 = "testing".
TEST(WireReaderTest, ReadsTheFieldsOfAMessage) {
  const std::string message(
      "\x08\x96\x01\x12\x07testing\x1d\x01\x02\x03\x04\x21\x01\x02\x03\x04\x05\x06\x07\x08", 26);
  WireReader reader(message);
  std::optional<WireField> field = reader.Next();
  ASSERT_TRUE(field);
  EXPECT_EQ(field->number, 1u);
  EXPECT_EQ(field->type, Type::kVarint);
  EXPECT_EQ(field->number_value, 150u);
  field = reader.Next();
  ASSERT_TRUE(field);
  EXPECT_EQ(field->number, 2u);
  EXPECT_EQ(field->type, Type::kBytes);
  EXPECT_EQ(field->bytes, "testing");
  field = reader.Next();
  ASSERT_TRUE(field);
  EXPECT_EQ(field->type, Type::kFixed32);
  EXPECT_EQ(field->bytes.size(), 4u);
  field = reader.Next();
  ASSERT_TRUE(field);
  EXPECT_EQ(field->type, Type::kFixed64);
  EXPECT_EQ(field->bytes.size(), 8u);
  EXPECT_FALSE(reader.Next());
  EXPECT_TRUE(reader.ok());
  EXPECT_TRUE(reader.rest().empty());
}

TEST(WireReaderTest, StopsAtWhatIsNoField) {
  for (const std::string& bad :
       {std::string("\x08"), std::string("\x12\x07test"), std::string("\x0b"), std::string("\x0c"),
        std::string("\x0f"), std::string(1, '\0'), std::string("\x1d\x01\x02"),
        // A varint of eleven bytes, one above 64 bits, a length above what there is.
        "\x08" + std::string(10, '\x80') + "\x01", "\x08" + std::string(9, '\xff') + "\x02",
        "\x12" + std::string(9, '\xff') + "\x01"}) {
    WireReader reader(bad);
    EXPECT_FALSE(reader.Next());
    EXPECT_FALSE(reader.ok());
    EXPECT_EQ(reader.rest(), bad);
    EXPECT_FALSE(reader.Next()) << "it stays where it failed";
  }
}

TEST(WireReaderTest, ReadsTheLargestNumber) {
  std::string bytes = std::string(9, '\xff') + "\x01";
  absl::string_view rest = bytes;
  EXPECT_EQ(TakeVarint(rest), UINT64_MAX);
  EXPECT_TRUE(rest.empty());
}

}  // namespace
}  // namespace kekd
