// A folder for one test.
#ifndef KEKD_TESTS_SUPPORT_TEMP_DIRECTORY_H_
#define KEKD_TESTS_SUPPORT_TEMP_DIRECTORY_H_

#include <string>

#include "absl/strings/string_view.h"

namespace kekd::testing {

// TempDirectory makes an empty folder (mode 0700) under $TMPDIR or /tmp and removes it with all
// that is in it. Its path is short, because a socket's may have 107 bytes only: /tmp is taken when
// $TMPDIR is too long for that. Ends the process if no folder can be made.
class TempDirectory final {
 public:
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }
  // The path of `name` in it; "" for the folder itself.
  std::string File(absl::string_view name) const;

 private:
  std::string path_;
};

// Reads and writes whole files without the code under test. They end the process on failure.
std::string ReadTestFile(const std::string& path);
void WriteTestFile(const std::string& path, absl::string_view content);
bool TestFileExists(const std::string& path);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SUPPORT_TEMP_DIRECTORY_H_
