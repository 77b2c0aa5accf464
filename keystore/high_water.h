// The high-water file: what tells an older copy of a keyring from the newest.
#ifndef KEKD_KEYSTORE_HIGH_WATER_H_
#define KEKD_KEYSTORE_HIGH_WATER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/durable_file.h"
#include "base/file_system.h"
#include "keystore/ring_key.h"

namespace kekd {

// What a high-water file says of one ring. It lies in another folder than the ring (state, not
// configuration), so that putting back an old ring folder is noticed. Replacing both together is
// not (docs/threat-model.md).
struct HighWater {
  uint64_t highest = 0;   // the highest generation that was ever committed here
  uint64_t accepted = 0;  // the lowest generation that may be loaded; less than `highest` only
                          // after an operator accepted a rollback
};

// "<state folder>/<ring UUID>.high-water".
std::string HighWaterPath(absl::string_view state_directory, const Uuid& ring_uuid);

// NotFound if there is none; DataLoss if it is damaged, of another ring or made under another ring
// key; Unimplemented if a newer kekd wrote it.
absl::StatusOr<HighWater> ReadHighWater(FileSystem& fs, absl::string_view path,
                                        const Uuid& ring_uuid, const RingKey& ring_key);
// For a ring that has none yet: AlreadyExists if there is one.
absl::Status CreateHighWater(FileSystem& fs, absl::string_view path, const Uuid& ring_uuid,
                             const RingKey& ring_key, const HighWater& high_water,
                             const DurableFileOptions& options);
absl::Status WriteHighWater(FileSystem& fs, absl::string_view path, const Uuid& ring_uuid,
                            const RingKey& ring_key, const HighWater& high_water,
                            const DurableFileOptions& options);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_HIGH_WATER_H_
