// The configuration file: whatever is in it, ParseConfig answers with a configuration or an error.
#include <cstdlib>

#include "base/bytes.h"
#include "kms/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::StatusOr<kekd::Config> config =
      kekd::ParseConfig(kekd::AsText(kekd::ByteView(data, size)), "fuzz.yaml");
  if (!config.ok()) {
    // An error is the file's, and names it.
    const bool names_it = config.status().message().find("fuzz.yaml") != absl::string_view::npos;
    if (!absl::IsInvalidArgument(config.status()) || !names_it) abort();
    return 0;
  }
  if (config->keyrings.empty()) abort();
  for (const kekd::KeyringConfig& keyring : config->keyrings) {
    if (keyring.name.empty() || keyring.directory.empty() || keyring.directory[0] != '/') abort();
    if (keyring.socket.path.size() > kekd::kMaxSocketPathBytes) abort();
  }
  return 0;
}
