#include "hsm/pkcs11_key.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/at_once.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "keystore/aead.h"

namespace kekd {
namespace {

// What a one-time key of 32 bytes is wrapped to (docs/formats.md).
constexpr size_t kWrappedBytes = 40;
constexpr size_t kPaddedWrappedBytes = 48;
constexpr size_t kCbcHmacBytes = 16 + 48 + 32;
constexpr size_t kLeastRsaBytes = 256;
constexpr size_t kMostRsaBytes = 512;
// How often a worker that is replaced under a call is followed.
constexpr int kRounds = 3;

size_t GcmOverhead(KeyMechanism mechanism) { return GcmNonceBytes(mechanism) + kAeadTagBytes; }

// A serial of zeros only is what modules say that have none to tell (NSS's, tpm2-pkcs11).
bool IsSameToken(const TokenSelector& a, const TokenSelector& b) {
  return a.serial.find_first_not_of('0') != std::string::npos && a.serial == b.serial &&
         a.label == b.label && a.manufacturer == b.manufacturer;
}

// What is for people would go to the worker with every call.
KeyReference ForCalls(KeyReference reference) {
  reference.mechanism_reason.clear();
  return reference;
}

}  // namespace

absl::Time BeforeDeadline(absl::Time deadline) {
  const absl::Duration left = deadline - absl::Now();
  return deadline - std::clamp(left / 10, absl::ZeroDuration(), absl::Milliseconds(50));
}

Pkcs11Key::Pkcs11Key(std::shared_ptr<TokenGroup> tokens, KeyReference reference, std::string name)
    : tokens_(std::move(tokens)),
      reference_(ForCalls(std::move(reference))),
      name_(std::move(name)) {}

Pkcs11Key::~Pkcs11Key() {
  if (!single()) tokens_->ForgetOwner(this);
}

absl::Status Pkcs11Key::Find(absl::Time deadline) const {
  return OnTokens(BeforeDeadline(deadline), [this](size_t index, absl::Time until) {
    return TokenGroup::Judge(token(index).Probe(reference_, until));
  });
}

absl::StatusOr<std::string> Pkcs11Key::Encrypt(const SecretBytes& plaintext,
                                               ByteView associated_data,
                                               absl::Time deadline) const {
  const absl::Time earlier = BeforeDeadline(deadline);
  if (single() || !remembers_) return EncryptOn(0, plaintext, associated_data, earlier);
  absl::StatusOr<std::string> sealed;
  KEKD_RETURN_IF_ERROR(OnTokens(earlier, [&](size_t index, absl::Time until) {
    sealed = EncryptOn(index, plaintext, associated_data, until);
    return TokenGroup::Judge(sealed.status());
  }));
  return sealed;
}

absl::StatusOr<std::string> Pkcs11Key::EncryptOn(size_t index, const SecretBytes& plaintext,
                                                 ByteView associated_data,
                                                 absl::Time deadline) const {
  const Place& place = places_[index];
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t worker = token(index).starts();
    KEKD_ASSIGN_OR_RETURN(std::string sealed,
                          EncryptOnce(index, plaintext, associated_data, deadline));
    if (token(index).starts() == worker) {
      if (worker == place.proven || !remembers_) return sealed;
      KEKD_RETURN_IF_ERROR(Prove(index, deadline));
      // Proven after it has encrypted: nothing can be looked up between the two.
      if (worker == place.proven) return sealed;
    }
  }
  return absl::UnavailableError("the HSM worker was replaced again and again under an encrypt");
}

