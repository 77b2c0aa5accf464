#include "cluster/etcd_file/remains.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/cluster/etcd_file/bbolt_writer.h"
#include "tests/cluster/etcd_file/collected.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using testing::BytesField;
using ::testing::ElementsAre;
using testing::EncodeKeyValue;
using testing::Found;
using ::testing::IsEmpty;

class RemainsTest : public ::testing::Test {
 protected:
  absl::Status Keep(const StoredObject& object) {
    found_.push_back({.place = object.place,
                      .key = std::string(object.key),
                      .value = std::string(object.value),
                      .mod_revision = object.mod_revision,
                      .whole = object.whole});
    return absl::OkStatus();
  }
  std::vector<Found> Search(absl::string_view bytes) {
    found_.clear();
    const auto keep = [this](const StoredObject& object) { return Keep(object); };
    KEKD_EXPECT_OK(RemainsFinder(range_, Place::kFreeSpace, keep).Search(bytes));
    return found_;
  }

  ReadRange range_;
  std::vector<Found> found_;
};

Found Remains(std::string key, std::string value, int64_t revision, bool whole = true) {
  return {.place = Place::kFreeSpace,
          .key = std::move(key),
          .value = std::move(value),
          .mod_revision = revision,
          .whole = whole};
}

TEST_F(RemainsTest, FindsAnObjectBetweenOtherBytes) {
  const std::string bytes = "xx\x0a\x05" + EncodeKeyValue("/registry/secrets/a", "plain", 7) + "zz";
  EXPECT_THAT(Search(bytes), ElementsAre(Remains("/registry/secrets/a", "plain", 7)));
}

TEST_F(RemainsTest, FindsWhatAPutRequestHas) {
  const std::string put = BytesField(1, "/registry/secrets/a") + BytesField(2, "plain");
  EXPECT_THAT(Search("??" + put), ElementsAre(Remains("/registry/secrets/a", "plain", 0)));
}

TEST_F(RemainsTest, TellsThatTheEndIsMissing) {
  const std::string whole = EncodeKeyValue("/registry/secrets/a", std::string(300, 'v'), 7);
  EXPECT_THAT(Search(absl::string_view(whole).substr(0, whole.size() - 200)),
              ElementsAre(Remains("/registry/secrets/a", std::string(100, 'v'), 7, false)));
  // At every length: nothing is made up, and nothing of a value is left out.
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<Found> found = Search(absl::string_view(whole).substr(0, size));
    const size_t before = whole.size() - 300;
    ASSERT_EQ(found.size(), size > before ? 1u : 0u) << size;
    if (size > before) {
      EXPECT_EQ(found[0].value.size(), size - before);
    }
  }
}

// A runtime.Unknown of Kubernetes, with two empty fields at the end.
std::string Plaintext(const std::string& content) {
  return std::string("k8s\0", 4) + BytesField(1, BytesField(1, "v1") + BytesField(2, "Secret")) +
         BytesField(2, content) + BytesField(3, "") + BytesField(4, "");
}

TEST_F(RemainsTest, FindsPlaintextThatHasLostItsKey) {
  const std::string plain = Plaintext("password");
  EXPECT_THAT(Search("y/a\x10\x07" + plain + "zz"), ElementsAre(Remains("", plain, 0)));
  const std::string cut = plain.substr(0, plain.size() - 6);
  EXPECT_THAT(Search(cut), ElementsAre(Remains("", cut, 0, false)));
  EXPECT_THAT(Search(plain + plain), ElementsAre(Remains("", plain, 0), Remains("", plain, 0)));
  // With its key it is found once.
  const std::string keyed = EncodeKeyValue("/registry/secrets/a", plain, 7);
  EXPECT_THAT(Search(keyed), ElementsAre(Remains("/registry/secrets/a", plain, 7)));
  EXPECT_THAT(Search(keyed.substr(0, keyed.size() - 6)),
              ElementsAre(Remains("/registry/secrets/a", cut, 7, false)));
  // What only begins alike is none.
  EXPECT_THAT(Search(std::string("k8s\0\x0a\x05hello", 11)), IsEmpty());
  EXPECT_THAT(Search(plain.substr(0, 9)), IsEmpty());
}

