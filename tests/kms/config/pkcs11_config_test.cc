#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kms/config/config.h"
#include "tests/kms/config/minimal_config.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::kMinimalConfig;
using ::kekd::testing::MinimalConfigWith;
using ::kekd::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kUri[] = "pkcs11:token=prod;serial=0a1b?module-path=/usr/lib/softhsm/libsofthsm2.so";

absl::StatusOr<Config> WithToken(absl::string_view fields) {
  return ParseConfig(absl::StrCat(kMinimalConfig, "  pkcs11:\n", fields), "kekd.yaml");
}

absl::StatusOr<Config> WithUri(absl::string_view uri, absl::string_view more = "") {
  return WithToken(absl::StrCat("    uri: ", uri, "\n", more));
}

TEST(Pkcs11ConfigTest, IsNotThereUnlessGiven) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Config config, ParseConfig(kMinimalConfig, "kekd.yaml"));
  EXPECT_FALSE(config.keyrings[0].pkcs11.has_value());
}

TEST(Pkcs11ConfigTest, HasDocumentedDefaults) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Config config, WithUri(kUri));
  const Pkcs11Config& token = config.keyrings[0].pkcs11.value();
  EXPECT_EQ(token.uris.front().token.label, "prod");
  EXPECT_EQ(token.uris.front().token.serial, "0a1b");
  EXPECT_EQ(token.uris.front().module_path, "/usr/lib/softhsm/libsofthsm2.so");
  EXPECT_EQ(token.uris.front().pin_file, "");
  EXPECT_EQ(token.pin_credential, "");
  EXPECT_EQ(token.init_arguments, "");
  EXPECT_EQ(token.sessions, 4u);
  EXPECT_FALSE(token.session_copy);
  EXPECT_EQ(token.call_timeout, absl::Seconds(2));
}

TEST(Pkcs11ConfigTest, MayOpenTheKeyring) {
  const auto with_unlock = [](absl::string_view unlock, absl::string_view token) {
    return ParseConfig(
        absl::StrCat(MinimalConfigWith("- keyFile: /etc/kekd/prod.key", unlock), token),
        "kekd.yaml");
  };
  const std::string token = absl::StrCat("  pkcs11:\n    uri: ", kUri, "\n");
  KEKD_ASSERT_OK_AND_ASSIGN(const Config config,
                            with_unlock("- pkcs11: true\n  - keyFile: /etc/kekd/a.key", token));
  ASSERT_EQ(config.keyrings[0].unlock.size(), 2u);
  EXPECT_EQ(config.keyrings[0].unlock[0], (UnlockConfig{.kind = UnlockConfig::Kind::kPkcs11}));
  EXPECT_EQ(Describe(config.keyrings[0].unlock[0]), "the token");
  const auto refused = [&](absl::string_view unlock, absl::string_view more,
                           absl::string_view why) {
    EXPECT_THAT(with_unlock(unlock, more),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(why))))
        << unlock;
  };
  refused("- pkcs11: true", "", "keyrings[0].unlock: \"pkcs11: true\" means the token");
  refused("- pkcs11: false", token, "must be true");
  refused("- pkcs11: {uri: a}", token, "must be a single value");
  refused("- pkcs11: true\n  - pkcs11: true", token, "\"the token\" is that of");
  refused("- {pkcs11: true, keyFile: /a}", token, "only one can be given");
}

TEST(Pkcs11ConfigTest, ReadsEveryField) {
  KEKD_ASSERT_OK_AND_ASSIGN(
      const Config config,
      WithUri("pkcs11:token=nss;object=kek?module-path=/usr/lib/libsoftokn3.so",
              "    pinCredential: hsm-pin\n    initArguments: configdir='sql:/db'\n"
              "    sessions: 64\n    sessionCopy: true\n    callTimeout: 500ms\n"));
  const Pkcs11Config& token = config.keyrings[0].pkcs11.value();
  EXPECT_EQ(token.uris.front().key.label, "kek");
  EXPECT_EQ(token.pin_credential, "hsm-pin");
  EXPECT_EQ(token.init_arguments, "configdir='sql:/db'");
  EXPECT_EQ(token.sessions, 64u);
  EXPECT_TRUE(token.session_copy);
  EXPECT_EQ(token.call_timeout, absl::Milliseconds(500));
}