absl::StatusOr<SecretBytes> Pkcs11Key::Decrypt(ByteView sealed, ByteView associated_data,
                                               absl::Time deadline) const {
  const bool binds = BindsAssociatedData(reference_.mechanism);
  const size_t plaintext_size =
      binds ? sealed.size() - std::min(sealed.size(), GcmOverhead(reference_.mechanism))
            : kOneTimeKeyBytes;
  if (!Fits(sealed.size(), plaintext_size)) {
    return absl::InvalidArgumentError("the ciphertext is of no size that one can have");
  }
  absl::StatusOr<SecretBytes> plaintext;
  // Of tokens that had nothing to prove themselves by: which, and by which worker.
  std::vector<std::pair<size_t, uint64_t>> refusals;
  KEKD_RETURN_IF_ERROR(
      OnTokens(BeforeDeadline(deadline), [&](size_t index, absl::Time until) -> TokenGroup::Answer {
        for (int round = 0; round < kRounds; ++round) {
          const uint64_t worker = token(index).starts();
          plaintext = DecryptOnce(index, sealed, associated_data, until);
          if (plaintext.ok() && !remembers_) Remember(index, sealed, associated_data, worker);
          if (single() || !absl::IsInvalidArgument(plaintext.status())) {
            return TokenGroup::Judge(plaintext.status());
          }
          if (!remembers_) {
            refusals.emplace_back(index, worker);
            return {plaintext.status(), TokenGroup::Worth::kNotHere};
          }
          if (worker != places_[index].proven) {
            const absl::Status proven = Prove(index, until);
            if (!proven.ok()) return TokenGroup::Judge(proven);
          }
          // A refusal counts if the worker that gave it has the key.
          if (worker == places_[index].proven && token(index).starts() == worker) {
            return TokenGroup::Judge(plaintext.status());
          }
        }
        return TokenGroup::Judge(
            absl::UnavailableError("the HSM worker was replaced again and again under a decrypt"));
      }));
  for (const auto& [index, worker] : refusals) {
    Exclude(index, worker, TokenGroup::KeyStanding::kAnother, AnotherKey());
  }
  return plaintext;
}

absl::Status Pkcs11Key::ProveEverywhere(absl::Time deadline) const {
  if (single()) return absl::OkStatus();
  if (!remembers_) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, " has not decrypted anything yet by which it could be proved"));
  }
  const absl::Time earlier = BeforeDeadline(deadline);
  std::vector<absl::Status> proofs(tokens_->size());
  ForEachAtOnce(proofs.size(), proofs.size(), [&](size_t index) {
    proofs[index] = tokens_->RecentFailure(index);
    if (!proofs[index].ok()) return;
    const uint64_t worker = token(index).starts();
    const absl::Time begun = absl::Now();
    proofs[index] = Prove(index, earlier);
    const TokenGroup::Answer answer = TokenGroup::Judge(proofs[index]);
    NoteAbsence(index, worker, answer);
    tokens_->Note(index, reference_, answer, absl::Now() - begun);
  });
  // Two URIs of one token are no second place.
  for (size_t i = 0; i < proofs.size(); ++i) {
    for (size_t j = 0; j < i && proofs[i].ok(); ++j) {
      if (!proofs[j].ok() || !IsSameToken(token(i).Found(), token(j).Found())) continue;
      proofs[i] =
          absl::FailedPreconditionError(absl::StrCat("it is the same token as ", tokens_->name(j)));
    }
  }
  std::string missing;
  for (size_t i = 0; i < proofs.size(); ++i) {
    if (proofs[i].ok()) continue;
    absl::StrAppend(&missing, missing.empty() ? "" : "; ", "token ", tokens_->name(i), ": ",
                    proofs[i].message());
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      name_, " is not proved on every token (", missing,
      "); copy the key there with the tool of the token's maker, mend the token, or take it out of "
      "the configuration"));
}

bool Pkcs11Key::IsExcluded(size_t index) const {
  const uint64_t excluded = places_[index].excluded;
  return excluded != 0 && excluded == token(index).starts();
}

absl::Status Pkcs11Key::OnTokens(
    absl::Time deadline, absl::FunctionRef<TokenGroup::Answer(size_t, absl::Time)> ask) const {
  return tokens_->Run(
      reference_, deadline, [this](size_t index) { return IsExcluded(index); },
      [&](size_t index, absl::Time until) {
        const uint64_t worker = token(index).starts();
        TokenGroup::Answer answer = ask(index, until);
        NoteAbsence(index, worker, answer);
        return answer;
      });
}

void Pkcs11Key::NoteAbsence(size_t index, uint64_t worker, const TokenGroup::Answer& answer) const {
  if (single() || answer.worth != TokenGroup::Worth::kNotHere || IsExcluded(index)) return;
  // A refusal with nothing to prove it by excludes nobody yet.
  if (absl::IsInvalidArgument(answer.status)) return;
  Exclude(index, std::max<uint64_t>(worker, 1),
          absl::IsNotFound(answer.status) ? TokenGroup::KeyStanding::kMissing
                                          : TokenGroup::KeyStanding::kUnfit,
          answer.status.message());
}

