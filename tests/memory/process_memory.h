// The memory of another process, as root's debugger sees it.
#ifndef KEKD_TESTS_MEMORY_PROCESS_MEMORY_H_
#define KEKD_TESTS_MEMORY_PROCESS_MEMORY_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekd::testing {

// A line of /proc/PID/maps with what /proc/PID/smaps knows of it.
struct Mapping {
  uint64_t begin = 0;
  uint64_t end = 0;
  std::string permissions;  // "rw-p"
  std::string name;         // "[heap]", a path, "-" for none
  std::string flags;        // VmFlags (proc(5)): " rd wr mr mw me dd lo "

  bool HasFlag(absl::string_view flag) const;
  // The arena's, if it is not of memfd_secret(2): locked, not in core dumps, not for children.
  bool IsArena() const { return HasFlag("lo") && HasFlag("dd") && HasFlag("dc"); }
};

absl::StatusOr<std::vector<Mapping>> ReadMappings(pid_t pid);

// A dump is a folder with the file "bytes", in which mappings lie one after another, and the file
// "mappings", a line each:
//
//   BEGIN SIZE READABLE arena|ordinary NAME
//
// BEGIN is the place in "bytes" where the READABLE bytes of the mapping's SIZE lie: from a page on
// that can't be read nothing of a mapping is there, and of memfd_secret(2)'s nothing at all.
absl::Status DumpMemory(pid_t pid, const std::string& folder);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_MEMORY_PROCESS_MEMORY_H_
