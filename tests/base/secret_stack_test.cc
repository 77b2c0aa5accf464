#include "base/secret_stack.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "base/unique_fd.h"

namespace kekd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// The flags of the mapping that an address lies in (proc(5)).
std::string VmFlagsOf(uintptr_t address) {
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  bool inside = false;
  while (std::getline(smaps, line)) {
    uintptr_t begin;
    uintptr_t end;
    char dash;
    std::istringstream head(line);
    if (head >> std::hex >> begin >> dash >> end && dash == '-') {
      inside = begin <= address && address < end;
    } else if (inside && line.rfind("VmFlags:", 0) == 0) {
      return line + " ";
    }
  }
  return "";
}

TEST(SecretStackTest, RunsOnAnotherThreadToItsEnd) {
  std::thread::id there;
  RunOnSecretStack([&] { there = std::this_thread::get_id(); });
  EXPECT_NE(there, std::thread::id());
  EXPECT_NE(there, std::this_thread::get_id());
}

TEST(SecretStackTest, StackIsNotDumpedNotForChildrenAndGoneAfterwards) {
  uintptr_t place = 0;
  std::string flags;
  RunOnSecretStack([&] {
    volatile uint8_t local = 1;
    place = reinterpret_cast<uintptr_t>(&local);
    flags = VmFlagsOf(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)));
  });
  EXPECT_THAT(flags, AllOf(HasSubstr(" dd "), HasSubstr(" dc ")));
  EXPECT_EQ(VmFlagsOf(place).find(" dd "), std::string::npos) << "it is still mapped";
}

}  // namespace
}  // namespace kekd