absl::StatusOr<std::string> Pkcs11Key::EncryptOnce(size_t index, const SecretBytes& plaintext,
                                                   ByteView associated_data,
                                                   absl::Time deadline) const {
  KEKD_ASSIGN_OR_RETURN(std::string sealed,
                        token(index).Encrypt(reference_, plaintext, associated_data, deadline));
  if (!Fits(sealed.size(), plaintext.size())) {
    return absl::InternalError(absl::StrCat("the HSM worker made ", sealed.size(),
                                            " bytes of a plaintext of ", plaintext.size()));
  }
  // Each worker looks at its own token's; a clone may make those of another.
  if (!single() && TokenMakesNonce(reference_.mechanism)) {
    KEKD_RETURN_IF_ERROR(nonces_.Note(sealed, reference_.mechanism));
  }
  return sealed;
}

absl::StatusOr<SecretBytes> Pkcs11Key::DecryptOnce(size_t index, ByteView sealed,
                                                   ByteView associated_data,
                                                   absl::Time deadline) const {
  KEKD_ASSIGN_OR_RETURN(SecretBytes plaintext,
                        token(index).Decrypt(reference_, sealed, associated_data, deadline));
  if (!Fits(sealed.size(), plaintext.size())) {
    return absl::InternalError(absl::StrCat("the HSM worker made ", plaintext.size(),
                                            " bytes of a ciphertext of ", sealed.size()));
  }
  return plaintext;
}

void Pkcs11Key::Remember(size_t index, ByteView sealed, ByteView associated_data,
                         uint64_t worker) const {
  MutexLock lock(&mu_);
  if (remembers_) return;
  sealed_ = std::string(AsText(sealed));
  associated_data_ = std::string(AsText(associated_data));
  if (token(index).starts() == worker) places_[index].proven = worker;
  remembers_ = true;
}

absl::Status Pkcs11Key::Prove(size_t index, absl::Time deadline) const {
  std::string sealed, associated_data;
  {
    MutexLock lock(&mu_);
    sealed = sealed_;
    associated_data = associated_data_;
  }
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t worker = token(index).starts();
    const absl::Status opened =
        DecryptOnce(index, AsBytes(sealed), AsBytes(associated_data), deadline).status();
    if (absl::IsInvalidArgument(opened)) {
      const std::string why = AnotherKey();
      Exclude(index, worker, TokenGroup::KeyStanding::kAnother, why);
      return absl::FailedPreconditionError(why);
    }
    KEKD_RETURN_IF_ERROR(opened);
    if (token(index).starts() != worker) continue;  // whose answer it was is not known
    places_[index].proven = worker;
    places_[index].excluded = 0;
    if (!single()) tokens_->SetKeyStanding(index, this, TokenGroup::KeyStanding::kGood, "");
    return absl::OkStatus();
  }
  return absl::UnavailableError("the HSM worker was replaced again and again under a decrypt");
}

void Pkcs11Key::Exclude(size_t index, uint64_t worker, TokenGroup::KeyStanding standing,
                        absl::string_view why) const {
  if (single()) return;
  Place& place = places_[index];
  // What was proven is so no more.
  if (standing == TokenGroup::KeyStanding::kAnother) place.proven = 0;
  place.excluded = worker;
  tokens_->SetKeyStanding(index, this, standing, absl::StrCat(name_, ": ", why));
}

std::string Pkcs11Key::AnotherKey() const {
  return absl::StrCat("the token has another key of this name than ",
                      single() ? "before" : "the one that is meant", " (label \"",
                      reference_.key.label, "\", id ", HexEncode(AsBytes(reference_.key.id)), ")");
}

bool Pkcs11Key::Fits(size_t sealed, size_t plaintext) const {
  if (BindsAssociatedData(reference_.mechanism)) {
    return sealed == plaintext + GcmOverhead(reference_.mechanism);
  }
  if (plaintext != kOneTimeKeyBytes) return false;
  switch (reference_.mechanism) {
    case KeyMechanism::kAesKwPad:
      return sealed == kWrappedBytes || sealed == kPaddedWrappedBytes;
    case KeyMechanism::kAesCbcHmac:
      return sealed == kCbcHmacBytes;
    case KeyMechanism::kRsaOaepSha256:
    case KeyMechanism::kRsaOaepSha1:
      return sealed >= kLeastRsaBytes && sealed <= kMostRsaBytes;
    default:
      return sealed == kWrappedBytes;
  }
}

}  // namespace kekd
