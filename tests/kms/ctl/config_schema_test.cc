#include "kms/ctl/config_schema.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "kms/config/config.h"
#include "tests/kms/config/minimal_config.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::kMinimalConfig;
using ::kekd::testing::MinimalConfigWith;
using ::kekd::testing::StatusIs;
using ::testing::HasSubstr;

std::string And(absl::string_view more) { return absl::StrCat(kMinimalConfig, more); }

std::string WithName(absl::string_view name) {
  return MinimalConfigWith("name: prod", absl::StrCat("name: ", name));
}
std::string WithState(absl::string_view path) {
  return MinimalConfigWith("/var/lib/kekd/state", path);
}
std::string WithSocket(absl::string_view path) {
  return MinimalConfigWith("/run/kekd/prod.sock", path);
}
std::string WithUnlock(absl::string_view unlock) {
  return MinimalConfigWith("- keyFile: /etc/kekd/prod.key", unlock);
}

std::string WithToken(absl::string_view fields) {
  return absl::StrCat(kMinimalConfig, "  pkcs11: {", fields, "}\n");
}
// Where the URI is good.
std::string WithTokenAnd(absl::string_view fields) {
  return WithToken(absl::StrCat("uri: \"pkcs11:token=a?module-path=/m.so\", ", fields));
}

std::string Long(absl::string_view begin, size_t size) {
  return absl::StrCat(begin, std::string(size - begin.size(), 'x'));
}

std::vector<std::string> Good() {
  return {
      kMinimalConfig,
      MinimalConfigWith("keyrings:\n- name", "keyring:\n  name"),
      And("log:\n"),
      And("log: {}\nmemory: {}\n"),
      And("log: {level: debug, format: json}\nmemory: {locking: preferred}\n"),
      And("log: {level: error}\n"),
      And("    mode: \"0660\"\n    allowedUsers: [root, 0, \"1001\"]\n    allowedGroups: []\n"),
      And("    mode: 0600\n"),
      WithName("a"),
      WithName("7"),
      WithName("true"),
      WithName("0-9"),
      WithName(Long("", 63)),
      WithState("/a"),
      WithState("//a/./b/"),
      WithState("/..."),
      WithState("/a..b/..c/d.."),
      WithState(Long("/", 4095)),
      WithSocket("\"@kekd\""),
      WithSocket("\"@..\""),
      WithSocket(Long("/run/", 107)),
      WithUnlock("- {keyFile: /a}\n  - {keyFile: /b}"),
      WithUnlock("- {keyFile: /a, credential: , passphrase: }"),
      WithUnlock("- credential: ring"),
      WithUnlock("- credential: \"7\""),
      WithUnlock("- credential: ..."),
      WithUnlock(absl::StrCat("- credential: ", Long("", 255))),
      WithUnlock("- passphrase: {file: /a}"),
      WithUnlock("- passphrase: {credential: a.b}"),
      WithUnlock("- passphrase: {prompt: true}"),
      WithUnlock("- passphrase: {prompt: \"true\"}\n  - keyFile: /a"),
      WithToken("uris: [\"pkcs11:token=a?module-path=/m.so\", "
                "\"pkcs11:token=b?module-path=/m.so\"], pinCredential: pin"),
      WithTokenAnd("pinCredential: pin, initArguments: x"),
      absl::StrCat(WithUnlock("- pkcs11: true\n  - keyFile: /a"),
                   "  pkcs11: {uri: \"pkcs11:token=a?module-path=/m.so\"}\n"),
      absl::StrCat(WithUnlock("- {keyFile: /a, pkcs11: }\n  - pkcs11: \"true\""),
                   "  pkcs11: {uri: \"pkcs11:token=a?module-path=/m.so\"}\n"),
      WithUnlock("- {keyFile: /a, pkcs11: }"),
      WithTokenAnd("sessions: 1, sessionCopy: false, callTimeout: 100ms"),
      WithTokenAnd("sessions: \"64\", sessionCopy: \"true\", callTimeout: 1.5s"),
  };
}

