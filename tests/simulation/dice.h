// Decisions that come from a seed.
#ifndef KEKD_TESTS_SIMULATION_DICE_H_
#define KEKD_TESTS_SIMULATION_DICE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kekd::testing {

// Dice gives the same sequence for the same seed everywhere (splitmix64); the standard library's
// distributions do not. Not thread-safe.
class Dice final {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}

  // Below `count`, which is not 0.
  size_t Below(size_t count) { return static_cast<size_t>(Next() % count); }
  bool OneIn(size_t count) { return Below(count) == 0; }
  bool Flag() { return OneIn(2); }
  // How many decisions there were.
  uint64_t draws() const { return draws_; }
  uint64_t Next() {
    ++draws_;
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  template <typename T>
  T& Of(std::vector<T>& choices) {
    return choices[Below(choices.size())];
  }

 private:
  uint64_t state_;
  uint64_t draws_ = 0;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SIMULATION_DICE_H_