TEST(Pkcs11ConfigTest, RefusesWithThePlaceAndWhatToWrite) {
  const std::pair<std::string, const char*> uris[] = {
      {"pkcs11:token=prod", "needs \"?module-path=/"},
      {"pkcs11:?module-path=/m.so", "needs \"token="},
      {"pkcs11:token=prod;id=%01?module-path=/m.so", "\"id\" is no part of it"},
      {"pkcs11:token=prod;slot-id=1?module-path=/m.so", "slot"},
      {"pkcs11:token=prod?module-path=/m.so&pin-value=1234", "pin-value"},
      {"https://token", "pkcs11"},
  };
  for (const auto& [uri, why] : uris) {
    EXPECT_THAT(WithUri(absl::StrCat("\"", uri, "\"")),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("kekd.yaml:15:10: keyrings[0].pkcs11.uri: "),
                               HasSubstr(why), ::testing::Not(HasSubstr("1234")))));
  }
  const std::pair<const char*, const char*> fields[] = {
      {"    sessions: 0\n", "from 1 to 64"},
      {"    sessions: 65\n", "from 1 to 64"},
      {"    sessionCopy: maybe\n", "true or false"},
      {"    callTimeout: 99ms\n", "from 100ms to 10s"},
      {"    callTimeout: 1h\n", "from 100ms to 10s"},
      {"    callTimeout: \"2\"\n", "from 100ms to 10s"},
      {"    pinCredential: a/b\n", "can't be the name of a credential"},
      {"    pin: \"1234\"\n", "\"pin\""},
  };
  for (const auto& [field, why] : fields) {
    EXPECT_THAT(WithUri(kUri, field), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)))
        << field;
  }
  EXPECT_THAT(WithUri(absl::StrCat(kUri, "&pin-source=file:/etc/pin"), "    pinCredential: pin\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one of the two")));
  EXPECT_THAT(WithToken("    sessions: 1\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"uri\" is missing")));
}

TEST(Pkcs11ConfigTest, ReadsSeveralTokensInTheirOrder) {
  KEKD_ASSERT_OK_AND_ASSIGN(
      const Config config,
      WithToken("    uris:\n    - pkcs11:token=a;object=kek?module-path=/m.so\n"
                "    - pkcs11:token=a?module-path=/n.so&pin-source=/etc/pin\n"
                "    - pkcs11:token=b?module-path=/m.so\n    pinCredential: pin\n"));
  const Pkcs11Config& tokens = config.keyrings[0].pkcs11.value();
  ASSERT_EQ(tokens.uris.size(), 3u);
  EXPECT_EQ(tokens.uris[0].key.label, "kek");
  EXPECT_EQ(tokens.uris[1].module_path, "/n.so");
  EXPECT_EQ(tokens.uris[1].pin_file, "/etc/pin");
  EXPECT_EQ(tokens.uris[2].token.label, "b");
  EXPECT_EQ(tokens.pin_credential, "pin");
}

TEST(Pkcs11ConfigTest, RefusesSeveralTokensThatAreNone) {
  const std::string a = "    - pkcs11:token=a?module-path=/m.so\n";
  const std::string b = "    - pkcs11:token=b?module-path=/m.so\n";
  std::string nine;
  for (int i = 0; i < 9; ++i) {
    absl::StrAppend(&nine, "    - pkcs11:token=", i, "?module-path=/m.so\n");
  }
  const std::pair<std::string, const char*> refused[] = {
      {"    uris:\n" + a, "must name 2 to 8 tokens that hold the same keys, and names 1"},
      {"    uris:\n" + nine, "names 9"},
      {"    uris:\n" + a + a, "uris[1]: is the same token as one before it"},
      {"    uris:\n" + a + "    - pkcs11:token=b\n", "uris[1]: needs \"?module-path=/"},
      {"    uris:\n" + a + "    - pkcs11:token=b;object=x?module-path=/m.so\n",
       "uris[1]: \"object\" is for the first"},
      {"    uris:\n" + a + b + "    uri: pkcs11:token=c?module-path=/m.so\n",
       "\"uri\" is given too"},
      {"    uris: pkcs11:token=a?module-path=/m.so\n", "uris"},
      {"    uris:\n    - pkcs11:token=a?module-path=/m.so&pin-source=/p\n"
       "    - pkcs11:token=b?module-path=/m.so&pin-source=/q\n    pinCredential: pin\n",
       "every URI has a pin-source"},
  };
  for (const auto& [fields, why] : refused) {
    EXPECT_THAT(WithToken(fields), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)))
        << fields;
  }
}

}  // namespace
}  // namespace kekd
