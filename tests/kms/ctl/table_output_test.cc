#include "kms/ctl/table_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace kekd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kGreen[] = "\x1b[32m";
constexpr char kYellow[] = "\x1b[33m";
constexpr char kRed[] = "\x1b[31m";

const absl::Time kNow = absl::FromUnixSeconds(1800000000);

int64_t MillisBefore(absl::Duration age) { return absl::ToUnixMillis(kNow - age); }

TEST(KeyShowTableTest, SaysOfEachTokenWhatItSaysOrWhyItSaysNothing) {
  KeyShowReport report;
  report.keyring = "prod";
  report.version.set_number(2);
  report.several_tokens = true;
  report.canary = absl::UnavailableError("token b: it is away");
  report.attestation = {
      {.place = "a",
       .status = {},
       .objects = {{"AES-256",
                    "kek",
                    "\x01",
                    {{"CKA_LOCAL", "made in the token", "yes"},
                     {"CKA_NEVER_EXTRACTABLE", "never could", ""}}}},
       .verdict = "made in the token, says the token"},
      {.place = "b", .status = absl::UnavailableError("it is away"), .objects = {}, .verdict = ""}};
  const std::string text = KeyShowTable(report, kNow);
  EXPECT_THAT(
      text, AllOf(HasSubstr("canary        FAIL: token b: it is away\n"),
                  HasSubstr("token a: made in the token, says the token\n"),
                  HasSubstr("\"kek\", id 01\n"), HasSubstr("made in the token              yes\n"),
                  HasSubstr("never could                    the token does not say\n"),
                  HasSubstr("token b: says nothing: it is away\n")));
  const std::string json = KeyShowJson(report);
  EXPECT_THAT(json,
              AllOf(HasSubstr("\"CKA_LOCAL\": true"), HasSubstr("\"CKA_NEVER_EXTRACTABLE\": null"),
                    HasSubstr("\"error\": \"it is away\"")));
}

// As wide as a keyring in use becomes.
admin::v1::GetStatusResponse Status() {
  admin::v1::GetStatusResponse status;
  status.set_version("0.1.0");
  status.set_memory_locked(true);
  admin::v1::KeyringStatus& ring = *status.add_keyrings();
  ring.set_name("production");
  ring.set_generation(123);
  ring.set_primary_version(12);
  ring.set_key_id("production.12.0123456789abcdef0123456789abcdef");
  ring.set_healthz("ok");
  ring.set_socket("unix:///run/kekd/production.sock");
  ring.set_status_calls(99999999);
  ring.set_encrypt_calls(99999999);
  ring.set_decrypt_calls(99999999);
  ring.set_failed_calls(99999);
  ring.set_connections(64);
  ring.set_last_canary_ms(MillisBefore(absl::Seconds(29)));
  return status;
}

admin::v1::Keyring Keyring() {
  admin::v1::Keyring keyring;
  keyring.set_name("prod");
  for (const auto& [number, state] :
       {std::pair(1, "deactivated"), std::pair(2, "active"), std::pair(3, "pre-activation")}) {
    admin::v1::KeyVersion& version = *keyring.add_versions();
    version.set_number(static_cast<uint32_t>(number));
    version.set_state(state);
    version.set_key_id("prod.2.0123456789abcdef0123456789abcdef");
    version.set_backend("software");
    version.set_custody("envelope");
    version.set_created_ms(MillisBefore(absl::Hours(1000)));
    version.set_activated_ms(MillisBefore(absl::Hours(999)));
  }
  return keyring;
}

void ExpectWidth(const std::string& text, size_t most) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    EXPECT_LE(line.size(), most) << text;
  }
}

TEST(TableOutputTest, FitsHundredColumns) {
  ExpectWidth(StatusTable(Status(), kNow), 100);
  ExpectWidth(KeyListTable(Keyring(), kNow), 100);
}

