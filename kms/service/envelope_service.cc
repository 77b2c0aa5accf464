#include "kms/service/envelope_service.h"

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/log_throttle.h"
#include "base/status_macros.h"
#include "keystore/addressed_ciphertext.h"
#include "keystore/ciphertext.h"

namespace kekd {
namespace {

// A failure of ours as the API server may see it: the reason stays in our log.
absl::Status Hidden(const absl::Status& status, absl::string_view event, uint32_t version,
                    absl::string_view uid) {
  static LogThrottle throttle;
  if (const std::optional<uint64_t> not_logged = throttle.Admit()) {
    LogError(event, {{"version", version},
                     {"uid", uid},
                     {"error", status.ToString()},
                     {"not_logged", *not_logged}});
  }
  const absl::StatusCode code = absl::IsDeadlineExceeded(status) ||
                                        absl::IsResourceExhausted(status) ||
                                        absl::IsUnavailable(status)
                                    ? status.code()
                                    : absl::StatusCode::kInternal;
  return absl::Status(
      code, absl::StrCat(event, " (key version ", version, "); kekd's log has the reason"));
}

// Data in etcd was altered or damaged, or somebody tries: worth a line whatever the level.
void LogNotAuthentic(uint32_t version, absl::string_view uid) {
  static LogThrottle throttle;
  if (const std::optional<uint64_t> not_logged = throttle.Admit()) {
    LogWarning("a ciphertext does not authenticate",
               {{"version", version}, {"uid", uid}, {"not_logged", *not_logged}});
  }
}

// Whether the report forbids to encrypt under this primary.
absl::Status MayEncrypt(const HealthReport& health, const OpenKeyring::Entry& primary) {
  const bool concerned =
      health.primary_version == 0 || health.primary_version == primary.version->number;
  return concerned ? health.may_encrypt : absl::OkStatus();
}

absl::Status NoPrimary(const Keyring& keyring) {
  return absl::FailedPreconditionError(
      absl::StrCat("keyring \"", keyring.identity().name,
                   "\" has no active key version: run 'kekctl key promote'"));
}

absl::Status CheckUid(absl::string_view uid) {
  if (uid.size() <= EnvelopeService::kMaxUidBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the uid has ", uid.size(), " bytes, more than ",
                                                 EnvelopeService::kMaxUidBytes));
}

}  // namespace

EnvelopeService::EnvelopeService(std::shared_ptr<const CurrentKeyring> keyring,
                                 std::shared_ptr<const KeyringHealth> health)
    : keyring_(std::move(keyring)), health_(std::move(health)) {}

absl::StatusOr<EnvelopeService::StatusAnswer> EnvelopeService::Status() const {
  counters_.status.fetch_add(1, std::memory_order_relaxed);
  absl::StatusOr<StatusAnswer> answer = CurrentStatus();
  if (!answer.ok()) counters_.failed.fetch_add(1, std::memory_order_relaxed);
  return answer;
}

absl::StatusOr<EnvelopeService::StatusAnswer> EnvelopeService::CurrentStatus() const {
  const std::shared_ptr<const OpenKeyring> keyring = keyring_->Get();
  const OpenKeyring::Entry* primary = keyring->Primary();
  if (primary == nullptr) return NoPrimary(keyring->keyring());
  const std::shared_ptr<const HealthReport> health = health_->Get();
  KEKD_RETURN_IF_ERROR(MayEncrypt(*health, *primary));
  StatusAnswer answer{health->healthz, primary->version->key_id.text()};
  if (std::chrono::steady_clock::now() > health->valid_until) {
    answer.healthz = "degraded: the check of the keys hangs";
  }
  return answer;
}

absl::StatusOr<EnvelopeService::Encrypted> EnvelopeService::Encrypt(const SecretBytes& plaintext,
                                                                    absl::string_view uid,
                                                                    absl::Time deadline) const {
  counters_.encrypt.fetch_add(1, std::memory_order_relaxed);
  absl::StatusOr<Encrypted> encrypted = EncryptUncounted(plaintext, uid, deadline);
  if (!encrypted.ok()) counters_.failed.fetch_add(1, std::memory_order_relaxed);
  return encrypted;
}

