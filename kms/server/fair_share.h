// Who has to leave when a socket is full.
#ifndef KEKD_KMS_SERVER_FAIR_SHARE_H_
#define KEKD_KMS_SERVER_FAIR_SHARE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "base/unix_socket.h"

namespace kekd {

struct Occupant {
  uint64_t id = 0;  // the greater, the later it came
  PeerCredentials who;
};

// The connection that makes room for a newcomer, or none: the newest one of the user, and of that
// user's process, that has the most, as long as it then still has no fewer than the newcomer's. So
// who has one connection keeps it, and gets it back after a restart, whatever others open.
std::optional<uint64_t> ChooseVictim(const std::vector<Occupant>& occupants,
                                     const PeerCredentials& newcomer);

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_FAIR_SHARE_H_
