// Writes the manual pages that kekctl does not print itself; run by the build, not installed.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kms/man/manual.h"

namespace kekd {
namespace {

int Main(int argc, char** argv) {
  const absl::string_view page = argc == 3 ? argv[1] : "";
  if (page != "kekd" && page != "kekd.yaml") {
    fprintf(stderr, "usage: write_manual kekd HELP_TEXT | kekd.yaml MARKDOWN\n");
    return 2;
  }
  std::ifstream file(argv[2]);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const absl::StatusOr<std::string> manual =
      page == "kekd" ? ManualFromHelp(text) : ManualFromConfigurationPage(text);
  if (!manual.ok()) {
    fprintf(stderr, "write_manual: %s: %s\n", argv[2], manual.status().ToString().c_str());
    return 1;
  }
  return fputs(manual->c_str(), stdout) >= 0 && fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace kekd

int main(int argc, char** argv) { return kekd::Main(argc, argv); }
