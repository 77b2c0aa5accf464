// What a failure means to whoever started the program.
#ifndef KEKD_KMS_CONFIG_EXIT_CODE_H_
#define KEKD_KMS_CONFIG_EXIT_CODE_H_

#include "absl/status/status.h"

namespace kekd {

// The exit codes of kekd and kekctl. Scripts depend on the numbers: they never change.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailure = 1,      // I/O, an internal error, a check that failed
  kExitUsage = 2,        // the command line or the configuration
  kExitRefused = 3,      // by the state of things: exists already, not found, changed meanwhile
  kExitUnreachable = 4,  // kekd or etcd can't be reached, keyring or socket are in use
  kExitIntegrity = 5,    // damaged, rolled back, of another key, written by a newer kekd
  kExitPermission = 6,   // permission denied, also a key file with the wrong owner or mode
};

ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace kekd

#endif  // KEKD_KMS_CONFIG_EXIT_CODE_H_