absl::StatusOr<EnvelopeService::Encrypted> EnvelopeService::EncryptUncounted(
    const SecretBytes& plaintext, absl::string_view uid, absl::Time deadline) const {
  KEKD_RETURN_IF_ERROR(CheckUid(uid));
  if (plaintext.empty() || plaintext.size() > Ciphertext::kMaxPlaintextBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the plaintext has ", plaintext.size(),
                                                   " bytes, not 1 to ",
                                                   Ciphertext::kMaxPlaintextBytes));
  }
  const std::shared_ptr<const OpenKeyring> keyring = keyring_->Get();
  const OpenKeyring::Entry* primary = keyring->Primary();
  if (primary == nullptr) return NoPrimary(keyring->keyring());
  KEKD_RETURN_IF_ERROR(MayEncrypt(*health_->Get(), *primary));
  const uint32_t version = primary->version->number;
  if (primary->key == nullptr) {
    return Hidden(primary->status, "the primary key can't be used", version, uid);
  }

  const ByteView associated_data = AsBytes(primary->associated_data);
  const absl::StatusOr<std::string> sealed =
      primary->key->Encrypt(plaintext, associated_data, deadline);
  if (!sealed.ok()) return Hidden(sealed.status(), "encryption failed", version, uid);
  // The API server never decrypts what it was given here: if this ciphertext can't be opened, the
  // data under it is lost at the API server's next start. So it is opened now.
  const absl::StatusOr<SecretBytes> opened =
      primary->key->Decrypt(AsBytes(*sealed), associated_data, deadline);
  if (!opened.ok() || !SecretBytes::ConstantTimeEquals(plaintext, *opened)) {
    return Hidden(opened.ok() ? absl::InternalError("it decrypts to something else")
                              : absl::InternalError(opened.status().message()),
                  "the new ciphertext could not be verified", version, uid);
  }
  Encrypted encrypted;
  encrypted.ciphertext = Ciphertext::Header(primary->version->material.algorithm, version);
  encrypted.ciphertext.append(*sealed);
  encrypted.key_id = primary->version->key_id.text();
  if (encrypted.ciphertext.size() > kMaxCiphertextBytes) {
    return Hidden(
        absl::InternalError(absl::StrCat("it has ", encrypted.ciphertext.size(), " bytes")),
        "the ciphertext is larger than the API server takes", version, uid);
  }
  if (LogEnabled(LogLevel::kDebug)) {
    LogDebug("encrypted", {{"version", version}, {"uid", uid}});
  }
  return encrypted;
}

absl::StatusOr<SecretBytes> EnvelopeService::Decrypt(const DecryptRequest& request,
                                                     absl::Time deadline) const {
  counters_.decrypt.fetch_add(1, std::memory_order_relaxed);
  absl::StatusOr<SecretBytes> plaintext = DecryptUncounted(request, deadline);
  if (!plaintext.ok()) counters_.failed.fetch_add(1, std::memory_order_relaxed);
  return plaintext;
}

absl::StatusOr<SecretBytes> EnvelopeService::DecryptUncounted(const DecryptRequest& request,
                                                              absl::Time deadline) const {
  KEKD_RETURN_IF_ERROR(CheckUid(request.uid));
  if (request.key_id.empty() || request.key_id.size() > kMaxKeyIdBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the key_id has ", request.key_id.size(),
                                                   " bytes, not 1 to ", kMaxKeyIdBytes));
  }
  if (request.ciphertext.size() > kMaxCiphertextBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the ciphertext has ", request.ciphertext.size(),
                                                   " bytes, not 1 to ", kMaxCiphertextBytes));
  }
  const std::shared_ptr<const OpenKeyring> keyring = keyring_->Get();
  KEKD_ASSIGN_OR_RETURN(
      const AddressedCiphertext addressed,
      AddressCiphertext(*keyring, request.ciphertext, request.key_id, request.annotations));
  const OpenKeyring::Entry* const entry = addressed.entry;
  const uint32_t version = entry->version->number;
  if (entry->key == nullptr) {
    return Hidden(entry->status, "the key can't be used", version, request.uid);
  }
  absl::StatusOr<SecretBytes> plaintext =
      entry->key->Decrypt(addressed.ciphertext.sealed, AsBytes(entry->associated_data), deadline);
  if (absl::IsInvalidArgument(plaintext.status())) {
    LogNotAuthentic(version, request.uid);
    return plaintext;
  }
  if (!plaintext.ok()) {
    return Hidden(plaintext.status(), "decryption failed", version, request.uid);
  }
  if (LogEnabled(LogLevel::kDebug)) {
    LogDebug("decrypted", {{"version", version}, {"uid", request.uid}});
  }
  return plaintext;
}

}  // namespace kekd
