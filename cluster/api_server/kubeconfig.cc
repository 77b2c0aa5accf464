#include "cluster/api_server/kubeconfig.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/pem.h"
#include "base/status_macros.h"
#include "base/yaml/yaml_document.h"

namespace kekd {
namespace {

constexpr size_t kMaxConfigBytes = size_t{4} << 20;
constexpr size_t kMaxPemBytes = size_t{1} << 20;
constexpr char kPodFolder[] = "/var/run/secrets/kubernetes.io/serviceaccount";

// A part of a file, by name where errors speak of it.
struct Entry {
  const YamlNode* node = nullptr;
  std::string file;
  std::string what;  // "user admin"

  absl::Status Error(absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat(file, ": ", what, ": ", why));
  }
};

const YamlNode* FieldOf(const YamlNode* node, absl::string_view name) {
  if (node == nullptr || node->kind != YamlNode::Kind::kMapping) return nullptr;
  for (size_t i = 0; i < node->keys.size(); ++i) {
    if (node->keys[i].scalar == name && node->values[i].kind != YamlNode::Kind::kNull) {
      return &node->values[i];
    }
  }
  return nullptr;
}

// Empty if there is none.
absl::StatusOr<std::string> TextOf(const Entry& entry, absl::string_view name) {
  const YamlNode* const field = FieldOf(entry.node, name);
  if (field == nullptr) return std::string();
  if (field->kind != YamlNode::Kind::kScalar) {
    return entry.Error(absl::StrCat(name, " must be a text"));
  }
  return field->scalar;
}

absl::StatusOr<bool> FlagOf(const Entry& entry, absl::string_view name) {
  KEKD_ASSIGN_OR_RETURN(const std::string text, TextOf(entry, name));
  if (text.empty() || text == "false") return false;
  if (text == "true") return true;
  return entry.Error(absl::StrCat(name, " must be true or false"));
}

absl::StatusOr<std::vector<std::string>> TextsOf(const Entry& entry, const YamlNode* list,
                                                 absl::string_view name) {
  std::vector<std::string> texts;
  if (list == nullptr) return texts;
  if (list->kind != YamlNode::Kind::kSequence) {
    return entry.Error(absl::StrCat(name, " must be a list"));
  }
  for (const YamlNode& one : list->values) {
    if (one.kind != YamlNode::Kind::kScalar) {
      return entry.Error(absl::StrCat(name, " must be a list of texts"));
    }
    texts.push_back(one.scalar);
  }
  return texts;
}

// The files, parsed. The first that has something wins.
class Files final {
 public:
  absl::Status Read(FileSystem& fs, const std::string& path, bool must_be_there) {
    absl::StatusOr<SecretBytes> text = fs.ReadSecretFile(path, kMaxConfigBytes, nullptr);
    if (absl::IsNotFound(text.status()) && !must_be_there) return absl::OkStatus();
    KEKD_RETURN_IF_ERROR(text.status());
    KEKD_ASSIGN_OR_RETURN(YamlNode document,
                          ParseYaml(AsText(text->Reveal(SecretAccessToken())), path));
    if (document.kind != YamlNode::Kind::kMapping && document.kind != YamlNode::Kind::kNull) {
      return absl::InvalidArgumentError(absl::StrCat(path, " is no kubeconfig"));
    }
    files_.emplace_back(path, std::move(document));
    return absl::OkStatus();
  }

  bool empty() const { return files_.empty(); }

  std::string CurrentContext() const {
    for (const auto& [path, document] : files_) {
      const YamlNode* const field = FieldOf(&document, "current-context");
      if (field != nullptr && !field->scalar.empty()) return field->scalar;
    }
    return "";
  }

  // Of the list "contexts", "clusters" or "users" the one of that name: what is under "context",
  // "cluster" or "user" in it.
  absl::StatusOr<Entry> Find(absl::string_view list, absl::string_view kind,
                             absl::string_view name) const {
    std::vector<std::string> names;
    for (const auto& [path, document] : files_) {
      const YamlNode* const all = FieldOf(&document, list);
      if (all == nullptr || all->kind != YamlNode::Kind::kSequence) continue;
      for (const YamlNode& one : all->values) {
        const YamlNode* const its_name = FieldOf(&one, "name");
        if (its_name == nullptr) continue;
        names.push_back(its_name->scalar);
        if (its_name->scalar != name) continue;
        return Entry{FieldOf(&one, kind), path, absl::StrCat(kind, " ", name)};
      }
    }
    std::string paths;
    for (const auto& [path, document] : files_) {
      absl::StrAppend(&paths, paths.empty() ? "" : ", ", path);
    }
    return absl::NotFoundError(absl::StrCat(
        "there is no ", kind, " \"", name, "\" in ", paths,
        names.empty() ? "" : absl::StrCat("; there are: ", absl::StrJoin(names, ", "))));
  }

