#include "cluster/api_server/kubeconfig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file_system.h"
#include "cluster/api_server/exec_plugin.h"
#include "tests/cluster/api_server/tls_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::IsOk;
using ::kekd::testing::MakeCertificate;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::TestCertificate;
using ::kekd::testing::WriteTestFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

std::string Config(const std::string& cluster, const std::string& user) {
  return absl::StrCat(
      "apiVersion: v1\nkind: Config\ncurrent-context: here\npreferences: {}\n"
      "contexts:\n- name: here\n  context: {cluster: c, user: u, namespace: default}\n"
      "- name: there\n  context: {cluster: c2, user: u}\n"
      "clusters:\n- name: c\n  cluster: {server: 'https://one:6443', ",
      cluster,
      "}\n- name: c2\n  cluster: {server: 'https://two:6443'}\nusers:\n- name: u\n  user: {", user,
      "}\n");
}

std::string Text(const SecretBytes& secret) {
  return std::string(AsText(secret.Reveal(SecretAccessToken())));
}

class KubeconfigTest : public ::testing::Test {
 protected:
  absl::StatusOr<ApiServerAccess> Load() {
    return LoadKubeconfig(FileSystem::System(), options_, absl::Now());
  }
  absl::StatusOr<ApiServerAccess> Load(const std::string& cluster, const std::string& user) {
    WriteTestFile(folder_.File("config"), Config(cluster, user));
    options_.path = folder_.File("config");
    return Load();
  }

  TempDirectory folder_;
  KubeconfigOptions options_;
};

TEST_F(KubeconfigTest, ReadsTheCurrentContext) {
  const absl::StatusOr<ApiServerAccess> access =
      Load("tls-server-name: kube, proxy-url: 'socks5://p:1', insecure-skip-tls-verify: true",
           "token: t0ken, as: somebody, as-groups: [a, b], as-uid: '7', as-user-extra: {k: [v]}");
  ASSERT_THAT(access, IsOk());
  EXPECT_EQ(access->context, "here");
  EXPECT_EQ(access->server, "https://one:6443");
  EXPECT_EQ(access->tls_server_name, "kube");
  EXPECT_EQ(access->proxy_url, "socks5://p:1");
  EXPECT_TRUE(access->insecure_skip_tls_verify);
  EXPECT_EQ(Text(access->token), "t0ken");
  EXPECT_EQ(access->as_user, "somebody");
  EXPECT_EQ(access->as_uid, "7");
  EXPECT_THAT(access->as_groups, ElementsAre("a", "b"));
  EXPECT_THAT(access->as_extra, ElementsAre(Pair("k", ElementsAre("v"))));
}

TEST_F(KubeconfigTest, TakesTheContextThatIsNamed) {
  options_.context = "there";
  EXPECT_EQ(Load("", "token: t")->server, "https://two:6443");
  options_.context = "elsewhere";
  EXPECT_THAT(Load("", "token: t"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("here, there")));
}

TEST_F(KubeconfigTest, ReadsFilesRelativeToTheConfig) {
  const TestCertificate client = MakeCertificate("admin", absl::Now() + absl::Hours(1));
  WriteTestFile(folder_.File("ca.crt"), "the authority");
  WriteTestFile(folder_.File("c.crt"), client.certificate_pem);
  WriteTestFile(folder_.File("c.key"), client.key_pem);
  const absl::StatusOr<ApiServerAccess> access =
      Load("certificate-authority: ca.crt",
           "client-certificate: c.crt, client-key: ./c.key, tokenFile: token");
  ASSERT_THAT(access, IsOk());
  EXPECT_EQ(access->ca_pem, "the authority");
  EXPECT_EQ(access->ca_source, folder_.File("ca.crt"));
  EXPECT_EQ(access->client_certificate_pem, client.certificate_pem);
  EXPECT_EQ(Text(access->client_key_pem), client.key_pem);
  EXPECT_EQ(access->token_file, folder_.File("token"));
}

TEST_F(KubeconfigTest, PrefersWhatStandsInItToFiles) {
  EXPECT_EQ(Load(absl::StrCat("certificate-authority: no-such-file, certificate-authority-data: ",
                              absl::Base64Escape("inside")),
                 "token: t")
                ->ca_pem,
            "inside");
  EXPECT_THAT(Load("certificate-authority: no-such-file", "token: t"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-file")));
  EXPECT_THAT(Load("certificate-authority-data: '%%%'", "token: t"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no base64")));
}

TEST_F(KubeconfigTest, SaysThatAClientCertificateIsOldOrOfAnotherKey) {
  const auto load = [&](const TestCertificate& certificate, const TestCertificate& key) {
    return Load("", absl::StrCat("client-certificate-data: ",
                                 absl::Base64Escape(certificate.certificate_pem),
                                 ", client-key-data: ", absl::Base64Escape(key.key_pem)))
        .status();
  };
  const TestCertificate good = MakeCertificate("a", absl::Now() + absl::Hours(1));
  const TestCertificate old = MakeCertificate("b", absl::Now() - absl::Hours(1));
  EXPECT_THAT(load(good, good), IsOk());
  EXPECT_THAT(load(old, old),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("kubeadm certs renew")));
  EXPECT_THAT(load(good, old), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not that")));
  EXPECT_THAT(
      Load("", absl::StrCat("client-certificate-data: ", absl::Base64Escape(good.certificate_pem))),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("go together")));
}

TEST_F(KubeconfigTest, MergesFilesTheFirstOfWhichWins) {
  WriteTestFile(folder_.File("a"),
                "contexts:\n- name: x\n  context: {cluster: c, user: u}\ncurrent-context: x\n"
                "users:\n- name: u\n  user: {token: first}\n");
  WriteTestFile(folder_.File("b"), Config("", "token: second"));
  options_.kubeconfig_variable =
      absl::StrCat(folder_.File("missing"), ":", folder_.File("a"), ":", folder_.File("b"));
  const absl::StatusOr<ApiServerAccess> access = Load();
  ASSERT_THAT(access, IsOk());
  EXPECT_EQ(access->context, "x");
  EXPECT_EQ(access->server, "https://one:6443");
  EXPECT_EQ(Text(access->token), "first");
  options_.kubeconfig_variable = folder_.File("missing");
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("$KUBECONFIG")));
}

TEST_F(KubeconfigTest, LooksInTheHomeFolderAndSaysWhereElse) {
  options_.home = folder_.path();
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("--kubeconfig")));
  ASSERT_THAT(FileSystem::System().CreateDirectory(folder_.File(".kube"), 0700), IsOk());
  WriteTestFile(folder_.File(".kube/config"), Config("", "token: t"));
  EXPECT_EQ(Load()->server, "https://one:6443");
}

