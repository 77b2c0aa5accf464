#include "tests/memory/process_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace kekd::testing {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;

// Begins with "BEGIN-END PERMISSIONS OFFSET DEVICE INODE"; false for the lines of figures between.
bool ParseHead(const std::string& line, Mapping& mapping) {
  unsigned long begin;
  unsigned long end;
  char permissions[8];
  int name = 0;
  if (sscanf(line.c_str(), "%lx-%lx %7s %*x %*x:%*x %*u %n", &begin, &end, permissions, &name) <
      3) {
    return false;
  }
  mapping = Mapping();
  mapping.begin = begin;
  mapping.end = end;
  mapping.permissions = permissions;
  mapping.name = name == 0 || static_cast<size_t>(name) >= line.size()
                     ? "-"
                     : line.substr(static_cast<size_t>(name));
  return true;
}

}  // namespace

bool Mapping::HasFlag(absl::string_view flag) const {
  return flags.find(absl::StrCat(" ", flag, " ")) != std::string::npos;
}

absl::StatusOr<std::vector<Mapping>> ReadMappings(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/smaps"));
  if (!file) return absl::NotFoundError(absl::StrCat("/proc/", pid, "/smaps can't be read"));
  std::vector<Mapping> mappings;
  std::string line;
  Mapping mapping;
  while (std::getline(file, line)) {
    if (ParseHead(line, mapping)) {
      mappings.push_back(mapping);
    } else if (line.rfind("VmFlags:", 0) == 0 && !mappings.empty()) {
      mappings.back().flags = absl::StrCat(line.substr(8), " ");
    }
  }
  return mappings;
}

absl::Status DumpMemory(pid_t pid, const std::string& folder) {
  KEKD_ASSIGN_OR_RETURN(const std::vector<Mapping> mappings, ReadMappings(pid));
  const UniqueFd memory(open(absl::StrCat("/proc/", pid, "/mem").c_str(), O_RDONLY | O_CLOEXEC));
  if (!memory.valid()) return PosixError(errno, "open /proc/PID/mem");
  std::ofstream bytes(absl::StrCat(folder, "/bytes"), std::ios::binary);
  std::ofstream index(absl::StrCat(folder, "/mappings"));
  std::vector<char> chunk(kChunkBytes);
  uint64_t place = 0;
  for (const Mapping& mapping : mappings) {
    if (mapping.permissions[0] != 'r') continue;
    const uint64_t begin = place;
    uint64_t address = mapping.begin;
    while (address < mapping.end) {
      const size_t wanted = std::min<uint64_t>(chunk.size(), mapping.end - address);
      const ssize_t n = pread(memory.get(), chunk.data(), wanted, static_cast<off_t>(address));
      if (n <= 0) break;
      bytes.write(chunk.data(), n);
      address += static_cast<uint64_t>(n);
      place += static_cast<uint64_t>(n);
    }
    index << begin << ' ' << mapping.end - mapping.begin << ' ' << place - begin << ' '
          << (mapping.IsArena() ? "arena" : "ordinary") << ' ' << mapping.name << '\n';
  }
  bytes.close();
  index.close();
  if (!bytes || !index) return absl::DataLossError(absl::StrCat("can't write into ", folder));
  return absl::OkStatus();
}

}  // namespace kekd::testing
