// The contract of tests/contract/, for the software backend and for the fake that stands in for
// others: what the fake does is what a real one does.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "keystore/envelope_key_backend.h"
#include "keystore/ring_key.h"
#include "keystore/software_key_backend.h"
#include "tests/contract/key_backend_contract.h"
#include "tests/fakes/fake_key_backend.h"
#include "tests/support/secrets.h"

namespace kekd::testing {
namespace {

class SoftwareWorld final : public BackendWorld {
 public:
  std::unique_ptr<KeyBackend> NewBackend() override {
    const Uuid uuid = *Uuid::Parse("22222222-2222-4222-8222-222222222222");
    return CreateSoftwareKeyBackend(
        *RingKey::Create(SecretFromText(std::string(32, 'r')), uuid, RandomSource::System()),
        RandomSource::System());
  }
};

class FakeWorld final : public BackendWorld {
 public:
  std::unique_ptr<KeyBackend> NewBackend() override {
    return std::make_unique<FakeKeyBackend>(device_);
  }

 private:
  const std::shared_ptr<FakeKeyBackend::Device> device_ = FakeKeyBackend::NewDevice();
};

class EnvelopeWorld final : public BackendWorld {
 public:
  std::unique_ptr<KeyBackend> NewBackend() override {
    return CreateEnvelopeKeyBackend(device_.NewBackend(), WrapType::kPkcs11,
                                    RandomSource::System());
  }

 private:
  FakeWorld device_;
};

INSTANTIATE_TEST_SUITE_P(
    , KeyBackendContract,
    ::testing::Values(
        BackendContractParam{"Software", [] { return std::make_unique<SoftwareWorld>(); }, false},
        BackendContractParam{"Fake", [] { return std::make_unique<FakeWorld>(); }},
        BackendContractParam{"FakeEnvelope", [] { return std::make_unique<EnvelopeWorld>(); }, true,
                             Custody::kEnvelope}),
    ParamName);

}  // namespace
}  // namespace kekd::testing
