#include "base/random_source.h"

#include <openssl/rand.h>

#include <limits>

#include "base/openssl.h"

namespace kekd {
namespace {

class LibcryptoRandomSource final : public RandomSource {
 public:
  absl::Status Fill(absl::Span<uint8_t> out) const override {
    if (out.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
      return absl::InvalidArgumentError("too many random bytes asked for at once");
    }
    if (RAND_priv_bytes(out.data(), static_cast<int>(out.size())) != 1) {
      return OpenSslError("RAND_priv_bytes");
    }
    return absl::OkStatus();
  }
};

}  // namespace

const RandomSource& RandomSource::System() {
  static const auto* const source = new LibcryptoRandomSource;
  return *source;
}

}  // namespace kekd
