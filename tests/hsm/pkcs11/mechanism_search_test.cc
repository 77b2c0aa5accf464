#include "hsm/pkcs11/mechanism_search.h"

#include <gtest/gtest.h>

#include "hsm/pkcs11/cryptoki_status.h"

namespace kekd {
namespace {

Verdict Of(CK_RV rv) { return VerdictOn(CkRvError(rv, "C_Encrypt")); }

// A worse mechanism is chosen by no more than these.
TEST(VerdictTest, OnlyWhatATokenCanNotDoRulesAMechanismOut) {
  for (const CK_RV rv :
       {CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_FUNCTION_NOT_SUPPORTED,
        CKR_ARGUMENTS_BAD, CKR_TEMPLATE_INCONSISTENT, CKR_TEMPLATE_INCOMPLETE,
        CKR_ATTRIBUTE_VALUE_INVALID, CKR_KEY_SIZE_RANGE, CKR_ATTRIBUTE_SENSITIVE}) {
    EXPECT_EQ(Of(rv), Verdict::kCannot) << CkRvName(rv);
  }
  EXPECT_EQ(VerdictOn(absl::FailedPreconditionError("it opens what was altered")),
            Verdict::kCannot);
}

TEST(VerdictTest, WhatMayPassIsTriedAgain) {
  for (const CK_RV rv :
       {CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY, CKR_DEVICE_REMOVED, CKR_HOST_MEMORY,
        CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_SESSION_COUNT, CKR_TOKEN_NOT_PRESENT,
        CKR_USER_NOT_LOGGED_IN, CKR_KEY_HANDLE_INVALID, CKR_CRYPTOKI_NOT_INITIALIZED,
        CKR_OPERATION_ACTIVE, CKR_PIN_INCORRECT, CKR_TOKEN_WRITE_PROTECTED}) {
    EXPECT_EQ(Of(rv), Verdict::kTransient) << CkRvName(rv);
  }
  EXPECT_EQ(VerdictOn(absl::NotFoundError("the token has no such key")), Verdict::kTransient);
}

TEST(VerdictTest, WhatSaysNothingIsUnclear) {
  for (const CK_RV rv : {CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CK_RV{CKR_VENDOR_DEFINED} + 5}) {
    EXPECT_EQ(Of(rv), Verdict::kUnclear) << CkRvName(rv);
  }
  EXPECT_EQ(VerdictOn(absl::UnavailableError("C_Encrypt gave 0 bytes")), Verdict::kUnclear);
}

}  // namespace
}  // namespace kekd
