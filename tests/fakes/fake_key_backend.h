// A key backend in memory that does what a test tells it to.
#ifndef KEKD_TESTS_FAKES_FAKE_KEY_BACKEND_H_
#define KEKD_TESTS_FAKES_FAKE_KEY_BACKEND_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "base/random_source.h"
#include "keystore/key_backend.h"

namespace kekd::testing {

// FakeKeyBackend keeps its keys as a token would (custody device, AES-256-GCM) and passes the
// contract that every backend passes. On top of that a test can put failures into a queue per kind
// of call. Keys lie in a Device, so that a second backend over the same one plays a restart.
// Thread-safe.
class FakeKeyBackend final : public KeyBackend, public KeyAdopter {
 public:
  enum class Call {
    kGenerateKey,
    kAdoptKey,
    kOpenKey,
    kEncrypt,
    kDecrypt,
    kProveEverywhere,
    kDestroyKey,
    kProbe
  };

  class Device;
  static std::shared_ptr<Device> NewDevice();

  explicit FakeKeyBackend(std::shared_ptr<Device> device = NewDevice(), std::string type = "fake",
                          const RandomSource& random = RandomSource::System());

  // The next call of this kind (after those that something is queued for already) runs `action`
  // first and fails with what it returns, unless that is OK. An action may move a clock, wait for
  // another thread, …
  void Queue(Call call, std::function<absl::Status()> action);
  void QueueFailure(Call call, absl::Status status);
  // The next Encrypt returns a ciphertext with a bit flipped.
  void QueueCorruptedCiphertext();
  // The next Decrypt returns a plaintext with a bit flipped, without an error.
  void QueueWrongPlaintext();
  // How often a call was made, failed ones too.
  int CallCount(Call call) const;
  // The deadline of the last call of this kind; InfiniteFuture() if there was none.
  absl::Time LastDeadline(Call call) const;
  // Whether the keys say that they may block. False until it is called: the test's own thread is
  // fit for what a test does in an action.
  void SetMayBlock(bool may_block);
  // Puts a key onto the device that no backend made, for AdoptKey; its reference.
  std::string AddForeignKey(bool extractable = false);
  // How many keys lie on the device.
  int KeyCount() const;

  Description Describe() const override;
  absl::StatusOr<KeyMaterial> GenerateKey(const KeySpec& spec, absl::Time deadline) override;
  absl::StatusOr<std::shared_ptr<const BackendKey>> OpenKey(const KeySpec& spec,
                                                            const KeyMaterial& material,
                                                            absl::Time deadline) override;
  absl::Status DestroyKey(const KeySpec& spec, const KeyMaterial& material,
                          absl::Time deadline) override;
  absl::Status Probe(absl::Time deadline) override;
  KeyAdopter* adopter() override { return this; }
  absl::StatusOr<KeyMaterial> AdoptKey(const KeySpec& spec, absl::string_view reference,
                                       bool allow_extractable, absl::Time deadline) override;
  bool IsSameKey(const KeyMaterial& a, const KeyMaterial& b) const override;

 private:
  class Key;
  struct Script;

  const std::shared_ptr<Device> device_;
  const std::shared_ptr<Script> script_;  // shared with the keys that are open
  const std::string type_;
  const RandomSource& random_;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_FAKES_FAKE_KEY_BACKEND_H_
