#include "kms/config/accounts.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/posix_error.h"

namespace kekd {
namespace {

constexpr size_t kFirstBufferBytes = 4096;
constexpr size_t kMaxBufferBytes = size_t{1} << 20;  // a group's member list may be long

// `lookup` is getpwnam_r or getgrnam_r, which both take a buffer of unknown need.
template <typename Entry, typename Id>
absl::StatusOr<Id> Find(absl::string_view kind, absl::string_view name_or_number,
                        int (*lookup)(const char*, Entry*, char*, size_t, Entry**), Id Entry::*id) {
  uint32_t number = 0;
  // The largest number is the system calls' "leave as it is", and nobody's id.
  if (absl::SimpleAtoi(name_or_number, &number) && number != std::numeric_limits<uint32_t>::max()) {
    return number;
  }
  const std::string name(name_or_number);
  for (size_t size = kFirstBufferBytes; size <= kMaxBufferBytes; size *= 4) {
    std::vector<char> buffer(size);
    Entry entry;
    Entry* found = nullptr;
    const int error = lookup(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found != nullptr) return found->*id;
    if (error == ERANGE) continue;
    // "Not found" is told in any of these ways, says the manual page.
    if (error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM) break;
    return absl::UnavailableError(
        PosixError(error, absl::StrCat("looking up ", kind, " \"", name, "\"")).message());
  }
  return absl::InvalidArgumentError(
      absl::StrCat("this host has no ", kind, " \"", name, "\"; create it or give its number"));
}

}  // namespace

absl::StatusOr<uid_t> FindUser(absl::string_view name_or_number) {
  return Find<passwd, uid_t>("user", name_or_number, getpwnam_r, &passwd::pw_uid);
}

absl::StatusOr<gid_t> FindGroup(absl::string_view name_or_number) {
  return Find<group, gid_t>("group", name_or_number, getgrnam_r, &group::gr_gid);
}

}  // namespace kekd
