#include "tests/hsm/p11fault/orders.h"

#include <gtest/gtest.h>

namespace kekd::p11fault {
namespace {

constexpr char kModule[] = "module /lib/x.so\n";

TEST(OrdersTest, ReadsEveryOrder) {
  const ParsedOrders parsed = Parse(
      "module /lib/x.so   # the real one\n"
      "\n"
      "# nothing\n"
      "C_Encrypt at 3 return CKR_DEVICE_ERROR times 2 as once in-all\n"
      "C_Login return-after 0x80000001 always\n"
      "* at 9 sessions-killed\n"
      "C_Decrypt hang\n"
      "C_Decrypt hang 4\n"
      "C_Sign delay 1500\n"
      "C_Verify crash\n"
      "C_Digest exit 3\n"
      "C_Finalize abort\n"
      "token-gone until-reinit\nrenumber\npin-locked\npin-final-try\nmax-sessions 3 not-told\n"
      "mask-mechanism CKM_AES_GCM 0x2109 # both\n"
      "mask-mechanism CKM_AES_KEY_WRAP_KWP in C_WrapKey C_UnwrapKey\n"
      "gcm-iv token-appended\nonly-2.40\nC_EncryptMessage return 5\n"
      "attribute 0x162 yes\nattribute 0x163 not-told\nmechanism-count 5000\nno-function C_Sign\n");
  EXPECT_EQ(parsed.error, "");
  const Orders& orders = parsed.orders;
  EXPECT_EQ(orders.module, "/lib/x.so");
  ASSERT_EQ(orders.orders.size(), 10U);
  const Order& first = orders.orders[0];
  EXPECT_EQ(first.function, Function::kEncrypt);
  EXPECT_EQ(first.at, 3U);
  EXPECT_EQ(first.times, 2U);
  EXPECT_EQ(first.value, CKR_DEVICE_ERROR);
  EXPECT_EQ(first.name, "once");
  EXPECT_TRUE(first.in_all);
  EXPECT_EQ(orders.orders[1].action, Action::kReturnAfter);
  EXPECT_EQ(orders.orders[1].times, 0U);
  EXPECT_EQ(orders.orders[1].value, 0x80000001U);
  EXPECT_FALSE(orders.orders[2].function.has_value());
  EXPECT_EQ(orders.orders[2].action, Action::kKillSessions);
  EXPECT_EQ(orders.orders[3].value, 0U);
  EXPECT_EQ(orders.orders[4].value, 4U);
  EXPECT_EQ(orders.orders[5].times, 0U);
  EXPECT_EQ(orders.orders[6].action, Action::kCrash);
  EXPECT_EQ(orders.orders[7].value, 3U);
  EXPECT_EQ(orders.orders[8].action, Action::kAbort);
  EXPECT_TRUE(orders.token_gone && orders.until_reinit && orders.renumber);
  EXPECT_EQ(orders.token_flags, CKF_USER_PIN_LOCKED | CKF_USER_PIN_FINAL_TRY);
  EXPECT_EQ(orders.max_sessions, 3U);
  EXPECT_FALSE(orders.max_sessions_told);
  EXPECT_TRUE(orders.IsMasked(CKM_AES_GCM, Function::kEncryptInit));
  EXPECT_TRUE(orders.IsMasked(0x2109, Function::kGetMechanismList));
  EXPECT_TRUE(orders.IsMasked(0x210b, Function::kUnwrapKey));
  EXPECT_FALSE(orders.IsMasked(0x210b, Function::kGetMechanismList));
  EXPECT_FALSE(orders.IsMasked(CKM_AES_CBC, Function::kEncryptInit));
  EXPECT_TRUE(orders.only_2_40);
  EXPECT_EQ(orders.orders[9].function, Function::kEncryptMessage);
  EXPECT_EQ(orders.gcm_iv, GcmIv::kTokenAppended);
  ASSERT_EQ(orders.attributes.size(), 2U);
  EXPECT_EQ(orders.attributes[0].type, CKA_EXTRACTABLE);
  EXPECT_EQ(orders.attributes[0].value, true);
  EXPECT_FALSE(orders.attributes[1].value.has_value());
  EXPECT_EQ(orders.mechanism_count, 5000U);
  EXPECT_EQ(orders.missing, std::vector<Function>{Function::kSign});
}

TEST(OrdersTest, SaysWhatItDoesNotUnderstand) {
  for (const char* wrong : {"C_Nothing return CKR_OK",
                            "C_Encrypt return",
                            "attribute 0x162",
                            "attribute CKA_LOCAL yes",
                            "mechanism-count many",
                            "no-function C_Nothing",
                            "C_Encrypt return CKR_NOTHING",
                            "C_Encrypt at x return 5",
                            "C_Encrypt",
                            "C_Encrypt sing",
                            "C_Encrypt crash now",
                            "C_Encrypt exit",
                            "C_Encrypt return 5 in-all",
                            "C_Encrypt return 5 as a/b",
                            "C_Encrypt return 5x",
                            "C_Encrypt return -5",
                            "token-gone forever",
                            "gcm-iv none",
                            "mask-mechanism CKM_NOTHING",
                            "mask-mechanism",
                            "mask-mechanism in C_WrapKey",
                            "mask-mechanism CKM_AES_GCM in",
                            "mask-mechanism CKM_AES_GCM in C_Nothing",
                            "only-2.40 or so",
                            "max-sessions",
                            "C_Encrypt return 5 times"}) {
    const std::string error = Parse(std::string(kModule) + wrong + "\n").error;
    EXPECT_EQ(error.substr(0, 8), "line 2: ") << wrong;
  }
  EXPECT_NE(Parse("renumber\n").error, "");
  EXPECT_NE(Parse("").error, "");
}

TEST(OrdersTest, TellsEqualLinesApart) {
  const ParsedOrders parsed = Parse(std::string(kModule) +
                                    "C_Encrypt return 5\nC_Encrypt return 5\n"
                                    "C_Encrypt return 5 # another\n");
  ASSERT_EQ(parsed.error, "");
  const auto& orders = parsed.orders.orders;
  EXPECT_NE(orders[0].identity, orders[1].identity);
  EXPECT_NE(orders[0].identity, orders[2].identity);
  EXPECT_NE(Parse(std::string(kModule) + "C_Sign crash as a\nC_Login crash as a\n").error, "");
}

TEST(OrdersTest, KnowsTheStandardsNames) {
  EXPECT_EQ(ReturnValueByName("CKR_PIN_INCORRECT"), CKR_PIN_INCORRECT);
  EXPECT_EQ(ReturnValueByName("CKR_FUNCTION_REJECTED"), CKR_FUNCTION_REJECTED);
  EXPECT_EQ(ReturnValueByName("0x30"), CKR_DEVICE_ERROR);
  EXPECT_EQ(FunctionByName("C_WaitForSlotEvent"), Function::kWaitForSlotEvent);
  EXPECT_STREQ(NameOf(Function::kInitialize), "C_Initialize");
  EXPECT_EQ(FunctionByName("C_MessageVerifyFinal"), Function::kMessageVerifyFinal);
  EXPECT_EQ(kFunctions, 92U);
}

}  // namespace
}  // namespace kekd::p11fault
