#include "cluster/api_server/credential_source.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/monotonic.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr size_t kMaxTokenBytes = 64 << 10;
// kubectl's own is a minute; the kubelet renews a pod's token well before its end.
constexpr absl::Duration kFileAge = absl::Seconds(30);
// A plugin is asked again so long before what it gave expires.
constexpr absl::Duration kBeforeExpiry = absl::Seconds(10);

// Without the white space at its ends.
SecretBytes Stripped(const SecretBytes& text) {
  return SecretBytes::CopyOf(
      AsBytes(absl::StripAsciiWhitespace(AsText(text.Reveal(SecretAccessToken())))));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Credential>> CredentialSource::Get(absl::Time deadline) {
  // One plugin runs, and all wait for it.
  const MutexLock lock(&mu_);
  if (current_ == nullptr || IsStaleLocked(absl::Now())) {
    KEKD_ASSIGN_OR_RETURN(Credential made, Make(deadline));
    current_ = std::make_shared<const Credential>(std::move(made));
    made_ = MonotonicNow();
    refused_ = false;
  }
  return current_;
}

bool CredentialSource::NoteRefused(const std::shared_ptr<const Credential>& which) {
  const MutexLock lock(&mu_);
  if (!access_.exec.has_value() && access_.token_file.empty()) return false;
  if (which == current_) refused_ = true;
  return true;
}

bool CredentialSource::IsStaleLocked(absl::Time now) const {
  if (refused_) return true;
  if (!access_.token_file.empty()) return MonotonicNow() - made_ > kFileAge;
  return current_->expires - kBeforeExpiry <= now;
}

absl::StatusOr<Credential> CredentialSource::Make(absl::Time deadline) const {
  if (access_.exec.has_value()) return RunExecPlugin(access_, deadline);
  Credential credential;
  credential.certificate_pem = access_.client_certificate_pem;
  credential.key_pem = access_.client_key_pem.Clone();
  if (access_.token_file.empty()) {
    credential.token = access_.token.Clone();
    return credential;
  }
  absl::StatusOr<SecretBytes> token =
      fs_.ReadSecretFile(access_.token_file, kMaxTokenBytes, nullptr);
  if (!token.ok()) return WithContext(token.status(), "the token of the kubeconfig");
  credential.token = Stripped(*token);
  if (credential.token.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the kubeconfig's token file ", access_.token_file, " is empty"));
  }
  return credential;
}

}  // namespace kekd
