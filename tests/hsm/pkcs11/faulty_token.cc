#include "tests/hsm/pkcs11/faulty_token.h"

#include <stdlib.h>
#include <string.h>

#include <cstdio>

#include "absl/strings/str_cat.h"

namespace kekd::testing {
namespace {

constexpr size_t kNameBytes = 32;
constexpr size_t kEntryBytes = kNameBytes + 3 * sizeof(uint64_t);

// p11fault reads the environment once in a process.
const std::string& ControlFile() {
  static const auto* const directory = new TempDirectory;
  static const auto* const path = [] {
    auto* const control = new std::string(directory->File("control"));
    setenv("P11FAULT_CONTROL", control->c_str(), 1);
    return control;
  }();
  return *path;
}

}  // namespace

uint64_t FaultyToken::Count(const std::string& function) {
  const std::string path = ControlFile() + ".counters/calls";
  if (!TestFileExists(path)) return 0;
  const std::string entries = ReadTestFile(path);
  for (size_t at = 0; at + kEntryBytes <= entries.size(); at += kEntryBytes) {
    if (function != entries.data() + at) continue;
    uint64_t calls = 0;
    memcpy(&calls, entries.data() + at + kNameBytes, sizeof(calls));
    return calls;
  }
  return 0;
}

uint64_t FaultyToken::Faults(const std::string& name) {
  const std::string path = absl::StrCat(ControlFile(), ".counters/order-", name);
  if (!TestFileExists(path)) return 0;
  const std::string counters = ReadTestFile(path);
  uint64_t made = 0;
  if (counters.size() >= 2 * sizeof(made)) {
    memcpy(&made, counters.data() + sizeof(made), sizeof(made));
  }
  return made;
}

void FaultyToken::MakeFaulty(const std::string& script) {
  // p11fault loads one module in a process.
  static const auto* const loaded = new std::string(script);
  if (*loaded != script) GTEST_SKIP() << *loaded << " is in this process already";
  Make(script);
  if (!made_.has_value()) return;
  Order("");
  config_.module_path = KEKD_P11FAULT_PATH;
  Begin();
  for (const char* const function : {"C_Login", "C_FindObjectsInit", "C_Initialize", "C_Finalize",
                                     "C_GenerateKey", "C_GenerateKeyPair", "C_WrapKey"}) {
    before_[function] = Count(function);
  }
}

void FaultyToken::TearDown() {
  if (!made_.has_value()) return;
  Order("");
  TokenFixture::TearDown();
}

void FaultyToken::Order(const std::string& lines) {
  // The number makes an order that is repeated another one.
  std::string text = absl::StrCat("module ", made_->module, "\n");
  ++orders_;
  for (size_t at = 0; at < lines.size();) {
    const size_t end = lines.find('\n', at);
    absl::StrAppend(&text, lines.substr(at, end - at), " # ", orders_, "\n");
    at = end == std::string::npos ? lines.size() : end + 1;
  }
  WriteTestFile(ControlFile() + ".new", text);
  if (rename((ControlFile() + ".new").c_str(), ControlFile().c_str()) != 0) abort();
}

}  // namespace kekd::testing
