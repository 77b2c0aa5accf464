// Starting a program with nothing but what it needs.
#ifndef KEKD_HSM_WORKER_SPAWN_H_
#define KEKD_HSM_WORKER_SPAWN_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace kekd {

struct SpawnedWorker {
  pid_t pid = 0;
  std::vector<UniqueFd> channels;  // kekd's ends
};

// Starts `program` with `channels` connected sockets, as worker_message.h says, in a process group
// of its own (a Ctrl-C at a terminal is for kekd, which ends the worker when it is done) and with
// every signal as usual. Unavailable if it can't.
absl::StatusOr<SpawnedWorker> SpawnWorker(const std::string& program, uint32_t channels);

// Whether a worker gets a variable of kekd's environment ("NAME=value").
bool IsForWorker(absl::string_view variable);

}  // namespace kekd

#endif  // KEKD_HSM_WORKER_SPAWN_H_
