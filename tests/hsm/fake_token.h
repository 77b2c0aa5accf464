// A TokenClient whose worker is fake_worker.cc.
#ifndef KEKD_TESTS_HSM_FAKE_TOKEN_H_
#define KEKD_TESTS_HSM_FAKE_TOKEN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hsm/token_client.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {

class FakeToken final {
 public:
  // `at_start` tells the worker what to do when it starts. A call hangs after a second.
  WorkerProcess::Options Options(absl::string_view at_start = "") const;

  // The folder that the workers share.
  const std::string& folder() const { return folder_.path(); }

  // A key whose label tells the worker what to do.
  static KeyReference Key(absl::string_view label);

  static absl::Time In(absl::Duration duration) { return absl::Now() + duration; }
  // Later than anything takes that does not hang.
  static absl::Time Later() { return In(absl::Seconds(20)); }

  // Of "plaintext" with "associated data".
  static absl::StatusOr<std::string> Encrypt(TokenClient& client, absl::string_view label,
                                             absl::Time deadline = Later());

 private:
  const TempDirectory folder_;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_HSM_FAKE_TOKEN_H_
