#include "hsm/pkcs11/cryptoki_status.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kekd {
namespace {

constexpr absl::string_view kPayload = "kekd/ck_rv";

absl::StatusCode CodeFor(CkRv rv) {
  switch (ActionFor(rv)) {
    case RecoveryAction::kRejectRequest:
      return absl::StatusCode::kInvalidArgument;
    case RecoveryAction::kNeverRetry:
    case RecoveryAction::kUnsupported:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

absl::Status CkRvError(CkRv rv, absl::string_view function, absl::string_view context) {
  const std::string name = CkRvName(rv);
  std::string text = absl::StrCat(function, ": ", name);
  if (name.rfind("CKR_", 0) == 0) absl::StrAppend(&text, absl::StrFormat(" (0x%x)", rv));
  if (!context.empty()) absl::StrAppend(&text, ": ", context);
  absl::Status status(CodeFor(rv), text);
  status.SetPayload(kPayload, absl::Cord(absl::StrCat(rv)));
  return status;
}

std::optional<CkRv> CkRvOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  CkRv rv = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &rv)) return std::nullopt;
  return rv;
}

}  // namespace kekd