 private:
  std::vector<std::pair<std::string, YamlNode>> files_;
};

std::string RelativeTo(const std::string& file, const std::string& path) {
  return absl::StartsWith(path, "/") ? path : JoinPath(DirectoryOf(file), path);
}

// What NAME-data has, or the file that NAME names; empty if there is neither.
absl::StatusOr<SecretBytes> DataOrFile(FileSystem& fs, const Entry& entry, absl::string_view name,
                                       std::string& source) {
  KEKD_ASSIGN_OR_RETURN(const std::string data, TextOf(entry, absl::StrCat(name, "-data")));
  if (!data.empty()) {
    source = absl::StrCat(name, "-data of ", entry.what, " in ", entry.file);
    std::string bytes;
    if (!absl::Base64Unescape(data, &bytes)) {
      return entry.Error(absl::StrCat(name, "-data is no base64"));
    }
    SecretBytes result = SecretBytes::CopyOf(AsBytes(bytes));
    Wipe(bytes.data(), bytes.size());
    return result;
  }
  KEKD_ASSIGN_OR_RETURN(const std::string path, TextOf(entry, name));
  if (path.empty()) return SecretBytes();
  source = RelativeTo(entry.file, path);
  absl::StatusOr<SecretBytes> content = fs.ReadSecretFile(source, kMaxPemBytes, nullptr);
  if (!content.ok()) return WithContext(content.status(), entry.what);
  return content;
}

std::string PublicText(const SecretBytes& bytes) {
  return std::string(AsText(bytes.Reveal(SecretAccessToken())));
}

absl::Status ReadCluster(FileSystem& fs, const Entry& cluster, ApiServerAccess& access) {
  KEKD_ASSIGN_OR_RETURN(access.server, TextOf(cluster, "server"));
  if (access.server.empty()) return cluster.Error("it has no server");
  KEKD_ASSIGN_OR_RETURN(const SecretBytes ca,
                        DataOrFile(fs, cluster, "certificate-authority", access.ca_source));
  access.ca_pem = PublicText(ca);
  // Nothing would mean the authorities that the system trusts.
  if (access.ca_pem.empty() && !access.ca_source.empty()) {
    return cluster.Error(
        absl::StrCat("the certificate authority in ", access.ca_source, " is empty"));
  }
  KEKD_ASSIGN_OR_RETURN(access.tls_server_name, TextOf(cluster, "tls-server-name"));
  KEKD_ASSIGN_OR_RETURN(access.proxy_url, TextOf(cluster, "proxy-url"));
  KEKD_ASSIGN_OR_RETURN(access.insecure_skip_tls_verify,
                        FlagOf(cluster, "insecure-skip-tls-verify"));
  return absl::OkStatus();
}

absl::StatusOr<ExecPlugin::Interactive> InteractiveMode(const Entry& exec) {
  KEKD_ASSIGN_OR_RETURN(const std::string mode, TextOf(exec, "interactiveMode"));
  if (mode.empty() || mode == "IfAvailable") return ExecPlugin::Interactive::kIfAvailable;
  if (mode == "Never") return ExecPlugin::Interactive::kNever;
  if (mode == "Always") return ExecPlugin::Interactive::kAlways;
  return exec.Error("interactiveMode must be Never, IfAvailable or Always");
}

absl::StatusOr<ExecPlugin> ReadExec(const Entry& user, const YamlNode& node) {
  const Entry exec = {&node, user.file, absl::StrCat(user.what, ": exec")};
  ExecPlugin plugin;
  KEKD_ASSIGN_OR_RETURN(plugin.api_version, TextOf(exec, "apiVersion"));
  if (plugin.api_version != "client.authentication.k8s.io/v1" &&
      plugin.api_version != "client.authentication.k8s.io/v1beta1") {
    return exec.Error(absl::StrCat("apiVersion \"", plugin.api_version,
                                   "\" is not supported, client.authentication.k8s.io/v1 and "
                                   "v1beta1 are"));
  }
  KEKD_ASSIGN_OR_RETURN(plugin.command, TextOf(exec, "command"));
  if (plugin.command.empty()) return exec.Error("it has no command");
  if (absl::StrContains(plugin.command, '/')) {
    plugin.command = RelativeTo(user.file, plugin.command);
  }
  KEKD_ASSIGN_OR_RETURN(plugin.arguments, TextsOf(exec, FieldOf(&node, "args"), "args"));
  KEKD_ASSIGN_OR_RETURN(plugin.install_hint, TextOf(exec, "installHint"));
  KEKD_ASSIGN_OR_RETURN(plugin.provide_cluster_info, FlagOf(exec, "provideClusterInfo"));
  KEKD_ASSIGN_OR_RETURN(plugin.interactive, InteractiveMode(exec));
  const YamlNode* const environment = FieldOf(&node, "env");
  if (environment == nullptr) return plugin;
  for (const YamlNode& one : environment->values) {
    const Entry variable = {&one, user.file, absl::StrCat(exec.what, ": env")};
    KEKD_ASSIGN_OR_RETURN(std::string name, TextOf(variable, "name"));
    KEKD_ASSIGN_OR_RETURN(std::string value, TextOf(variable, "value"));
    plugin.environment.emplace_back(std::move(name), std::move(value));
  }
  return plugin;
}

absl::Status ReadImpersonation(const Entry& user, ApiServerAccess& access) {
  KEKD_ASSIGN_OR_RETURN(access.as_user, TextOf(user, "as"));
  KEKD_ASSIGN_OR_RETURN(access.as_uid, TextOf(user, "as-uid"));
  KEKD_ASSIGN_OR_RETURN(access.as_groups,
                        TextsOf(user, FieldOf(user.node, "as-groups"), "as-groups"));
  const YamlNode* const extra = FieldOf(user.node, "as-user-extra");
  if (extra == nullptr || extra->kind != YamlNode::Kind::kMapping) return absl::OkStatus();
  for (size_t i = 0; i < extra->keys.size(); ++i) {
    KEKD_ASSIGN_OR_RETURN(access.as_extra[extra->keys[i].scalar],
                          TextsOf(user, &extra->values[i], "as-user-extra"));
  }
  return absl::OkStatus();
}

// A client certificate that has expired is refused by the API server with nothing but a 401.
absl::Status CheckClientCertificate(const ApiServerAccess& access, absl::Time now) {
  const OpenSslPtr<BIO> bio = OpenPem(access.client_certificate_pem);
  const OpenSslPtr<X509> certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(access.client_certificate_source, " holds no PEM certificate"));
  }
  KEKD_ASSIGN_OR_RETURN(
      const OpenSslPtr<EVP_PKEY> key,
      ParsePrivateKey(access.client_key_pem,
                      absl::StrCat("the key of ", access.client_certificate_source)));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(absl::StrCat("the client key is not that of the certificate ",
                                                   access.client_certificate_source));
  }
  time_t at = absl::ToTimeT(now);
  if (X509_cmp_time(X509_get0_notAfter(certificate.get()), &at) < 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the client certificate ", access.client_certificate_source,
        " has expired: get a new kubeconfig (kubeadm certs renew admin.conf, for kubeadm's)"));
  }
  return absl::OkStatus();
}