TEST(TableOutputTest, ShowsWhenKeysWereDeactivatedIfAnyWas) {
  admin::v1::Keyring keyring = Keyring();
  EXPECT_THAT(KeyListTable(keyring, kNow), Not(HasSubstr("DEACTIVATED")));
  EXPECT_THAT(KeyringTable(keyring, kNow), Not(HasSubstr("DEACTIVATED")));
  keyring.mutable_versions(0)->set_deactivated_ms(MillisBefore(absl::Hours(5)));
  EXPECT_THAT(KeyListTable(keyring, kNow), AllOf(HasSubstr("DEACTIVATED"), HasSubstr("5h0m ago")));
  EXPECT_THAT(KeyringTable(keyring, kNow),
              AllOf(HasSubstr("DEACTIVATED"), HasSubstr("(5h0m ago)")));
  ExpectWidth(KeyListTable(keyring, kNow), 100);
}

TEST(TableOutputTest, TellsKeysThatADeviceWrapsFromItsOwn) {
  admin::v1::Keyring keyring = Keyring();
  keyring.mutable_versions(1)->set_backend("pkcs11");
  EXPECT_THAT(KeyListTable(keyring, kNow), Not(HasSubstr("envelope")));
  keyring.mutable_versions(1)->set_key_reference("pkcs11:object=kekd-prod-2");
  EXPECT_THAT(KeyListTable(keyring, kNow),
              HasSubstr("\ncustody envelope, wrapped by the device: key version 2\n"));
  EXPECT_EQ(WhereKept(keyring.versions(1)), "pkcs11 envelope");
  EXPECT_EQ(WhereKept(keyring.versions(0)), "software");
  keyring.mutable_versions(0)->set_deactivated_ms(MillisBefore(absl::Hours(5)));
  ExpectWidth(KeyListTable(keyring, kNow), 100);
  keyring.mutable_versions(1)->set_custody("device");
  EXPECT_THAT(KeyListTable(keyring, kNow), Not(HasSubstr("envelope")));
  admin::v1::GetStatusResponse status = Status();
  status.mutable_keyrings(0)->set_primary_backend("pkcs11");
  status.mutable_keyrings(0)->set_primary_custody("envelope");
  EXPECT_THAT(StatusTable(status, kNow),
              HasSubstr("  primary  backend pkcs11, custody envelope\n"));
}

TEST(TableOutputTest, ShowsTheFormatOfAKeyringsRecord) {
  admin::v1::Keyring keyring = Keyring();
  keyring.set_format(2);
  EXPECT_THAT(KeyringTable(keyring, kNow), HasSubstr("\nformat       2\n"));
}

TEST(TableOutputTest, NamesTheTokensKeyOfAWrapShortly) {
  admin::v1::Keyring keyring = Keyring();
  admin::v1::Wrap& wrap = *keyring.add_ring_key_wraps();
  wrap.set_number(2);
  wrap.set_type("pkcs11 key");
  wrap.set_reference(
      "pkcs11:token=prod;model=SoftHSM%20v2;serial=0a1b;object=kekd-prod-ring-key;id=%01%02?"
      "x-kekd-iv=caller&x-kekd-for=a/b/ring-key");
  constexpr absl::string_view kName = "kekd-prod-ring-key on token prod";
  EXPECT_THAT(KeyringTable(keyring, kNow),
              HasSubstr(absl::StrCat("opened by    pkcs11 key ", kName, "\n")));
  EXPECT_THAT(WrapListTable(keyring, nullptr, kNow, Colors::kOff),
              AllOf(HasSubstr(absl::StrCat("pkcs11 key  ", kName)), Not(HasSubstr("x-kekd"))));
  // One that nobody here has written is shown as it is.
  wrap.set_reference("another:thing");
  EXPECT_THAT(KeyringTable(keyring, kNow), HasSubstr("pkcs11 key another:thing\n"));
}

TEST(TableOutputTest, TellsOfAKeyringWhatHasNoRoomInTheTable) {
  admin::v1::GetStatusResponse status = Status();
  status.mutable_keyrings(0)->set_refused_connections(3);
  status.mutable_keyrings(0)->set_refused_calls(5);
  status.mutable_keyrings(0)->set_opened_by("token \x1b[2Jprod");
  const std::string text = StatusTable(status, kNow);
  EXPECT_THAT(text, HasSubstr("  key id   production.12.0123456789abcdef0123456789abcdef\n"));
  EXPECT_THAT(text, AllOf(HasSubstr("  opened   by token "), Not(HasSubstr("\x1b"))));
  EXPECT_THAT(text, HasSubstr("  socket   unix:///run/kekd/production.sock\n"));
  EXPECT_THAT(text, HasSubstr("  refused  3 connections\n"));
  EXPECT_THAT(text, HasSubstr("  refused  5 calls, for want of time\n"));
  EXPECT_THAT(text, HasSubstr("29s ago"));
  EXPECT_THAT(text, Not(HasSubstr("healthz")));
}

