// Any sequence of changes, restarts, failing disks and power cuts, through the writer and the
// store.
#include "base/bytes.h"
#include "tests/fuzz/ring_machine.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A request id has one byte here, and a ring remembers the newest 32.
  constexpr int kMaxSteps = 24;
  kekd::testing::Choices choices(kekd::AsText(kekd::ByteView(data, size)));
  kekd::testing::RingMachine machine(choices);
  for (int step = 0; step < kMaxSteps && !choices.empty(); ++step) machine.Step();
  machine.Finish();
  return 0;
}
