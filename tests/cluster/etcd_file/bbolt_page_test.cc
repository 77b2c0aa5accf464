#include "cluster/etcd_file/bbolt_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "tests/cluster/etcd_file/bbolt_writer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using testing::BboltWriter;
using ::testing::HasSubstr;
using testing::StatusIs;

// A leaf of the elements a=1, b=2, as the writer lays it out.
std::string Leaf() {
  testing::TempDirectory folder;
  const std::string path = folder.File("db");
  BboltWriter writer(path);
  writer.BeginBucket("key");
  writer.Put("a", "1");
  writer.Put("b", "2");
  writer.Finish();
  return testing::ReadTestFile(path).substr(2 * 4096, 4096);
}

void Set32(std::string& page, size_t at, uint32_t value) {
  std::memcpy(page.data() + at, &value, sizeof(value));
}

TEST(BboltPageTest, ReadsALeaf) {
  const std::string page = Leaf();
  EXPECT_EQ(ReadPageHeader(page).id, 2u);
  KEKD_ASSERT_OK_AND_ASSIGN(const ElementPage leaf, ElementPage::Check(page));
  ASSERT_TRUE(leaf.is_leaf());
  ASSERT_EQ(leaf.count(), 2u);
  EXPECT_EQ(leaf.leaf(0).key, "a");
  EXPECT_EQ(leaf.leaf(1).key, "b");
  EXPECT_EQ(leaf.leaf(1).value, "2");
  EXPECT_FALSE(leaf.leaf(1).is_bucket);
  EXPECT_EQ(leaf.content_end(), 16u + 2 * 16 + 4);
}

TEST(BboltPageTest, RefusesAPageThatDoesNotFitItsHeader) {
  const std::string good = Leaf();
  std::string page = good;
  Set32(page, 16 + 4, 4096);  // pos of element 0
  EXPECT_THAT(ElementPage::Check(page),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("element 0")));
  page = good;
  Set32(page, 32 + 4, 16);  // pos of element 1: that of element 0's content
  EXPECT_THAT(ElementPage::Check(page),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("lies over")));
  page = good;
  Set32(page, 32 + 12, UINT32_MAX);  // value size of element 1
  EXPECT_THAT(ElementPage::Check(page),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("element 1")));
  page = good;
  page[10] = page[11] = '\xff';  // count
  EXPECT_THAT(ElementPage::Check(page), StatusIs(absl::StatusCode::kDataLoss));
  page = good;
  page[8] = 0x10;
  EXPECT_THAT(ElementPage::Check(page),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("flags are 16")));
  page = good;
  std::swap(page[48], page[50]);
  EXPECT_THAT(ElementPage::Check(page), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("order")));
  EXPECT_THAT(ElementPage::Check("short"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(BboltPageTest, ReadsTheLengthOfAFreelist) {
  std::string page(4096, '\0');
  page[8] = 0x10;
  page[10] = 3;
  EXPECT_THAT(FreelistContentEnd(page), testing::IsOkAndHolds(16u + 3 * 8));
  // 0xffff stands for a count that comes first.
  page[10] = page[11] = '\xff';
  page[16] = 5;
  EXPECT_THAT(FreelistContentEnd(page), testing::IsOkAndHolds(16u + 8 + 5 * 8));
  page[23] = '\xff';
  EXPECT_THAT(FreelistContentEnd(page), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(BboltPageTest, TellsWhyThereIsNoMeta) {
  std::string page(4096, '\0');
  EXPECT_THAT(ReadMeta(page), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ReadMeta("short"), StatusIs(absl::StatusCode::kNotFound));
  Set32(page, 16, 0xEDDA0CED);
  EXPECT_THAT(ReadMeta(page),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("byte order")));
  Set32(page, 16, 0xED0CDAED);
  EXPECT_THAT(ReadMeta(page), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("checksum")));
}

}  // namespace
}  // namespace kekd
