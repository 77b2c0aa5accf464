// break_key CONFIGURATION VERSION: gives one key version of the only keyring another key's
// material, so that it opens and does not decrypt its canary. What a token that lost its key, or
// answers with another one, looks like to kekd; the end-to-end tests have no other way to get
// there. kekd must not run. The record stays authentic and of the same generation: putting the old
// one back mends it.

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/bytes.h"
#include "base/durable_file.h"
#include "base/file_system.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "keystore/file_keyring_store.h"
#include "keystore/keyring_record.h"
#include "kms/config/config.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

absl::Status BreakKey(const std::string& config_path, uint32_t number) {
  FileSystem& fs = FileSystem::System();
  KEKD_ASSIGN_OR_RETURN(const Config config, LoadConfig(fs, config_path));
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const configured, config.FindKeyring(""));
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<FileKeyringStore> store,
                        FileKeyringStore::Open(StoreOptions(fs, config, *configured),
                                               FileKeyringStore::Access::kExclusive));
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> keyring, store->Load());
  Keyring::Parts parts = keyring->parts();
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const BackendSet> backends,
                        MakeBackends(fs, config, *configured, store->ring_key()));
  for (KeyVersion& version : parts.versions) {
    if (version.number != number) continue;
    KEKD_ASSIGN_OR_RETURN(KeyBackend* const backend, backends->Find(version.backend));
    KEKD_ASSIGN_OR_RETURN(version.material,
                          backend->GenerateKey({.ring = parts.identity, .version = number},
                                               absl::Now() + absl::Seconds(10)));
    KEKD_ASSIGN_OR_RETURN(const Keyring broken, Keyring::Create(std::move(parts)));
    KEKD_ASSIGN_OR_RETURN(const std::string record,
                          EncodeRecord(broken, *store->ring_key()->Get()));
    return ReplaceFileDurably(fs, absl::StrCat(configured->directory, "/keyring"), AsBytes(record),
                              {});
  }
  return absl::NotFoundError(absl::StrCat("the keyring has no key version ", number));
}

}  // namespace
}  // namespace kekd

int main(int argc, char** argv) {
  uint32_t version = 0;
  if (argc != 3 || !absl::SimpleAtoi(argv[2], &version)) {
    std::cerr << "usage: break_key CONFIGURATION VERSION\n";
    return 2;
  }
  const absl::Status status = kekd::BreakKey(argv[1], version);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "break_key: " << status << "\n";
  return EXIT_FAILURE;
}
