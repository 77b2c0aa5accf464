// What holds of every keyring, and of every change of one.
#ifndef KEKD_TESTS_FUZZ_KEYRING_RULES_H_
#define KEKD_TESTS_FUZZ_KEYRING_RULES_H_

#include "keystore/keyring.h"

namespace kekd::testing {

// Ends the process unless the ring has one primary at most, and one once there was one, and no
// number or key_id twice.
void CheckRingValue(const Keyring& ring);
// Ends the process unless nothing that was is undone: states go forward, marks and records stay.
void CheckRingStep(const Keyring& before, const Keyring& after);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_FUZZ_KEYRING_RULES_H_
