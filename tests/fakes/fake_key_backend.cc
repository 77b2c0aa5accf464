#include "tests/fakes/fake_key_backend.h"

#include <atomic>
#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace kekd::testing {

using Call = FakeKeyBackend::Call;
namespace {

absl::StatusOr<std::shared_ptr<const Aead>> NewAead(const RandomSource& random) {
  SecretBytes raw(kAes256KeyBytes);
  KEKD_RETURN_IF_ERROR(random.Fill(raw.RevealMutable(SecretAccessToken())));
  return CreateAead(Algorithm::kAes256Gcm, std::move(raw), random);
}

// An adopted key's reference says which version it was adopted for, as a token's does.
constexpr absl::string_view kForVersion = "?for=";

std::string NameOf(absl::string_view reference) {
  return std::string(reference.substr(0, reference.find(kForVersion)));
}

KeyMaterial MaterialOf(std::string reference) {
  KeyMaterial material;
  material.custody = Custody::kDevice;
  material.algorithm = Algorithm::kAes256Gcm;
  material.key_reference = std::move(reference);
  return material;
}

}  // namespace

class FakeKeyBackend::Device {
 public:
  struct StoredKey {
    std::optional<KeySpec> spec;  // none: made elsewhere
    std::shared_ptr<const Aead> aead;
    bool extractable = false;
  };

  std::string Add(StoredKey key) {
    MutexLock lock(&mu_);
    std::string reference = absl::StrCat("fake:key-", ++made_);
    keys_.emplace(reference, std::move(key));
    return reference;
  }
  std::optional<StoredKey> Find(const std::string& reference) const {
    MutexLock lock(&mu_);
    const auto found = keys_.find(reference);
    if (found == keys_.end()) return std::nullopt;
    return found->second;
  }
  void Remove(const std::string& reference) {
    MutexLock lock(&mu_);
    keys_.erase(reference);
  }
  int Count() const {
    MutexLock lock(&mu_);
    return static_cast<int>(keys_.size());
  }

 private:
  mutable Mutex mu_;
  std::map<std::string, StoredKey> keys_ ABSL_GUARDED_BY(mu_);
  int made_ ABSL_GUARDED_BY(mu_) = 0;
};

struct FakeKeyBackend::Script {
  enum class Effect { kAction, kCorrupt };
  struct Step {
    Effect effect;
    std::function<absl::Status()> action;
  };

  // Counts the call and does what is queued for it. True: what the call gives is to be corrupted.
  absl::StatusOr<bool> Begin(Call call, absl::Time deadline) {
    Step step = {Effect::kAction, nullptr};
    {
      MutexLock lock(&mu);
      ++counts[call];
      deadlines[call] = deadline;
      std::deque<Step>& steps = queues[call];
      if (!steps.empty()) {
        step = std::move(steps.front());
        steps.pop_front();
      }
    }
    if (step.action) KEKD_RETURN_IF_ERROR(step.action());
    // The one deadline that a backend in memory can miss without a clock.
    if (deadline == absl::InfinitePast()) {
      return absl::DeadlineExceededError("the fake backend was called after its deadline");
    }
    return step.effect == Effect::kCorrupt;
  }
  void Queue(Call call, Step step) {
    MutexLock lock(&mu);
    queues[call].push_back(std::move(step));
  }

  std::atomic<bool> may_block{false};
  mutable Mutex mu;
  std::map<Call, std::deque<Step>> queues ABSL_GUARDED_BY(mu);
  std::map<Call, int> counts ABSL_GUARDED_BY(mu);
  std::map<Call, absl::Time> deadlines ABSL_GUARDED_BY(mu);
};

class FakeKeyBackend::Key final : public BackendKey {
 public:
  Key(std::shared_ptr<Device> device, std::shared_ptr<Script> script, std::string reference)
      : device_(std::move(device)), script_(std::move(script)), reference_(std::move(reference)) {}

  Algorithm algorithm() const override { return Algorithm::kAes256Gcm; }
  bool MayBlock() const override { return script_->may_block; }

  absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext, ByteView associated_data,
                                      absl::Time deadline) const override {
    KEKD_ASSIGN_OR_RETURN(const bool corrupt, script_->Begin(Call::kEncrypt, deadline));
    KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Aead> aead, Find());
    KEKD_ASSIGN_OR_RETURN(std::string sealed, aead->Encrypt(plaintext, associated_data));
    if (corrupt) sealed.back() = static_cast<char>(sealed.back() ^ 1);
    return sealed;
  }

  absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data,
                                      absl::Time deadline) const override {
    KEKD_ASSIGN_OR_RETURN(const bool corrupt, script_->Begin(Call::kDecrypt, deadline));
    KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Aead> aead, Find());
    KEKD_ASSIGN_OR_RETURN(SecretBytes plaintext, aead->Decrypt(sealed, associated_data));
    if (corrupt && !plaintext.empty()) plaintext.RevealMutable(SecretAccessToken())[0] ^= 1;
    return plaintext;
  }

  absl::Status ProveEverywhere(absl::Time deadline) const override {
    return script_->Begin(Call::kProveEverywhere, deadline).status();
  }

 private:
  absl::StatusOr<std::shared_ptr<const Aead>> Find() const {
    const std::optional<Device::StoredKey> key = device_->Find(reference_);
    if (!key) return absl::NotFoundError(absl::StrCat(reference_, " is gone"));
    return key->aead;
  }

  const std::shared_ptr<Device> device_;
  const std::shared_ptr<Script> script_;
  const std::string reference_;
};

