#include "cluster/object_opener.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/status_macros.h"
#include "keystore/aead.h"
#include "keystore/digest.h"

namespace kekd {
namespace {

constexpr size_t kSealedBytes = 12 + kAeadTagBytes;  // nonce and tag, of an empty object
constexpr size_t kInfoBytes = 32;
constexpr size_t kMinSeedBytes = 32;

// DataLoss for what has not the form it must have, to be told from what does not authenticate.
absl::Status Malformed(absl::string_view what, size_t bytes) {
  return absl::DataLossError(absl::StrCat(what, " has ", bytes, " bytes, which is no valid size"));
}

// An AES key that encrypts objects itself: nonce || ciphertext || tag.
absl::StatusOr<SecretBytes> OpenUnderKey(const SecretBytes& key, ByteView encrypted_data,
                                         ByteView etcd_key) {
  if (key.size() != 16 && key.size() != 24 && key.size() != 32) {
    return Malformed("the DEK", key.size());
  }
  if (encrypted_data.size() < kSealedBytes) {
    return Malformed("the encrypted data", encrypted_data.size());
  }
  return OpenAesGcm(key, encrypted_data, etcd_key);
}

// A seed, of which each object has a key of its own: info || nonce || ciphertext || tag.
absl::StatusOr<SecretBytes> OpenUnderSeed(const SecretBytes& seed, ByteView encrypted_data,
                                          ByteView etcd_key) {
  if (seed.size() < kMinSeedBytes) return Malformed("the DEK seed", seed.size());
  if (encrypted_data.size() < kInfoBytes + kSealedBytes) {
    return Malformed("the encrypted data", encrypted_data.size());
  }
  KEKD_ASSIGN_OR_RETURN(const SecretBytes key,
                        HkdfExpandSha256(seed, encrypted_data.first(kInfoBytes)));
  return OpenAesGcm(key, encrypted_data.subspan(kInfoBytes), etcd_key);
}

// Whether an answer for a DEK source is the same whenever it is asked for.
bool IsLasting(const absl::Status& status) {
  return status.ok() || absl::IsInvalidArgument(status) || absl::IsNotFound(status) ||
         absl::IsUnimplemented(status);
}

ObjectOpener::Result Failed(OpenOutcome outcome, Damage damage, absl::Status reason) {
  ObjectOpener::Result result;
  result.outcome = outcome;
  result.damage = damage;
  result.reason = std::move(reason);
  return result;
}

ObjectOpener::Result SourceFailed(const absl::Status& status) {
  if (absl::IsInvalidArgument(status)) {
    return Failed(OpenOutcome::kDamaged, Damage::kDekSource, status);
  }
  return Failed(absl::IsNotFound(status) ? OpenOutcome::kUnknownKey : OpenOutcome::kUnavailable,
                Damage::kNone, status);
}

}  // namespace

absl::string_view ToString(OpenOutcome outcome) {
  switch (outcome) {
    case OpenOutcome::kNotTried:
      return "not tried";
    case OpenOutcome::kOpened:
      return "opened";
    case OpenOutcome::kDamaged:
      return "damaged";
    case OpenOutcome::kUnknownKey:
      return "unknown key";
    case OpenOutcome::kUnavailable:
      return "key unavailable";
  }
  return "?";
}

absl::string_view ToString(Damage damage) {
  switch (damage) {
    case Damage::kNone:
      return "none";
    case Damage::kObject:
      return "the object was altered, or moved here from another key";
    case Damage::kDekSource:
      return "the encrypted DEK source or its annotations were altered, or the version in its "
             "key_id";
    case Damage::kStructure:
      return "the value has not the form it must have";
  }
  return "?";
}

ObjectOpener::ObjectOpener(const DekSourceOpener& sources, size_t max_cached_sources)
    : sources_(sources), max_cached_sources_(std::max<size_t>(max_cached_sources, 1)) {}

ObjectOpener::Result ObjectOpener::Open(absl::string_view key, const StorageValue& value,
                                        absl::Time deadline) {
  if (value.kind != StorageKind::kKmsV2) return {};
  if (!value.decodable()) {
    return Failed(OpenOutcome::kDamaged, Damage::kStructure,
                  absl::InvalidArgumentError(value.defect));
  }
  const EncryptedObject& object = value.object;
  const absl::StatusOr<SecretBytes>& source = OpenSource(object, deadline);
  if (!source.ok()) return SourceFailed(source.status());
  const auto open =
      object.dek_source_type == DekSourceType::kAesGcmKey ? OpenUnderKey : OpenUnderSeed;
  absl::StatusOr<SecretBytes> plaintext =
      open(*source, AsBytes(object.encrypted_data), AsBytes(key));
  if (absl::IsInvalidArgument(plaintext.status())) {
    return Failed(OpenOutcome::kDamaged, Damage::kObject, plaintext.status());
  }
  if (absl::IsDataLoss(plaintext.status())) {
    return Failed(OpenOutcome::kDamaged, Damage::kStructure, plaintext.status());
  }
  if (!plaintext.ok()) {
    return Failed(OpenOutcome::kUnavailable, Damage::kNone, plaintext.status());
  }
  Result result;
  result.outcome = OpenOutcome::kOpened;
  result.plaintext = *std::move(plaintext);
  return result;
}

const absl::StatusOr<SecretBytes>& ObjectOpener::OpenSource(const EncryptedObject& object,
                                                            absl::Time deadline) {
  name_.clear();
  absl::StrAppend(&name_, object.annotations.size(), ".", object.key_id.size(), ".", object.key_id,
                  object.encrypted_dek_source);
  const auto found = by_name_.find(name_);
  if (found != by_name_.end()) {
    cache_.splice(cache_.begin(), cache_, found->second);
    return cache_.front().source;
  }
  absl::StatusOr<SecretBytes> source = AskForSource(object, deadline);
  if (!IsLasting(source.status())) {
    not_cached_ = std::move(source);
    return not_cached_;
  }
  if (cache_.size() >= max_cached_sources_) {
    by_name_.erase(cache_.back().name);
    cache_.pop_back();
  }
  cache_.push_front({name_, std::move(source)});
  by_name_.emplace(cache_.front().name, cache_.begin());
  return cache_.front().source;
}

absl::StatusOr<SecretBytes> ObjectOpener::AskForSource(const EncryptedObject& object,
                                                       absl::Time deadline) {
  const auto before = failures_.find(object.key_id);
  if (before != failures_.end() && before->second.in_a_row >= kMaxFailuresInARow) {
    return before->second.last;
  }
  absl::StatusOr<SecretBytes> source = sources_.Open(object.encrypted_dek_source, object.key_id,
                                                     object.annotations.size(), deadline);
  if (IsLasting(source.status())) {
    if (before != failures_.end()) failures_.erase(before);
  } else if (before != failures_.end() || failures_.size() < max_cached_sources_) {
    Failures& failures = failures_[object.key_id];
    ++failures.in_a_row;
    failures.last = source.status();
  }
  return source;
}

}  // namespace kekd
