// What proves to an API server who asks, as long as it is good.
#ifndef KEKD_CLUSTER_API_SERVER_CREDENTIAL_SOURCE_H_
#define KEKD_CLUSTER_API_SERVER_CREDENTIAL_SOURCE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "base/mutex.h"
#include "cluster/api_server/exec_plugin.h"
#include "cluster/api_server/kubeconfig.h"

namespace kekd {

// CredentialSource has the credential of a kubeconfig's user: the one that stands there, that of a
// file, which is read again now and then, or a plugin's, which is run again when it expires or is
// refused. Thread-safe.
class CredentialSource final {
 public:
  // Both outlive it.
  CredentialSource(FileSystem& fs, const ApiServerAccess& access) : fs_(fs), access_(access) {}

  // Errors are those of the file (with what it is for) and of RunExecPlugin.
  absl::StatusOr<std::shared_ptr<const Credential>> Get(absl::Time deadline);

  // The API server did not take this one (401): whether Get can give another now. Each is asked
  // about as often as there are requests with it; it is made anew once.
  bool NoteRefused(const std::shared_ptr<const Credential>& which);

 private:
  absl::StatusOr<Credential> Make(absl::Time deadline) const;
  bool IsStaleLocked(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  FileSystem& fs_;
  const ApiServerAccess& access_;
  Mutex mu_;
  std::shared_ptr<const Credential> current_ ABSL_GUARDED_BY(mu_);
  absl::Time made_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();  // monotonic
  bool refused_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_API_SERVER_CREDENTIAL_SOURCE_H_
