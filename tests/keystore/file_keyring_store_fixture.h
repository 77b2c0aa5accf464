// A ring in a folder, for the tests of FileKeyringStore.
#ifndef KEKD_TESTS_KEYSTORE_FILE_KEYRING_STORE_FIXTURE_H_
#define KEKD_TESTS_KEYSTORE_FILE_KEYRING_STORE_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>

#include "keystore/file_keyring_store.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {

class FileKeyringStoreTest : public ::testing::Test {
 protected:
  // Commits one more version on what the store holds.
  static absl::StatusOr<std::shared_ptr<const Keyring>> CommitOne(FileKeyringStore& store) {
    const auto current = store.Load();
    if (!current.ok()) return current.status();
    return store.Commit(WithOneMore(**current), (*current)->generation());
  }
  // A ring of this generation, closed again.
  void MakeRing(uint64_t generation) {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Create());
    for (uint64_t i = 1; i < generation; ++i) KEKD_ASSERT_OK(CommitOne(*store));
  }
  void RollBackTo(uint64_t generation) {
    WriteTestFile(ring_.record(), ReadTestFile(ring_.generation(generation)));
  }
  absl::Status OpenStatus(FileKeyringStore::Access access = FileKeyringStore::Access::kExclusive) {
    return ring_.Open(access).status();
  }
  absl::Status AcceptRollback(uint64_t generation) {
    return FileKeyringStore::AcceptRollback(ring_.Options(), generation).status();
  }
  static mode_t ModeOf(const std::string& path) {
    struct stat st;
    return stat(path.c_str(), &st) == 0 ? st.st_mode & 07777 : 0;
  }

  TestRing ring_;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_KEYSTORE_FILE_KEYRING_STORE_FIXTURE_H_
