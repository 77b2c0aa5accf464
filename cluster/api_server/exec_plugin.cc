#include "cluster/api_server/exec_plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/monotonic.h"
#include "base/posix_error.h"
#include "base/secret_builder.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "cluster/api_server/json_fields.h"

namespace kekd {
namespace {

constexpr size_t kMaxOutputBytes = size_t{1} << 20;
constexpr char kExecInfo[] = "KUBERNETES_EXEC_INFO";

class FileActions final {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

// Signals as a program expects them: this process ignores a closed pipe, say.
class DefaultSignals final {
 public:
  DefaultSignals() {
    posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~DefaultSignals() { posix_spawnattr_destroy(&attributes_); }
  DefaultSignals(const DefaultSignals&) = delete;
  DefaultSignals& operator=(const DefaultSignals&) = delete;
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

// A child that is ended and waited for when this goes.
class Child final {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // How it ended, once it has; nullopt if it still runs then.
  std::optional<int> Wait(absl::Time deadline) {
    int status = 0;
    while (true) {
      const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
      if (ended == pid_) {
        pid_ = 0;
        return status;
      }
      if (ended < 0 && errno != EINTR) return 0;
      if (MonotonicNow() >= deadline) return std::nullopt;
      absl::SleepFor(absl::Milliseconds(5));
    }
  }

 private:
  pid_t pid_;
};

std::string ExecInfo(const ApiServerAccess& access, bool interactive) {
  nlohmann::json spec = {{"interactive", interactive}};
  if (access.exec->provide_cluster_info) {
    nlohmann::json cluster = {{"server", access.server}};
    if (!access.tls_server_name.empty()) cluster["tls-server-name"] = access.tls_server_name;
    if (!access.ca_pem.empty()) {
      SecretBuilder ca;
      ca.AppendBase64(AsBytes(access.ca_pem));
      cluster["certificate-authority-data"] =
          std::string(AsText(ca.Take().Reveal(SecretAccessToken())));
    }
    if (access.insecure_skip_tls_verify) cluster["insecure-skip-tls-verify"] = true;
    if (!access.proxy_url.empty()) cluster["proxy-url"] = access.proxy_url;
    spec["cluster"] = std::move(cluster);
  }
  return FormatJson({{"apiVersion", access.exec->api_version},
                     {"kind", "ExecCredential"},
                     {"spec", std::move(spec)}});
}

// This process's own with the entry's and the protocol's in their place.
std::vector<std::string> Environment(const ApiServerAccess& access, bool interactive) {
  std::vector<std::string> names = {kExecInfo};
  for (const auto& [name, value] : access.exec->environment) names.push_back(name);
  std::vector<std::string> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const bool replaced = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return absl::StartsWith(*variable, absl::StrCat(name, "="));
    });
    if (!replaced) variables.emplace_back(*variable);
  }
  for (const auto& [name, value] : access.exec->environment) {
    variables.push_back(absl::StrCat(name, "=", value));
  }
  variables.push_back(absl::StrCat(kExecInfo, "=", ExecInfo(access, interactive)));
  return variables;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::Status NotThere(const ExecPlugin& plugin, int error) {
  return absl::FailedPreconditionError(
      absl::StrCat("the kubeconfig's credential plugin ", plugin.command,
                   " can't be run: ", std::strerror(error),
                   plugin.install_hint.empty() ? "" : absl::StrCat("\n", plugin.install_hint)));
}

// All that the child prints, until it closes its output.
absl::StatusOr<SecretBytes> ReadAll(int fd, absl::string_view command, absl::Time deadline) {
  SecretBuilder output;
  SecretBytes buffer(4096);
  size_t size = 0;
  while (true) {
    pollfd waiting = {fd, POLLIN, 0};
    const absl::Duration left = deadline - MonotonicNow();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrCat("the kubeconfig's credential plugin ", command, " did not end in time"));
    }
    const int ready =
        ::poll(&waiting, 1,
               static_cast<int>(absl::ToInt64Milliseconds(std::min(left, absl::Minutes(1)))) + 1);
    if (ready < 0 && errno != EINTR) return PosixError(errno, "poll");
    if (ready <= 0) continue;
    const absl::Span<uint8_t> room = buffer.RevealMutable(SecretAccessToken());
    const ssize_t got = ::read(fd, room.data(), room.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return PosixError(errno, "reading from the credential plugin");
    if (got == 0) return output.Take();
    size += static_cast<size_t>(got);
    if (size > kMaxOutputBytes) {
      return absl::FailedPreconditionError(
          absl::StrCat("the kubeconfig's credential plugin ", command, " prints too much"));
    }
    output.Append(AsText(ByteView(room.data(), static_cast<size_t>(got))));
  }
}

absl::StatusOr<SecretBytes> RunForOutput(const ApiServerAccess& access, absl::Time deadline) {
  const ExecPlugin& plugin = *access.exec;
  const bool has_terminal = ::isatty(STDIN_FILENO) == 1;
  if (plugin.interactive == ExecPlugin::Interactive::kAlways && !has_terminal) {
    return absl::FailedPreconditionError(absl::StrCat("the kubeconfig's credential plugin ",
                                                      plugin.command,
                                                      " asks on a terminal, and there is none"));
  }
  const bool interactive = has_terminal && plugin.interactive != ExecPlugin::Interactive::kNever;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return PosixError(errno, "pipe");
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const DefaultSignals signals;
  FileActions actions;
  posix_spawn_file_actions_adddup2(actions.get(), theirs.get(), STDOUT_FILENO);
  if (!interactive) {
    posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  std::vector<std::string> arguments = {plugin.command};
  arguments.insert(arguments.end(), plugin.arguments.begin(), plugin.arguments.end());
  std::vector<std::string> environment = Environment(access, interactive);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, plugin.command.c_str(), actions.get(), signals.get(),
                                   Pointers(arguments).data(), Pointers(environment).data());
  if (error != 0) return NotThere(plugin, error);
  Child child(pid);
  theirs = UniqueFd();
  KEKD_ASSIGN_OR_RETURN(SecretBytes output, ReadAll(ours.get(), plugin.command, deadline));
  const std::optional<int> ended = child.Wait(deadline);
  if (!ended.has_value()) {
    return absl::DeadlineExceededError(absl::StrCat("the kubeconfig's credential plugin ",
                                                    plugin.command, " did not end in time"));
  }
  if (WIFEXITED(*ended) && WEXITSTATUS(*ended) == 0) return output;
  const std::string how = WIFEXITED(*ended) ? absl::StrCat("exit code ", WEXITSTATUS(*ended))
                                            : absl::StrCat("signal ", WTERMSIG(*ended));
  return absl::FailedPreconditionError(absl::StrCat("the kubeconfig's credential plugin ",
                                                    plugin.command, " failed with ", how,
                                                    "; what it says about that stands above"));
}

SecretBytes TakeSecret(const nlohmann::json& from, const char* field) {
  std::string text = TextField(from, {"status", field});
  SecretBytes secret = SecretBytes::CopyOf(AsBytes(text));
  Wipe(text.data(), text.size());
  return secret;
}

}  // namespace

absl::StatusOr<Credential> RunExecPlugin(const ApiServerAccess& access, absl::Time deadline) {
  const ExecPlugin& plugin = *access.exec;
  KEKD_ASSIGN_OR_RETURN(const SecretBytes output,
                        RunForOutput(access, MonotonicDeadline(deadline)));
  const auto wrong = [&](absl::string_view why) {
    return absl::FailedPreconditionError(
        absl::StrCat("the kubeconfig's credential plugin ", plugin.command, " ", why));
  };
  const nlohmann::json json = ParseJson(AsText(output.Reveal(SecretAccessToken())));
  if (TextField(json, {"kind"}) != "ExecCredential") return wrong("prints no ExecCredential");
  if (TextField(json, {"apiVersion"}) != plugin.api_version) {
    return wrong(absl::StrCat("answers in another version than ", plugin.api_version));
  }
  Credential credential;
  credential.token = TakeSecret(json, "token");
  credential.certificate_pem = TextField(json, {"status", "clientCertificateData"});
  credential.key_pem = TakeSecret(json, "clientKeyData");
  if (credential.certificate_pem.empty() != credential.key_pem.empty()) {
    return wrong("gives a client certificate without its key, or a key alone");
  }
  if (credential.token.empty() && credential.key_pem.empty()) {
    return wrong("gives neither a token nor a client certificate");
  }
  const std::string expires = TextField(json, {"status", "expirationTimestamp"});
  std::string why;
  if (!expires.empty() &&
      !absl::ParseTime(absl::RFC3339_full, expires, &credential.expires, &why)) {
    return wrong("gives an expirationTimestamp that is no time");
  }
  return credential;
}

}  // namespace kekd
