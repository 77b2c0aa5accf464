// Ciphertext::Parse on bytes of an attacker who writes to etcd.
#include <cstdlib>
#include <string>

#include "keystore/ciphertext.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kekd::Ciphertext;
  const kekd::ByteView bytes(data, size);
  const absl::StatusOr<Ciphertext> parsed = Ciphertext::Parse(bytes);
  if (!parsed.ok()) {
    const bool expected =
        absl::IsInvalidArgument(parsed.status()) || absl::IsUnimplemented(parsed.status());
    if (!expected) abort();
    return 0;
  }
  // What parses is written again as it was.
  std::string again = Ciphertext::Header(parsed->algorithm, parsed->version);
  const absl::string_view sealed = kekd::AsText(parsed->sealed);
  again.append(sealed.data(), sealed.size());
  if (parsed->version == 0 || again != kekd::AsText(bytes)) abort();
  return 0;
}
