// Early return on a failed absl::Status or absl::StatusOr.
#ifndef KEKD_BASE_STATUS_MACROS_H_
#define KEKD_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#if defined(KEKD_RETURN_IF_ERROR) || defined(KEKD_ASSIGN_OR_RETURN)
#error "the KEKD_ status macros are defined already"
#endif

namespace kekd {

// The same status, payloads too, with "context: " before its message. An OK status stays as it is.
inline absl::Status WithContext(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status told(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view type_url, const absl::Cord& payload) {
    told.SetPayload(type_url, payload);
  });
  return told;
}

}  // namespace kekd

// KEKD_RETURN_IF_ERROR(expression): returns the status from the enclosing function unless it is OK.
#define KEKD_RETURN_IF_ERROR(expression)         \
  do {                                           \
    ::absl::Status kekd_status_ = (expression);  \
    if (!kekd_status_.ok()) return kekd_status_; \
  } while (false)

#define KEKD_MACRO_JOIN_INNER_(a, b) a##b
#define KEKD_MACRO_JOIN_(a, b) KEKD_MACRO_JOIN_INNER_(a, b)
#define KEKD_ASSIGN_OR_RETURN_INNER_(result, declaration, expression) \
  auto result = (expression);                                         \
  if (!result.ok()) return std::move(result).status();                \
  declaration = *std::move(result)

// KEKD_ASSIGN_OR_RETURN(declaration, expression): assigns the value of a StatusOr, or returns its
// status from the enclosing function. More than one statement: not for a branch without braces.
#define KEKD_ASSIGN_OR_RETURN(declaration, expression) \
  KEKD_ASSIGN_OR_RETURN_INNER_(KEKD_MACRO_JOIN_(kekd_result_, __LINE__), declaration, expression)

#endif  // KEKD_BASE_STATUS_MACROS_H_
