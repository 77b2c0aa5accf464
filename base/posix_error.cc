#include "base/posix_error.h"

#include <string.h>

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace kekd {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EAGAIN:
    case ECONNREFUSED:
    case EBUSY:
    case EADDRINUSE:
      return absl::StatusCode::kUnavailable;
    case ENAMETOOLONG:
    case EINVAL:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status PosixError(int error, absl::string_view what) {
  const char* name = strerrorname_np(error);
  const char* text = strerrordesc_np(error);
  return absl::Status(CodeOf(error), absl::StrCat(what, ": ", text == nullptr ? "error" : text,
                                                  " (", name == nullptr ? "?" : name, ")"));
}

}  // namespace kekd