TEST_F(KubeconfigTest, ReadsPlugins) {
  const absl::StatusOr<ApiServerAccess> access =
      Load("",
           "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: bin/plugin, "
           "args: [a, b], env: [{name: N, value: V}], installHint: get it, "
           "provideClusterInfo: true, interactiveMode: Never}");
  ASSERT_THAT(access, IsOk());
  EXPECT_EQ(access->exec->command, folder_.File("bin/plugin"));
  EXPECT_THAT(access->exec->arguments, ElementsAre("a", "b"));
  EXPECT_THAT(access->exec->environment, ElementsAre(Pair("N", "V")));
  EXPECT_EQ(access->exec->install_hint, "get it");
  EXPECT_TRUE(access->exec->provide_cluster_info);
  EXPECT_EQ(access->exec->interactive, ExecPlugin::Interactive::kNever);
}

TEST_F(KubeconfigTest, RefusesWhatItDoesNotSupport) {
  for (const char* const user :
       {"username: a, password: s3cret", "auth-provider: {name: oidc}",
        "exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}",
        "token: s3cret, exec: {apiVersion: client.authentication.k8s.io/v1, command: x}",
        "exec: {apiVersion: client.authentication.k8s.io/v1}", "token: [s3cret]"}) {
    const absl::Status status = Load("", user).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("user u"))) << user;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("s3cret")));
  }
  WriteTestFile(folder_.File("config"), "- no\n- kubeconfig\n");
  options_.path = folder_.File("config");
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no kubeconfig")));
}

class ExecPluginTest : public ::testing::Test {
 protected:
  absl::StatusOr<Credential> Run(const std::string& script,
                                 absl::Duration timeout = absl::Seconds(20)) {
    ApiServerAccess access;
    access.server = "https://one:6443";
    access.exec = ExecPlugin{};
    access.exec->api_version = "client.authentication.k8s.io/v1";
    access.exec->command = "/bin/sh";
    access.exec->arguments = {"-c", script};
    access.exec->environment = {{"GIVEN", "value"}};
    access.exec->install_hint = "get it";
    access.exec->interactive = ExecPlugin::Interactive::kNever;
    if (!command_.empty()) access.exec->command = command_;
    return RunExecPlugin(access, absl::Now() + timeout);
  }
  static std::string Prints(const std::string& status) {
    return absl::StrCat(
        "cat <<END\n{\"apiVersion\":\"client.authentication.k8s.io/v1\","
        "\"kind\":\"ExecCredential\",\"status\":",
        status, "}\nEND\n");
  }

  std::string command_;
};

TEST_F(ExecPluginTest, TakesWhatItPrints) {
  const absl::StatusOr<Credential> plain =
      Run(Prints(R"({"token":"$GIVEN","expirationTimestamp":"2030-01-01T00:00:00Z"})"));
  ASSERT_THAT(plain, IsOk());
  EXPECT_EQ(Text(plain->token), "value");
  EXPECT_EQ(plain->expires, absl::FromUnixSeconds(1893456000));
  const absl::StatusOr<Credential> pair =
      Run(Prints(R"({"clientCertificateData":"c","clientKeyData":"k"})"));
  ASSERT_THAT(pair, IsOk());
  EXPECT_EQ(pair->certificate_pem, "c");
  EXPECT_EQ(Text(pair->key_pem), "k");
  EXPECT_EQ(pair->expires, absl::InfiniteFuture());
}

TEST_F(ExecPluginTest, SaysWhatIsWrongWithIt) {
  EXPECT_THAT(Run("exit 3"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("code 3")));
  for (const char* const printed :
       {"{}", R"({"clientKeyData":"k"})", R"({"token":"t","expirationTimestamp":"soon"})"}) {
    EXPECT_THAT(Run(Prints(printed)),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("gives")))
        << printed;
  }
  EXPECT_THAT(Run("echo s3cret"),
              StatusIs(absl::StatusCode::kFailedPrecondition, Not(HasSubstr("s3cret"))));
  EXPECT_THAT(Run("yes"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("too much")));
  command_ = "/no/such/plugin";
  EXPECT_THAT(Run(""), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("get it")));
}

TEST_F(ExecPluginTest, IsEndedWhenItTakesTooLong) {
  const absl::Time begin = absl::Now();
  EXPECT_THAT(Run("exec sleep 60", absl::Milliseconds(200)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, ::testing::_));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(20));
}

}  // namespace
}  // namespace kekd