TEST(TableOutputTest, ColorsHealth) {
  admin::v1::GetStatusResponse status = Status();
  admin::v1::KeyringStatus& ring = *status.mutable_keyrings(0);
  EXPECT_THAT(StatusTable(status, kNow, Colors::kOn), HasSubstr("\x1b[32mok\x1b[0m"));
  ring.set_healthz("degraded: key version 3 is lost");
  ring.add_warnings("mend it");
  EXPECT_THAT(StatusTable(status, kNow, Colors::kOn),
              AllOf(HasSubstr("\x1b[33mdegraded\x1b[0m"), HasSubstr("\x1b[33mwarning\x1b[0m"),
                    HasSubstr("  healthz  degraded: key version 3 is lost\n")));
  ring.set_must_not_encrypt(true);
  EXPECT_THAT(StatusTable(status, kNow, Colors::kOn), HasSubstr("\x1b[31mMUST NOT ENCRYPT\x1b[0m"));
  EXPECT_THAT(StatusTable(status, kNow), Not(HasSubstr("\x1b")));
}

TEST(TableOutputTest, ColorsKeysThatAreInUseOrCantBe) {
  admin::v1::Keyring keyring = Keyring();
  EXPECT_THAT(KeyListTable(keyring, kNow, Colors::kOn),
              AllOf(HasSubstr("\x1b[32mactive\x1b[0m"), Not(HasSubstr(kRed))));
  keyring.mutable_versions(0)->set_problem("its canary does not decrypt");
  EXPECT_THAT(KeyListTable(keyring, kNow, Colors::kOn),
              AllOf(HasSubstr("\x1b[31mdeactivated\x1b[0m"),
                    HasSubstr("key version 1 \x1b[31mcan't be used\x1b[0m: its canary")));
  EXPECT_THAT(KeyringTable(keyring, kNow, Colors::kOn), HasSubstr(kRed));
  EXPECT_THAT(KeyringTable(keyring, kNow), Not(HasSubstr("\x1b")));
}

TEST(TableOutputTest, ColorsVerdicts) {
  CheckReport report;
  report.items = {{"a", absl::OkStatus(), ""}, {"b", absl::InternalError("broken"), ""}};
  EXPECT_THAT(CheckTable(report, Colors::kOn),
              AllOf(HasSubstr("\x1b[32mok\x1b[0m    a\n"), HasSubstr("\x1b[31mFAIL\x1b[0m  b: ")));
  EXPECT_EQ(CheckTable(report), "keyring  on \n\nok    a\nFAIL  b: broken\n");
  VerifyReport verify;
  verify.copies.push_back({.path = "f", .status = absl::DataLossError("damaged")});
  EXPECT_THAT(VerifyTable(verify, Colors::kOn),
              AllOf(HasSubstr("\x1b[31mNOT GOOD"), HasSubstr("f: damaged\n"),
                    Not(HasSubstr(kGreen)), Not(HasSubstr(kYellow))));
}

TEST(TableOutputTest, KeepsReasonsOutOfTheVerdicts) {
  VerifyReport verify;
  std::string reason;
  for (int i = 0; i < 40; ++i) absl::StrAppend(&reason, "damaged ");
  verify.copies.push_back(
      {.path = "/var/lib/kekd/prod/keyring", .status = absl::DataLossError(reason)});
  verify.keys.push_back({.version = 7,
                         .key_id = "prod.7.0123456789abcdef0123456789abcdef",
                         .state = "active",
                         .status = absl::DataLossError(reason)});
  ExpectWidth(VerifyTable(verify), 100);
  EXPECT_THAT(VerifyTable(verify), AllOf(HasSubstr("/var/lib/kekd/prod/keyring: damaged"),
                                         HasSubstr("key version 7: damaged")));
}

}  // namespace
}  // namespace kekd