std::shared_ptr<FakeKeyBackend::Device> FakeKeyBackend::NewDevice() {
  return std::make_shared<Device>();
}

FakeKeyBackend::FakeKeyBackend(std::shared_ptr<Device> device, std::string type,
                               const RandomSource& random)
    : device_(std::move(device)),
      script_(std::make_shared<Script>()),
      type_(std::move(type)),
      random_(random) {}

void FakeKeyBackend::Queue(Call call, std::function<absl::Status()> action) {
  script_->Queue(call, {Script::Effect::kAction, std::move(action)});
}

void FakeKeyBackend::QueueFailure(Call call, absl::Status status) {
  Queue(call, [status = std::move(status)] { return status; });
}

void FakeKeyBackend::QueueCorruptedCiphertext() {
  script_->Queue(Call::kEncrypt, {Script::Effect::kCorrupt, nullptr});
}

void FakeKeyBackend::QueueWrongPlaintext() {
  script_->Queue(Call::kDecrypt, {Script::Effect::kCorrupt, nullptr});
}

int FakeKeyBackend::CallCount(Call call) const {
  MutexLock lock(&script_->mu);
  const auto found = script_->counts.find(call);
  return found == script_->counts.end() ? 0 : found->second;
}

absl::Time FakeKeyBackend::LastDeadline(Call call) const {
  MutexLock lock(&script_->mu);
  const auto found = script_->deadlines.find(call);
  return found == script_->deadlines.end() ? absl::InfiniteFuture() : found->second;
}

void FakeKeyBackend::SetMayBlock(bool may_block) { script_->may_block = may_block; }

int FakeKeyBackend::KeyCount() const { return device_->Count(); }

std::string FakeKeyBackend::AddForeignKey(bool extractable) {
  return device_->Add(
      {.spec = std::nullopt, .aead = *NewAead(random_), .extractable = extractable});
}

KeyBackend::Description FakeKeyBackend::Describe() const {
  return {type_, "keys in the memory of a test"};
}

absl::StatusOr<KeyMaterial> FakeKeyBackend::GenerateKey(const KeySpec& spec, absl::Time deadline) {
  KEKD_RETURN_IF_ERROR(script_->Begin(Call::kGenerateKey, deadline).status());
  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<const Aead> aead, NewAead(random_));
  return MaterialOf(device_->Add({.spec = spec, .aead = std::move(aead)}));
}

absl::StatusOr<KeyMaterial> FakeKeyBackend::AdoptKey(const KeySpec& spec,
                                                     absl::string_view reference,
                                                     bool allow_extractable, absl::Time deadline) {
  KEKD_RETURN_IF_ERROR(script_->Begin(Call::kAdoptKey, deadline).status());
  const std::optional<Device::StoredKey> key = device_->Find(std::string(reference));
  if (!key) return absl::NotFoundError(absl::StrCat(reference, " is not there"));
  if (key->extractable && !allow_extractable) {
    return absl::FailedPreconditionError(absl::StrCat(reference, " could leave the device"));
  }
  return MaterialOf(absl::StrCat(reference, kForVersion, spec.version));
}

bool FakeKeyBackend::IsSameKey(const KeyMaterial& a, const KeyMaterial& b) const {
  return NameOf(a.key_reference) == NameOf(b.key_reference);
}

absl::StatusOr<std::shared_ptr<const BackendKey>> FakeKeyBackend::OpenKey(
    const KeySpec& spec, const KeyMaterial& material, absl::Time deadline) {
  KEKD_RETURN_IF_ERROR(script_->Begin(Call::kOpenKey, deadline).status());
  const std::string name = NameOf(material.key_reference);
  const std::optional<Device::StoredKey> key = device_->Find(name);
  if (!key) return absl::NotFoundError(absl::StrCat(material.key_reference, " is not there"));
  if (key->spec && (!(key->spec->ring == spec.ring) || key->spec->version != spec.version)) {
    return absl::DataLossError(
        absl::StrCat(material.key_reference, " was made for another key version"));
  }
  if (name != material.key_reference &&
      material.key_reference != absl::StrCat(name, kForVersion, spec.version)) {
    return absl::DataLossError(
        absl::StrCat(material.key_reference, " was adopted for another key version"));
  }
  return std::make_shared<const Key>(device_, script_, name);
}

absl::Status FakeKeyBackend::DestroyKey(const KeySpec& /*spec*/, const KeyMaterial& material,
                                        absl::Time deadline) {
  KEKD_RETURN_IF_ERROR(script_->Begin(Call::kDestroyKey, deadline).status());
  device_->Remove(NameOf(material.key_reference));
  return absl::OkStatus();
}

absl::Status FakeKeyBackend::Probe(absl::Time deadline) {
  return script_->Begin(Call::kProbe, deadline).status();
}

}  // namespace kekd::testing
