#include "tests/support/temp_directory.h"

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace kekd::testing {
namespace {

// What leaves 60 bytes of a socket's path for names below the folder.
constexpr size_t kLongestParent = 34;

[[noreturn]] void Die(absl::string_view what, const std::string& path) {
  fprintf(stderr, "test support: %s %s failed\n", std::string(what).c_str(), path.c_str());
  abort();
}

}  // namespace

TempDirectory::TempDirectory() {
  const char* parent = getenv("TMPDIR");
  if (parent == nullptr || *parent == '\0' || std::string(parent).size() > kLongestParent) {
    parent = "/tmp";
  }
  path_ = absl::StrCat(parent, "/kekdXXXXXX");
  if (mkdtemp(path_.data()) == nullptr) Die("mkdtemp", path_);
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDirectory::File(absl::string_view name) const {
  return name.empty() ? path_ : absl::StrCat(path_, "/", name);
}

std::string ReadTestFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) Die("reading", path);
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

void WriteTestFile(const std::string& path, absl::string_view content) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  if (!out) Die("writing", path);
}

bool TestFileExists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
}

}  // namespace kekd::testing
