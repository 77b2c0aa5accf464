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
                                 std::shared_ptr<const KeyringHealth> health,
                                 std::function<void(uint32_t version)> key_failed)
    : keyring_(std::move(keyring)),
      health_(std::move(health)),
      key_failed_(std::move(key_failed)) {}

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
  KEKD_ASSIGN_OR_RETURN(const BegunCall call, BeginEncrypt(plaintext, uid));
  absl::StatusOr<Encrypted> encrypted = FinishEncrypt(call, plaintext, uid, deadline);
  if (!encrypted.ok()) FailCall();
  return encrypted;
}

absl::StatusOr<EnvelopeService::BegunCall> EnvelopeService::BeginEncrypt(
    const SecretBytes& plaintext, absl::string_view uid) const {
  counters_.encrypt.fetch_add(1, std::memory_order_relaxed);
  absl::StatusOr<BegunCall> call = CheckEncrypt(plaintext, uid);
  if (!call.ok()) FailCall();
  return call;
}

absl::StatusOr<EnvelopeService::BegunCall> EnvelopeService::CheckEncrypt(
    const SecretBytes& plaintext, absl::string_view uid) const {
  KEKD_RETURN_IF_ERROR(CheckUid(uid));
  if (plaintext.empty() || plaintext.size() > Ciphertext::kMaxPlaintextBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the plaintext has ", plaintext.size(),
                                                   " bytes, not 1 to ",
                                                   Ciphertext::kMaxPlaintextBytes));
  }
  BegunCall call;
  call.keyring_ = keyring_->Get();
  call.entry_ = call.keyring_->Primary();
  if (call.entry_ == nullptr) return NoPrimary(call.keyring_->keyring());
  KEKD_RETURN_IF_ERROR(MayEncrypt(*health_->Get(), *call.entry_));
  if (call.entry_->key == nullptr) {
    return KeyFailed(*call.entry_, call.entry_->status, "the primary key can't be used", uid);
  }
  return call;
}

absl::StatusOr<EnvelopeService::Encrypted> EnvelopeService::FinishEncrypt(
    const BegunCall& call, const SecretBytes& plaintext, absl::string_view uid,
    absl::Time deadline) const {
  const OpenKeyring::Entry& primary = *call.entry_;
  const uint32_t version = primary.version->number;
  const ByteView associated_data = AsBytes(primary.associated_data);
  const absl::StatusOr<std::string> sealed =
      primary.key->Encrypt(plaintext, associated_data, deadline);
  if (!sealed.ok()) return KeyFailed(primary, sealed.status(), "encryption failed", uid);
  // The API server never decrypts what it was given here: if this ciphertext can't be opened, the
  // data under it is lost at the API server's next start. So it is opened now.
  const absl::StatusOr<SecretBytes> opened =
      primary.key->Decrypt(AsBytes(*sealed), associated_data, deadline);
  if (!opened.ok() || !SecretBytes::ConstantTimeEquals(plaintext, *opened)) {
    absl::Status failed =
        opened.ok() ? absl::InternalError("it decrypts to something else") : opened.status();
    // Nothing is wrong with what the caller sent.
    if (absl::IsInvalidArgument(failed)) failed = absl::InternalError(failed.message());
    return KeyFailed(primary, failed, "the new ciphertext could not be verified", uid);
  }
  Encrypted encrypted;
  encrypted.ciphertext = Ciphertext::Header(primary.version->material.algorithm, version);
  encrypted.ciphertext.append(*sealed);
  encrypted.key_id = primary.version->key_id.text();
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
  KEKD_ASSIGN_OR_RETURN(const BegunCall call, BeginDecrypt(request));
  absl::StatusOr<SecretBytes> plaintext =
      FinishDecrypt(call, request.ciphertext, request.uid, deadline);
  if (!plaintext.ok()) FailCall();
  return plaintext;
}

absl::StatusOr<EnvelopeService::BegunCall> EnvelopeService::BeginDecrypt(
    const DecryptRequest& request) const {
  counters_.decrypt.fetch_add(1, std::memory_order_relaxed);
  absl::StatusOr<BegunCall> call = CheckDecrypt(request);
  if (!call.ok()) FailCall();
  return call;
}

absl::StatusOr<EnvelopeService::BegunCall> EnvelopeService::CheckDecrypt(
    const DecryptRequest& request) const {
  KEKD_RETURN_IF_ERROR(CheckUid(request.uid));
  if (request.key_id.empty() || request.key_id.size() > kMaxKeyIdBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the key_id has ", request.key_id.size(),
                                                   " bytes, not 1 to ", kMaxKeyIdBytes));
  }
  if (request.ciphertext.size() > kMaxCiphertextBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the ciphertext has ", request.ciphertext.size(),
                                                   " bytes, not 1 to ", kMaxCiphertextBytes));
  }
  BegunCall call;
  call.keyring_ = keyring_->Get();
  KEKD_ASSIGN_OR_RETURN(
      const AddressedCiphertext addressed,
      AddressCiphertext(*call.keyring_, request.ciphertext, request.key_id, request.annotations));
  call.entry_ = addressed.entry;
  call.sealed_at_ = request.ciphertext.size() - addressed.ciphertext.sealed.size();
  if (call.entry_->key == nullptr) {
    return KeyFailed(*call.entry_, call.entry_->status, "the key can't be used", request.uid);
  }
  return call;
}

absl::StatusOr<SecretBytes> EnvelopeService::FinishDecrypt(const BegunCall& call,
                                                           absl::string_view ciphertext,
                                                           absl::string_view uid,
                                                           absl::Time deadline) const {
  const OpenKeyring::Entry& entry = *call.entry_;
  const uint32_t version = entry.version->number;
  absl::StatusOr<SecretBytes> plaintext = entry.key->Decrypt(
      AsBytes(ciphertext).subspan(call.sealed_at_), AsBytes(entry.associated_data), deadline);
  if (absl::IsInvalidArgument(plaintext.status())) {
    LogNotAuthentic(version, uid);
    return plaintext;
  }
  if (!plaintext.ok()) return KeyFailed(entry, plaintext.status(), "decryption failed", uid);
  if (LogEnabled(LogLevel::kDebug)) {
    LogDebug("decrypted", {{"version", version}, {"uid", uid}});
  }
  return plaintext;
}

absl::Status EnvelopeService::KeyFailed(const OpenKeyring::Entry& entry, const absl::Status& status,
                                        absl::string_view event, absl::string_view uid) const {
  const uint32_t version = entry.version->number;
  if (key_failed_ != nullptr) key_failed_(version);
  return Hidden(status, event, version, uid);
}

}  // namespace kekd