absl::Status ReadUser(FileSystem& fs, const Entry& user, absl::Time now, ApiServerAccess& access) {
  for (const char* const gone : {"username", "password", "auth-provider"}) {
    if (FieldOf(user.node, gone) != nullptr) {
      return user.Error(absl::StrCat(gone,
                                     " is not supported, as Kubernetes has dropped it; use a "
                                     "token, a client certificate or exec"));
    }
  }
  KEKD_ASSIGN_OR_RETURN(
      const SecretBytes certificate,
      DataOrFile(fs, user, "client-certificate", access.client_certificate_source));
  access.client_certificate_pem = PublicText(certificate);
  std::string key_source;
  KEKD_ASSIGN_OR_RETURN(access.client_key_pem, DataOrFile(fs, user, "client-key", key_source));
  if (access.client_certificate_pem.empty() != access.client_key_pem.empty()) {
    return user.Error("client-certificate and client-key go together");
  }
  if (!access.client_certificate_pem.empty()) {
    KEKD_RETURN_IF_ERROR(CheckClientCertificate(access, now));
  }
  KEKD_ASSIGN_OR_RETURN(std::string token, TextOf(user, "token"));
  access.token = SecretBytes::CopyOf(AsBytes(token));
  Wipe(token.data(), token.size());
  KEKD_ASSIGN_OR_RETURN(const std::string token_file, TextOf(user, "tokenFile"));
  if (!token_file.empty()) access.token_file = RelativeTo(user.file, token_file);
  if (const YamlNode* const exec = FieldOf(user.node, "exec"); exec != nullptr) {
    if (!access.token.empty() || !access.token_file.empty()) {
      return user.Error("give a token or exec, not both");
    }
    KEKD_ASSIGN_OR_RETURN(access.exec, ReadExec(user, *exec));
  }
  return ReadImpersonation(user, access);
}