std::vector<std::string> Bad() {
  std::string many;
  for (int i = 0; i < 17; ++i) absl::StrAppend(&many, "- keyFile: /a", i, "\n  ");
  return {
      "text\n",
      "[]\n",
      "a: 1\n",
      "a: [\n",
      And("more: 1\n"),
      And("kind: KekdConfiguration\n"),
      And("keyring: {name: a}\n"),
      MinimalConfigWith("kekd.dev/v1", "kekd.dev/v2"),
      MinimalConfigWith("KekdConfiguration", "Configuration"),
      MinimalConfigWith("apiVersion: kekd.dev/v1\n", ""),
      MinimalConfigWith("stateDirectory: /var/lib/kekd/state\n", ""),
      MinimalConfigWith("  socket:\n    path: /run/kekd/admin.sock\n", "  socket:\n"),
      MinimalConfigWith("  socket:\n    path: /run/kekd/admin.sock\n",
                        "  socket: /run/kekd/admin.sock\n"),
      MinimalConfigWith("  directory: /var/lib/kekd/prod\n", ""),
      MinimalConfigWith("  directory: /var/lib/kekd/prod\n", "  directory:\n"),
      MinimalConfigWith("  unlock:\n  - keyFile: /etc/kekd/prod.key\n", "  unlock: []\n"),
      MinimalConfigWith("  unlock:\n  - keyFile: /etc/kekd/prod.key\n",
                        "  unlock: /etc/kekd/prod.key\n"),
      std::string(kMinimalConfig).substr(0, std::string(kMinimalConfig).find("keyrings")),
      absl::StrCat(
          std::string(kMinimalConfig).substr(0, std::string(kMinimalConfig).find("- name")),
          "  []\n"),
      WithName("Prod"),
      WithName("prod."),
      WithName("-a"),
      WithName("a-"),
      WithName("\"\""),
      WithName("[a]"),
      WithName(Long("", 64)),
      WithState("state"),
      WithState("/"),
      WithState("//./"),
      WithState("/."),
      WithState("/.."),
      WithState("/a/../b"),
      WithState("/a/.."),
      WithState("\"/a\\tb\""),
      WithState("\"/a\\x7f\""),
      WithState(Long("/", 4096)),
      WithSocket("run/kekd.sock"),
      WithSocket("\"@\""),
      WithSocket("\"@a\\x01\""),
      WithSocket(Long("/run/", 108)),
      WithSocket(Long("@", 108)),
      WithUnlock("- {}"),
      WithUnlock("- pkcs11: true"),
      WithUnlock("- keyFile: /a\n  - pkcs11: true"),
      absl::StrCat(WithUnlock("- pkcs11: false"),
                   "  pkcs11: {uri: \"pkcs11:token=a?module-path=/m.so\"}\n"),
      WithUnlock("- keyFile:"),
      WithUnlock("- {keyFile: /a, credential: b}"),
      WithUnlock("- {credential: b, passphrase: {file: /a}}"),
      WithUnlock("- credential: \"\""),
      WithUnlock("- credential: ."),
      WithUnlock("- credential: .."),
      WithUnlock("- credential: a/b"),
      WithUnlock("- credential: \"a\\tb\""),
      WithUnlock(absl::StrCat("- credential: ", Long("", 256))),
      WithUnlock("- passphrase: secret"),
      WithUnlock("- passphrase: {}"),
      WithUnlock("- passphrase: {text: secret}"),
      WithUnlock("- passphrase: {file: a}"),
      WithUnlock("- passphrase: {file: /a, prompt: true}"),
      WithUnlock("- passphrase: {credential: a/b}"),
      WithUnlock("- passphrase: {prompt: false}"),
      WithUnlock("- passphrase: {prompt: }"),
      WithUnlock("- keyFile: key"),
      WithUnlock("- keyFile: [/a]"),
      WithUnlock("- file: /a"),
      WithUnlock("- /a"),
      WithUnlock(many),
      And("    mode: \"0666\"\n"),
      And("    mode: 384\n"),
      And("    allowedUsers: root\n"),
      And("    allowedUsers: [\"\"]\n"),
      And("    allowedGroups: [[0]]\n"),
      And("log: {level: all}\n"),
      And("log: {format: xml}\n"),
      And("log: {file: /a}\n"),
      And("log: []\n"),
      And("memory: {locking: no}\n"),
      And("  pkcs11: pkcs11:token=a\n"),
      WithToken("sessions: 1"),
      WithToken("uris: []"),
      WithToken("uris: \"pkcs11:token=a?module-path=/m.so\""),
      WithToken("uris: [\"pkcs11:token=a?module-path=/m.so\"]"),
      WithToken("uris: [\"pkcs11:token=a?module-path=/m.so\", \"pkcs11:token=b\"]"),
      WithTokenAnd("uris: [\"pkcs11:token=b?module-path=/m.so\", "
                   "\"pkcs11:token=c?module-path=/m.so\"]"),
      WithToken("uri: \"pkcs11:token=a\""),
      WithToken("uri: \"token=a?module-path=/m.so\""),
      WithTokenAnd("pin: \"1234\""),
      WithTokenAnd("pinCredential: a/b"),
      WithTokenAnd("initArguments: \"\""),
      WithTokenAnd("sessions: 0"),
      WithTokenAnd("sessions: \"65\""),
      WithTokenAnd("sessionCopy: yes"),
      WithTokenAnd("callTimeout: 2"),
  };
}