TEST_F(RemainsTest, WhatAValueHoldsIsNotCountedTwice) {
  const std::string inner = EncodeKeyValue("/registry/secrets/b", Plaintext("inner"), 8);
  const std::string outer = EncodeKeyValue("/registry/secrets/a", Plaintext(inner), 7);
  EXPECT_THAT(Search(outer), ElementsAre(Remains("/registry/secrets/a", Plaintext(inner), 7)));
  // A value that is none any more was overwritten, by what then is in it.
  const std::string over = "overwritten by " + inner;
  EXPECT_THAT(Search(EncodeKeyValue("/registry/secrets/a", over, 7)),
              ElementsAre(Remains("/registry/secrets/a", over, 7),
                          Remains("/registry/secrets/b", Plaintext("inner"), 8)));
}

TEST_F(RemainsTest, ItsWorkGrowsWithTheBytesWhateverTheyAre) {
  // Values that lie in each other, whole and cut.
  for (const bool whole : {false, true}) {
    std::string bytes;
    for (int i = 0; i < 20'000; ++i) {
      const std::string one = EncodeKeyValue("/registry/a/" + std::to_string(10'000 + i), "", 1);
      bytes += one.substr(0, one.size() - 1) + "\x80\x80" + (whole ? "\x08" : "\x7f");
    }
    if (whole) bytes.append(1 << 20, 'x');
    size_t handed = 0;
    size_t hits = 0;
    const auto count = [&](const StoredObject& object) {
      handed += object.value.size();
      ++hits;
      return absl::OkStatus();
    };
    KEKD_EXPECT_OK(RemainsFinder(range_, Place::kFreeSpace, count).Search(bytes));
    EXPECT_GE(hits, 19'999u);  // of the last one that is cut nothing is left
    EXPECT_LE(handed, bytes.size() + hits * RemainsFinder::kMaxBeginning);
  }
}

TEST_F(RemainsTest, FindsAKeyWhoseLengthHasTwoBytes) {
  const std::string key = "/registry/" + std::string(300, 'k');
  EXPECT_THAT(Search(EncodeKeyValue(key, "v", 1)), ElementsAre(Remains(key, "v", 1)));
}

TEST_F(RemainsTest, LooksForTheRangesPrefixesOnly) {
  EXPECT_THAT(Search(EncodeKeyValue("/elsewhere/a", "v", 1)), IsEmpty());
  EXPECT_THAT(Search("/registry/secrets/a is mentioned"), IsEmpty());
  // A deletion has a key only; a RangeRequest has the end of the range where a put has its value.
  EXPECT_THAT(Search(BytesField(1, "/registry/secrets/a")), IsEmpty());
  EXPECT_THAT(Search(BytesField(1, "/registry/a/") + BytesField(2, "/registry/a0")), IsEmpty());
  range_.prefixes = {"/elsewhere/"};
  EXPECT_THAT(Search(EncodeKeyValue("/elsewhere/a", "v", 1)),
              ElementsAre(Remains("/elsewhere/a", "v", 1)));
}

TEST_F(RemainsTest, FindsEverythingInAFileOnce) {
  testing::TempDirectory folder;
  const std::string path = folder.File("remains");
  // Objects across the windows in which the file is read, one of them as large as they may be.
  std::string bytes;
  std::vector<Found> expected;
  for (int i = 0; bytes.size() < 3 * RemainsFinder::kMaxValue; ++i) {
    const size_t size = i == 30 ? RemainsFinder::kMaxValue - 100 : 100'001;
    const std::string key = "/registry/secrets/" + std::to_string(i);
    expected.push_back(Remains(key, std::string(size, static_cast<char>('a' + i % 26)), i + 1));
    bytes += EncodeKeyValue(key, expected.back().value, static_cast<uint64_t>(i + 1));
  }
  testing::WriteTestFile(path, bytes);
  KEKD_ASSERT_OK_AND_ASSIGN(const auto file, OpenRandomAccessFile(path));
  const auto keep = [this](const StoredObject& object) { return Keep(object); };
  RemainsFinder finder(range_, Place::kFreeSpace, keep);
  GapList gaps;
  uint64_t searched = 0;
  KEKD_ASSERT_OK(
      finder.SearchFile(*file, 0, bytes.size(), gaps, [&](uint64_t size) { searched += size; }));
  EXPECT_EQ(searched, bytes.size());
  EXPECT_EQ(gaps.count(), 0u);
  EXPECT_TRUE(found_ == expected);
}

}  // namespace
}  // namespace kekd