absl::StatusOr<ApiServerAccess> PodAccess(FileSystem& fs, const KubeconfigOptions& options) {
  ApiServerAccess access;
  access.context = "in-cluster";
  const bool is_v6 = absl::StrContains(options.service_host, ':');
  access.server = absl::StrCat("https://", is_v6 ? "[" : "", options.service_host, is_v6 ? "]" : "",
                               ":", options.service_port);
  access.token_file = absl::StrCat(kPodFolder, "/token");
  access.ca_source = absl::StrCat(kPodFolder, "/ca.crt");
  KEKD_ASSIGN_OR_RETURN(access.ca_pem, fs.ReadFile(access.ca_source, kMaxPemBytes));
  if (access.ca_pem.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(access.ca_source, " is empty"));
  }
  return access;
}

// The files of --kubeconfig, $KUBECONFIG or the home folder, whichever is said first.
absl::StatusOr<Files> ReadFiles(FileSystem& fs, const KubeconfigOptions& options) {
  Files files;
  if (!options.path.empty()) {
    KEKD_RETURN_IF_ERROR(files.Read(fs, options.path, /*must_be_there=*/true));
    return files;
  }
  if (!options.kubeconfig_variable.empty()) {
    for (const absl::string_view path :
         absl::StrSplit(options.kubeconfig_variable, ':', absl::SkipEmpty())) {
      KEKD_RETURN_IF_ERROR(files.Read(fs, std::string(path), /*must_be_there=*/false));
    }
    if (!files.empty()) return files;
    return absl::NotFoundError(
        absl::StrCat("no file of $KUBECONFIG is there: ", options.kubeconfig_variable));
  }
  if (!options.home.empty()) {
    KEKD_RETURN_IF_ERROR(
        files.Read(fs, absl::StrCat(options.home, "/.kube/config"), /*must_be_there=*/false));
  }
  return files;
}

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace

KubeconfigOptions KubeconfigOptionsFromEnvironment() {
  KubeconfigOptions options;
  options.kubeconfig_variable = Variable("KUBECONFIG");
  options.home = Variable("HOME");
  options.service_host = Variable("KUBERNETES_SERVICE_HOST");
  options.service_port = Variable("KUBERNETES_SERVICE_PORT");
  return options;
}

absl::StatusOr<ApiServerAccess> LoadKubeconfig(FileSystem& fs, const KubeconfigOptions& options,
                                               absl::Time now) {
  KEKD_ASSIGN_OR_RETURN(const Files files, ReadFiles(fs, options));
  if (files.empty()) {
    if (!options.service_host.empty()) return PodAccess(fs, options);
    return absl::NotFoundError(
        "which API server is meant is not known: give --kubeconfig (kubeadm's is "
        "/etc/kubernetes/admin.conf), set $KUBECONFIG, or have ~/.kube/config");
  }
  ApiServerAccess access;
  access.context = options.context.empty() ? files.CurrentContext() : options.context;
  if (access.context.empty()) {
    return absl::InvalidArgumentError(
        "the kubeconfig has no current context: choose one with --context");
  }
  KEKD_ASSIGN_OR_RETURN(const Entry context, files.Find("contexts", "context", access.context));
  KEKD_ASSIGN_OR_RETURN(const std::string cluster_name, TextOf(context, "cluster"));
  KEKD_ASSIGN_OR_RETURN(const std::string user_name, TextOf(context, "user"));
  KEKD_ASSIGN_OR_RETURN(const Entry cluster, files.Find("clusters", "cluster", cluster_name));
  KEKD_RETURN_IF_ERROR(ReadCluster(fs, cluster, access));
  if (user_name.empty()) return access;
  KEKD_ASSIGN_OR_RETURN(const Entry user, files.Find("users", "user", user_name));
  KEKD_RETURN_IF_ERROR(ReadUser(fs, user, now, access));
  return access;
}

}  // namespace kekd
