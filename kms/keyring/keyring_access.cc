#include "kms/keyring/keyring_access.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clock.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "hsm/pkcs11_key_backend.h"
#include "keystore/device_ring_key_wrapper.h"
#include "keystore/envelope_key_backend.h"
#include "keystore/ring_key_wrapper.h"
#include "keystore/secret_source.h"
#include "keystore/software_key_backend.h"
#include "kms/keyring/folder_owner.h"
#include "kms/keyring/token_access.h"

namespace kekd {
namespace {

// A TPM takes seconds to make a key.
constexpr absl::Duration kMakeTimeout = absl::Seconds(30);

// What a prompt asks the passphrase for.
std::string RingName(const KeyringConfig& keyring) {
  return absl::StrCat("keyring \"", keyring.name, "\"");
}

// "token prod", or "tokens prod, spare".
std::string DescribeTokens(const std::optional<Pkcs11Config>& config) {
  if (!config.has_value()) return "the token";
  std::vector<std::string> names;
  for (const TokenUri& uri : config->uris) {
    names.push_back(uri.token.label.empty() ? absl::StrCat("serial ", uri.token.serial)
                                            : uri.token.label);
  }
  return absl::StrCat(names.size() == 1 ? "token " : "tokens ", absl::StrJoin(names, ", "));
}

// The backend of the configured tokens, with new clients.
absl::StatusOr<std::unique_ptr<KeyBackend>> ConnectTokens(FileSystem& fs,
                                                          const std::string& state_directory,
                                                          const KeyringConfig& keyring) {
  KEKD_ASSIGN_OR_RETURN(std::vector<std::shared_ptr<TokenClient>> tokens,
                        MakeTokenClients(fs, state_directory, keyring));
  return CreatePkcs11KeyBackend(std::make_shared<TokenGroup>(std::move(tokens)),
                                keyring.pkcs11->uris.front().key.label, RandomSource::System());
}

std::unique_ptr<RingKeyWrapper> MakeTokenWrapper(FileSystem& fs, const std::string& state_directory,
                                                 const KeyringConfig& keyring,
                                                 absl::Duration patience) {
  return CreateDeviceRingKeyWrapper(
      {.type = WrapType::kPkcs11,
       .device = DescribeTokens(keyring.pkcs11),
       .connect = [&fs, state_directory,
                   keyring] { return ConnectTokens(fs, state_directory, keyring); },
       .open_timeout = patience,
       .make_timeout = kMakeTimeout});
}

}  // namespace

std::unique_ptr<SecretSource> MakeSecretSource(FileSystem& fs, const UnlockConfig& unlock,
                                               absl::string_view what, AskTwice ask,
                                               std::optional<uid_t> other_owner) {
  using Kind = UnlockConfig::Kind;
  switch (unlock.kind) {
    case Kind::kKeyFile:
      return CreateFileSecretSource(fs, "key file", unlock.value, other_owner);
    case Kind::kPassphraseFile:
      return CreateFileSecretSource(fs, "passphrase file", unlock.value, other_owner);
    case Kind::kCredential:
    case Kind::kPassphraseCredential:
      return CreateCredentialSecretSource(fs, unlock.value, other_owner);
    case Kind::kPassphrasePrompt:
    case Kind::kPkcs11:
      break;
  }
  return CreateTerminalSecretSource(what, ask);
}

std::unique_ptr<RingKeyWrapper> MakeWrapper(FileSystem& fs, const std::string& state_directory,
                                            const KeyringConfig& keyring,
                                            const UnlockConfig& unlock, const NewWrap& new_wrap,
                                            absl::Duration token_patience) {
  using Kind = UnlockConfig::Kind;
  if (unlock.kind == Kind::kPkcs11) {
    return MakeTokenWrapper(fs, state_directory, keyring, token_patience);
  }
  const RandomSource& random = RandomSource::System();
  const std::string& label = new_wrap.label.empty() ? unlock.value : new_wrap.label;
  const std::string what = new_wrap.ask == AskTwice::kYes
                               ? absl::StrCat("a new wrap of ", RingName(keyring))
                               : RingName(keyring);
  std::unique_ptr<SecretSource> source =
      MakeSecretSource(fs, unlock, what, new_wrap.ask, FolderOwner(fs, keyring.directory));
  switch (unlock.kind) {
    case Kind::kKeyFile:
      return CreateKeyFileWrapper(std::move(source), label, random);
    case Kind::kCredential:
      return CreateCredentialWrapper(std::move(source), label, random);
    case Kind::kPassphraseFile:
    case Kind::kPassphraseCredential:
    case Kind::kPassphrasePrompt:
    case Kind::kPkcs11:
      break;
  }
  return CreatePassphraseWrapper(std::move(source), label, new_wrap.kdf, random);
}

std::vector<std::unique_ptr<RingKeyWrapper>> MakeWrappers(FileSystem& fs,
                                                          const std::string& state_directory,
                                                          const KeyringConfig& keyring,
                                                          const NewWrap& new_wrap,
                                                          absl::Duration token_patience) {
  std::vector<std::unique_ptr<RingKeyWrapper>> wrappers;
  wrappers.reserve(keyring.unlock.size());
  for (const UnlockConfig& unlock : keyring.unlock) {
    wrappers.push_back(MakeWrapper(fs, state_directory, keyring, unlock, new_wrap, token_patience));
  }
  return wrappers;
}

FileKeyringStore::Options StoreOptions(FileSystem& fs, const Config& config,
                                       const KeyringConfig& keyring) {
  FileKeyringStore::Options options;
  options.fs = &fs;
  options.random = &RandomSource::System();
  options.directory = keyring.directory;
  options.state_directory = config.state_directory;
  options.wrappers = MakeWrappers(fs, config.state_directory, keyring, {},
                                  keyring.unlock.size() == 1 ? kOnlyTokenPatience : kTokenPatience);
  return options;
}

absl::StatusOr<std::unique_ptr<KeyBackend>> MakeTokenBackend(FileSystem& fs, const Config& config,
                                                             const KeyringConfig& keyring) {
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<KeyBackend> tokens,
                        ConnectTokens(fs, config.state_directory, keyring));
  return CreateEnvelopeKeyBackend(std::move(tokens), WrapType::kPkcs11, RandomSource::System());
}

