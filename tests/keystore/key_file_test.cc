#include "keystore/key_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "tests/fakes/fake_random_source.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeRandomSource;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestUuid;
using ::kekd::testing::WriteTestFile;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class KeyFileTest : public ::testing::Test {
 protected:
  KeyFileTest() { KEKD_EXPECT_OK(NewKeyFile(path_)); }

  absl::Status NewKeyFile(const std::string& path) {
    return CreateKeyFile(FileSystem::System(), path, std::nullopt, std::nullopt,
                         RandomSource::System());
  }
  std::unique_ptr<RingKeyWrapper> Wrapper(std::optional<uid_t> other_owner = std::nullopt) {
    return ::kekd::testing::KeyFileWrapper(path_, FileSystem::System(), other_owner);
  }
  absl::StatusOr<Wrap> WrapIt() { return Wrapper()->WrapRingKey(*ring_key_, TestIdentity()); }
  absl::Status Unwrap(const Wrap& wrap, const RingIdentity& ring = TestIdentity()) {
    return Wrapper()->UnwrapRingKey(wrap, ring, RandomSource::System()).status();
  }

  TempDirectory folder_;
  const std::string path_ = folder_.File("ring.key");
  const std::shared_ptr<const RingKey> ring_key_ = *RingKey::Create(
      SecretFromText(std::string(32, 'r')), TestIdentity().ring_uuid, RandomSource::System());
};

TEST_F(KeyFileTest, OpensWhatItWrapped) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, WrapIt());
  EXPECT_EQ(wrap.type, WrapType::kKeyFile);
  EXPECT_EQ(wrap.reference, path_);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const RingKey> opened,
                            Wrapper()->UnwrapRingKey(wrap, TestIdentity(), RandomSource::System()));
  EXPECT_TRUE(SecretBytes::ConstantTimeEquals(opened->secret(), ring_key_->secret()));
}

// Pinned: docs/formats.md. The check digits, in Python:
//   hashlib.sha256(b'kekd/key-file-check/1' + b'0123456789abcdef0123456789abcdef').hexdigest()[:8]
TEST_F(KeyFileTest, IsOneLineOfItsFormat) {
  FakeRandomSource random;
  random.Queue("0123456789abcdef0123456789abcdef");
  const std::string path = folder_.File("golden.key");
  KEKD_ASSERT_OK(CreateKeyFile(FileSystem::System(), path, std::nullopt, std::nullopt, random));
  EXPECT_EQ(ReadTestFile(path),
            "kekd-key-file-1 "
            "3031323334353637383961626364656630313233343536373839616263646566 "
            "ddc0f29e\n");
  struct stat st;
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
}

TEST_F(KeyFileTest, IsNeverReplaced) {
  const std::string before = ReadTestFile(path_);
  EXPECT_THAT(NewKeyFile(path_), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReadTestFile(path_), before);
}

TEST_F(KeyFileTest, IsRefusedIfOthersHaveAnyRightOnIt) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, WrapIt());
  for (const mode_t mode : {0640u, 0604u, 0644u, 0620u, 0602u, 0610u, 0601u, 0660u, 0777u}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kPermissionDenied,
                                       AllOf(HasSubstr(path_), HasSubstr("chmod 0600"))));
  }
  for (const mode_t mode : {0600u, 0400u, 0700u}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    KEKD_EXPECT_OK(Unwrap(wrap));
  }
}

TEST_F(KeyFileTest, IsRefusedIfItBelongsToSomebodyElse) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, WrapIt());
  ASSERT_EQ(chown(path_.c_str(), 1234, 0), 0);
  EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("uid 1234")));
  KEKD_EXPECT_OK(Wrapper(1234)->UnwrapRingKey(wrap, TestIdentity(), RandomSource::System()));
  EXPECT_THAT(Wrapper(1235)->UnwrapRingKey(wrap, TestIdentity(), RandomSource::System()),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(KeyFileTest, IsReadWithTheLineEndsThatEditorsAdd) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, WrapIt());
  std::string line = ReadTestFile(path_);
  ASSERT_EQ(line.back(), '\n');
  line.pop_back();
  for (const char* end : {"", "\n", "\r\n", "\n\n"}) {
    WriteTestFile(path_, line + end);
    KEKD_EXPECT_OK(Unwrap(wrap));
  }
  for (const std::string& other : {" " + line, line + " ", line + "\nx", "\n" + line}) {
    WriteTestFile(path_, other);
    EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kDataLoss)) << other;
  }
}

// A typing error must not look like a wrong key: who typed it would give up the right one.
TEST_F(KeyFileTest, TellsADamagedDigitAtEveryPlace) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, WrapIt());
  const std::string good = ReadTestFile(path_);
  for (size_t i = 0; i + 1 < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == '0' ? '1' : '0';
    WriteTestFile(path_, bad);
    EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kDataLoss,
                                       AllOf(HasSubstr(path_), Not(HasSubstr("another one")))))
        << i;
  }
  for (size_t size = 0; size + 1 < good.size(); ++size) {
    WriteTestFile(path_, good.substr(0, size));
    EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kDataLoss)) << size;
  }
}

TEST_F(KeyFileTest, ErrorsShowNoDigitOfTheKey) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, WrapIt());
  const std::string good = ReadTestFile(path_);
  const std::string digits = good.substr(16, 64);
  std::string bad = good;
  bad[good.size() - 2] = bad[good.size() - 2] == '0' ? '1' : '0';
  WriteTestFile(path_, bad);
  const std::string message(Unwrap(wrap).message());
  for (size_t i = 0; i + 8 <= digits.size(); ++i) {
    EXPECT_THAT(message, Not(HasSubstr(digits.substr(i, 8))));
  }
}

TEST_F(KeyFileTest, KeyFileOfAnotherRingDoesNotOpenIt) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, WrapIt());
  ASSERT_EQ(unlink(path_.c_str()), 0);
  KEKD_ASSERT_OK(NewKeyFile(path_));
  EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kDataLoss,
                                     AllOf(HasSubstr(path_), HasSubstr("another one"))));
}

TEST_F(KeyFileTest, WrapIsBoundToItsRing) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, WrapIt());
  RingIdentity other = TestIdentity();
  other.ring_uuid = TestUuid(1);
  EXPECT_THAT(Unwrap(wrap, other), StatusIs(absl::StatusCode::kDataLoss));
  other = TestIdentity();
  other.cluster_id = TestUuid(1);
  EXPECT_THAT(Unwrap(wrap, other), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(KeyFileTest, MissingOrOddFileIsAnErrorOfItsOwn) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, WrapIt());
  ASSERT_EQ(unlink(path_.c_str()), 0);
  EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path_)));
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace kekd