// What is good for the schema and not for the parser: values that depend on each other, on what
// this host has, or on bytes, where a schema counts characters.
std::vector<std::string> BeyondASchema() {
  return {
      // One within the other.
      WithState("/var/lib/kekd/prod"),
      WithState("/var/lib/kekd/prod/state"),
      WithUnlock("- keyFile: /var/lib/kekd/prod/key"),
      // The same twice.
      WithUnlock("- keyFile: /a\n  - keyFile: /a"),
      WithUnlock("- credential: a\n  - passphrase: {credential: a}"),
      WithUnlock("- passphrase: {file: /var/lib/kekd/prod/passphrase}"),
      WithToken("uris: [\"pkcs11:token=a?module-path=/m.so\", "
                "\"pkcs11:token=a?module-path=/m.so&pin-source=/p\"]"),
      WithToken("uri: \"pkcs11:?module-path=/m.so\""),
      WithToken("uri: \"pkcs11:token=a;slot-id=1?module-path=/m.so\""),
      WithTokenAnd("callTimeout: 99ms"),
      WithSocket("/run/kekd/admin.sock"),
      And("- name: prod\n  directory: /b\n  unlock: [{keyFile: /c}]\n  socket: {path: /d}\n"),
      // An abstract socket has no mode.
      absl::StrCat(WithSocket("\"@kekd\""), "    mode: \"0600\"\n"),
      And("    allowedUsers: [no-such-user-here]\n"),
      And("    allowedGroups: [no-such-group-here]\n"),
      WithSocket(absl::StrCat("/", absl::StrReplaceAll(std::string(60, 'x'), {{"x", "é"}}))),
      // A schema's pattern can't name the character of number 0.
      WithState("\"/a\\0b\""),
  };
}

TEST(ConfigSchemaTest, TakesWhatTheParserTakes) {
  for (const std::string& yaml : Good()) {
    KEKD_EXPECT_OK(ParseConfig(yaml, "c")) << yaml;
    KEKD_EXPECT_OK(CheckAgainstSchema(yaml, "c")) << yaml;
  }
}

TEST(ConfigSchemaTest, RefusesWhatTheParserRefuses) {
  for (const std::string& yaml : Bad()) {
    EXPECT_THAT(ParseConfig(yaml, "c"), StatusIs(absl::StatusCode::kInvalidArgument)) << yaml;
    EXPECT_THAT(CheckAgainstSchema(yaml, "c"), StatusIs(absl::StatusCode::kInvalidArgument))
        << yaml;
  }
}

// If one of these becomes bad for the schema too, it belongs into Bad().
TEST(ConfigSchemaTest, LeavesToTheParserWhatNoSchemaCanSay) {
  for (const std::string& yaml : BeyondASchema()) {
    EXPECT_THAT(ParseConfig(yaml, "c"), StatusIs(absl::StatusCode::kInvalidArgument)) << yaml;
    KEKD_EXPECT_OK(CheckAgainstSchema(yaml, "c")) << yaml;
  }
}

TEST(ConfigSchemaTest, NamesThePlace) {
  EXPECT_THAT(
      CheckAgainstSchema(WithName("Prod"), "c"),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("c: /keyrings/0/name is not what the schema allows (\"pattern\"")));
}

}  // namespace
}  // namespace kekd