absl::StatusOr<std::shared_ptr<const BackendSet>> MakeBackends(
    FileSystem& fs, const Config& config, const KeyringConfig& keyring,
    std::shared_ptr<const CurrentRingKey> ring_key) {
  auto backends = std::make_shared<BackendSet>();
  backends->Add(CreateSoftwareKeyBackend(std::move(ring_key), RandomSource::System()));
  if (keyring.pkcs11.has_value()) {
    KEKD_ASSIGN_OR_RETURN(std::unique_ptr<KeyBackend> tokens,
                          MakeTokenBackend(fs, config, keyring));
    backends->Add(std::move(tokens));
  }
  return backends;
}

absl::Status CheckName(const RingIdentity& identity, const KeyringConfig& config) {
  if (identity.name == config.name) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the keyring in ", config.directory, " is named \"", identity.name,
      "\", the configuration calls it \"", config.name, "\"; correct the name or the folder"));
}

absl::StatusOr<std::unique_ptr<KeyringWriter>> OpenForWriting(FileSystem& fs, const Config& config,
                                                              const KeyringConfig& keyring,
                                                              absl::Time deadline,
                                                              absl::Duration open_timeout) {
  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<FileKeyringStore> store,
                        FileKeyringStore::Open(StoreOptions(fs, config, keyring),
                                               FileKeyringStore::Access::kExclusive));
  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<const BackendSet> backends,
                        MakeBackends(fs, config, keyring, store->ring_key()));
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<KeyringWriter> writer,
                        KeyringWriter::Create({.store = std::move(store),
                                               .backends = std::move(backends),
                                               .random = &RandomSource::System(),
                                               .clock = &Clock::System(),
                                               .open_timeout = open_timeout},
                                              deadline));
  KEKD_RETURN_IF_ERROR(CheckName(writer->current()->Get()->keyring().identity(), keyring));
  return writer;
}

}  // namespace kekd
