#include "hsm/pkcs11/recovery_action.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::StatusIs;

TEST(RecoveryActionTest, NamesEveryValueOfTheStandard) {
  std::set<std::string> names;
  int known = 0;
  for (CkRv rv = 0; rv < 0x300; ++rv) {
    const std::string name = CkRvName(rv);
    EXPECT_TRUE(names.insert(name).second) << name;
    if (name.rfind("CKR_", 0) == 0) ++known;
  }
  // 94 of PKCS#11 2.40 and CKR_AEAD_DECRYPT_FAILED, CKR_TOKEN_RESOURCE_EXCEEDED,
  // CKR_OPERATION_CANCEL_FAILED (3.0), CKR_KEY_EXHAUSTED (3.1).
  EXPECT_EQ(known, 98);
  EXPECT_EQ(CkRvName(CKR_GENERAL_ERROR), "CKR_GENERAL_ERROR");
  EXPECT_EQ(CkRvName(CKR_FUNCTION_REJECTED), "CKR_FUNCTION_REJECTED");
  EXPECT_EQ(CkRvName(0x1b8), "CKR_PIN_TOO_WEAK");
  EXPECT_EQ(CkRvName(0x80000012), "CKR_VENDOR_DEFINED + 0x12");
  EXPECT_EQ(CkRvName(0x123), "0x00000123");
}

TEST(RecoveryActionTest, NeverRepeatsAPin) {
  for (const CkRv rv : {CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED,
                        CKR_PIN_LOCKED, CKR_USER_PIN_NOT_INITIALIZED}) {
    EXPECT_EQ(ActionFor(rv), RecoveryAction::kNeverRetry) << CkRvName(rv);
  }
}

TEST(RecoveryActionTest, BeginsWhereTheErrorSaysAndWithASessionIfItSaysNothing) {
  EXPECT_EQ(ActionFor(CKR_OK), RecoveryAction::kNone);
  EXPECT_EQ(ActionFor(CKR_SESSION_HANDLE_INVALID), RecoveryAction::kNewSession);
  EXPECT_EQ(ActionFor(CKR_USER_NOT_LOGGED_IN), RecoveryAction::kLogin);
  EXPECT_EQ(ActionFor(CKR_KEY_HANDLE_INVALID), RecoveryAction::kFindAgain);
  EXPECT_EQ(ActionFor(CKR_DEVICE_REMOVED), RecoveryAction::kReinitialise);
  EXPECT_EQ(ActionFor(CKR_SESSION_COUNT), RecoveryAction::kWaitForCapacity);
  EXPECT_EQ(ActionFor(0x80000001), RecoveryAction::kNewSession);
  EXPECT_EQ(ActionFor(0x4242), RecoveryAction::kNewSession);
}

TEST(RecoveryActionTest, TakesWhatModulesSayOfABadTagAsAmbiguous) {
  // SoftHSM 2.6, SoftHSM 2.7 and NSS, in this order.
  EXPECT_TRUE(IsAmbiguousOnDecrypt(CKR_GENERAL_ERROR));
  EXPECT_TRUE(IsAmbiguousOnDecrypt(CKR_ENCRYPTED_DATA_INVALID));
  EXPECT_TRUE(IsAmbiguousOnDecrypt(CKR_WRAPPED_KEY_INVALID));
  EXPECT_TRUE(IsAmbiguousOnDecrypt(0x80000001));
  EXPECT_FALSE(IsAmbiguousOnDecrypt(CKR_SESSION_HANDLE_INVALID));
  EXPECT_FALSE(IsAmbiguousOnDecrypt(CKR_TOKEN_NOT_PRESENT));
}

TEST(CryptokiStatusTest, CarriesTheValueAndSaysWhatItMeans) {
  const absl::Status status = CkRvError(CKR_PIN_INCORRECT, "C_Login", "token 'prod'");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                               "C_Login: CKR_PIN_INCORRECT (0xa0): token 'prod'"));
  EXPECT_EQ(CkRvOf(status), CKR_PIN_INCORRECT);
  EXPECT_THAT(CkRvError(CKR_DEVICE_ERROR, "C_Encrypt"),
              StatusIs(absl::StatusCode::kUnavailable, StartsWith("C_Encrypt: CKR_DEVICE_ERROR")));
  EXPECT_THAT(CkRvError(CKR_DATA_LEN_RANGE, "C_Encrypt"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("(0x21)")));
  EXPECT_EQ(CkRvOf(absl::UnavailableError("x")), std::nullopt);
  EXPECT_TRUE(CheckRv(CKR_OK, "C_Login").ok());
}

}  // namespace
}  // namespace kekd
