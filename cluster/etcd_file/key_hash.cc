#include "cluster/etcd_file/key_hash.h"

#include <bit>
#include <cstring>

namespace kekd {
namespace {

static_assert(std::endian::native == std::endian::little);

uint64_t Load(const void* bytes) {
  uint64_t value = 0;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

struct State {
  uint64_t v0, v1, v2, v3;

  void Rounds(int count) {
    for (int i = 0; i < count; ++i) {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    }
  }

  void Take(uint64_t word) {
    v3 ^= word;
    Rounds(2);
    v0 ^= word;
  }
};

}  // namespace

KeyHasher::KeyHasher(const Key& key) : k0_(Load(key.data())), k1_(Load(key.data() + 8)) {}

KeyHash KeyHasher::Hash(absl::string_view bytes) const {
  State state = {.v0 = k0_ ^ 0x736f6d6570736575,
                 .v1 = k1_ ^ 0x646f72616e646f6d ^ 0xee,
                 .v2 = k0_ ^ 0x6c7967656e657261,
                 .v3 = k1_ ^ 0x7465646279746573};
  const size_t size = bytes.size();
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) state.Take(Load(bytes.data()));
  uint64_t last = static_cast<uint64_t>(size) << 56;
  for (size_t i = 0; i < bytes.size(); ++i) {
    last |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  }
  state.Take(last);
  state.v2 ^= 0xee;
  state.Rounds(4);
  const uint64_t low = state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
  state.v1 ^= 0xdd;
  state.Rounds(4);
  return {.low = low, .high = state.v0 ^ state.v1 ^ state.v2 ^ state.v3};
}

}  // namespace kekd
