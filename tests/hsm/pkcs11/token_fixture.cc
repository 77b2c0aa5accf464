#include "tests/hsm/pkcs11/token_fixture.h"

#include "base/file_system.h"
#include "base/random_source.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {

void TokenFixture::Make(const std::string& script) {
  made_ = MakeTestToken(script, directory_.path(), "kekd-test", kPin);
  if (!made_.has_value()) GTEST_SKIP() << "NOT INSTALLED: " << script;
  config_ = made_->Config(directory_.path());
  Begin();
}

void TokenFixture::Begin() {
  token_ = std::make_unique<Token>(config_, FileSystem::System(), RandomSource::System());
}

void TokenFixture::TearDown() {
  if (made_.has_value()) EndModule();
}

void TokenFixture::EndModule() {
  absl::StatusOr<std::unique_ptr<Module>> module =
      Module::Load(config_.module_path, config_.init_arguments);
  ASSERT_THAT(module, IsOk());
  EXPECT_THAT((*module)->Finalise(), IsOk());
}

WorkerResponse TokenFixture::Ask(WorkerRequest request, absl::Duration timeout) {
  request.timeout = timeout;
  return token_->Answer(request);
}

WorkerResponse TokenFixture::Generate(const std::string& label, const std::string& id,
                                      bool modifiable) {
  WorkerRequest request;
  request.verb = WorkerVerb::kGenerate;
  request.new_key.selector = {.label = label, .id = id};
  request.new_key.modifiable = modifiable;
  return Ask(std::move(request));
}

WorkerResponse TokenFixture::Encrypt(const KeyReference& key, const std::string& text) {
  WorkerRequest request;
  request.verb = WorkerVerb::kEncrypt;
  request.key = key;
  if (BindsAssociatedData(key.mechanism)) request.associated_data = "data";
  request.secret = SecretFromText(text);
  return Ask(std::move(request));
}

WorkerResponse TokenFixture::Decrypt(const KeyReference& key, const std::string& sealed,
                                     const std::string& data) {
  WorkerRequest request;
  request.verb = WorkerVerb::kDecrypt;
  request.key = key;
  if (BindsAssociatedData(key.mechanism)) request.associated_data = data;
  request.bytes = sealed;
  return Ask(std::move(request));
}

WorkerResponse TokenFixture::OfKey(WorkerVerb verb, const KeyReference& key) {
  WorkerRequest request;
  request.verb = verb;
  request.key = key;
  request.count = 20;
  return Ask(std::move(request));
}

}  // namespace kekd::testing
