#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "hsm/token/key_reference.h"
#include "kekd/admin/v1/admin.grpc.pb.h"
#include "keystore/transition.h"
#include "kms/admin_view/transition_message.h"
#include "kms/ctl/commands.h"
#include "tests/kms/ctl/test_command.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::ServeOn;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestCommand;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A kekd that fails the first `failures` changes with UNAVAILABLE.
class FakeAdmin final : public admin::v1::Admin::Service {
 public:
  grpc::Status GetKeyring(grpc::ServerContext*, const admin::v1::GetKeyringRequest* request,
                          admin::v1::Keyring* response) override {
    if (request->keyring() != "prod") return {grpc::StatusCode::NOT_FOUND, "no such keyring"};
    response->set_name("prod");
    response->set_generation(generation);
    response->set_cluster_id("11111111-1111-4111-8111-111111111111");
    response->set_ring_uuid("22222222-2222-4222-8222-222222222222");
    if (primary.number() != 0) *response->add_versions() = primary;
    return grpc::Status::OK;
  }

  grpc::Status Apply(grpc::ServerContext*, const admin::v1::ApplyRequest* request,
                     admin::v1::ApplyResponse* response) override {
    requests.push_back(*request);
    if (failures-- > 0) {
      generation = after_failure;
      return {grpc::StatusCode::UNAVAILABLE, "the wire was cut"};
    }
    response->set_version(7);
    response->mutable_keyring()->set_name("prod");
    response->mutable_keyring()->set_generation(42);
    admin::v1::KeyVersion* const version = response->mutable_keyring()->add_versions();
    version->set_number(7);
    version->set_key_id("prod.7.abc");
    version->set_state("pre-activation");
    return grpc::Status::OK;
  }

  int failures = 0;
  uint64_t generation = 41;
  uint64_t after_failure = 41;
  admin::v1::KeyVersion primary;
  std::vector<admin::v1::ApplyRequest> requests;
};

class KeyCommandsTest : public ::testing::Test {
 protected:
  FakeAdmin admin_;
  TestCommand command_;
};

TEST_F(KeyCommandsTest, AsksARunningKekd) {
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult result,
                            KeyCreate(command_.Context(), {.backend = "software"}));
  EXPECT_THAT(result.output, HasSubstr("made key version 7 of keyring prod: prod.7.abc"));
  ASSERT_EQ(admin_.requests.size(), 1u);
  EXPECT_EQ(admin_.requests[0].keyring(), "prod");
  EXPECT_EQ(admin_.requests[0].expected_generation(), 41u);
  EXPECT_EQ(admin_.requests[0].request_id().size(), 16u);
  EXPECT_EQ(admin_.requests[0].create_version().backend(), "software");
}

admin::v1::KeyVersion OnToken() {
  KeyReference reference;
  reference.token = {.label = "prod", .manufacturer = "", .model = "", .serial = "0a1b"};
  reference.key = {.label = "kekd-prod-7", .id = "\x01\x02"};
  reference.mechanism = KeyMechanism::kGcmTokenIv;
  reference.mechanism_reason = "CKR_MECHANISM_PARAM_INVALID";
  reference.made_for =
      "11111111-1111-4111-8111-111111111111/22222222-2222-4222-8222-222222222222/7";
  admin::v1::KeyVersion version;
  version.set_number(7);
  version.set_key_id("prod.7.abc");
  version.set_state("active");
  version.set_backend("pkcs11");
  version.set_custody("device");
  version.set_key_reference(reference.ToString());
  version.add_wraps()->set_type("a wrap");
  return version;
}

// By kekd's word, where neither the keyring's files nor a token are to be had.
TEST_F(KeyCommandsTest, ShowsWhatTheRecordSaysOfAKeyAndWhyTheRestIsNotKnown) {
  admin_.primary = OnToken();
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult shown, KeyShow(command_.Context(), {.version = 7}));
  EXPECT_EQ(shown.exit_code, kExitOk);
  EXPECT_THAT(shown.output,
              AllOf(HasSubstr("prod.7.abc"), HasSubstr("token key     \"kekd-prod-7\", id 0102"),
                    HasSubstr("wrapped by    a wrap"), HasSubstr("CKR_MECHANISM_PARAM_INVALID"),
                    HasSubstr("canary        not tried: the keyring's files"),
                    HasSubstr("no token was asked: the configuration names no token")));
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult json,
                            KeyShow(command_.Context(OutputFormat::kJson), {.version = 7}));
  EXPECT_THAT(json.output, AllOf(HasSubstr("\"mechanism\": \"AES-GCM with the token's IV\""),
                                 HasSubstr("\"notAsked\": \"the configuration names no token")));
  EXPECT_THAT(KeyShow(command_.Context(), {.version = 8}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no key version 8")));
}

TEST_F(KeyCommandsTest, AsksForACustodyThatAnOlderKekdCantOverlook) {
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  KEKD_ASSERT_OK(
      KeyCreate(command_.Context(), {.backend = "pkcs11", .custody = Custody::kEnvelope}));
  ASSERT_EQ(admin_.requests.size(), 1u);
  EXPECT_FALSE(admin_.requests[0].has_create_version());
  EXPECT_EQ(admin_.requests[0].create_version_in_custody().backend(), "pkcs11");
  EXPECT_EQ(admin_.requests[0].create_version_in_custody().custody(), "envelope");
  KEKD_ASSERT_OK_AND_ASSIGN(const Transition asked, TransitionOf(admin_.requests[0]));
  EXPECT_EQ(*DigestOf(asked),
            *DigestOf(CreateVersion{.backend = "pkcs11", .custody = Custody::kEnvelope}));
  EXPECT_NE(*DigestOf(asked), *DigestOf(CreateVersion{"pkcs11"}));
  admin_.requests[0].mutable_create_version_in_custody()->set_custody("split");
  EXPECT_THAT(TransitionOf(admin_.requests[0]), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(KeyCommandsTest, MakesTheNextKeyAsThePrimaryIsKept) {
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  admin_.primary.set_number(1);
  admin_.primary.set_state("active");
  admin_.primary.set_backend("pkcs11");
  admin_.primary.set_custody("envelope");
  admin_.primary.set_key_reference("pkcs11:object=kekd-prod-1");
  for (const char* backend : {"", "pkcs11"}) {
    KEKD_ASSERT_OK(KeyCreate(command_.Context(), {.backend = backend}));
    EXPECT_EQ(admin_.requests.back().create_version_in_custody().custody(), "envelope");
    EXPECT_EQ(admin_.requests.back().create_version_in_custody().backend(), "pkcs11");
  }
  KEKD_ASSERT_OK(KeyCreate(command_.Context(), {.custody = Custody::kDevice}));
  EXPECT_EQ(admin_.requests.back().create_version_in_custody().custody(), "device");
  KEKD_ASSERT_OK(KeyCreate(command_.Context(), {.backend = "software"}));
  EXPECT_EQ(admin_.requests.back().create_version().backend(), "software");
  admin_.primary.set_custody("device");
  KEKD_ASSERT_OK(KeyCreate(command_.Context(), {}));
  EXPECT_EQ(admin_.requests.back().create_version().backend(), "pkcs11");
}

TEST_F(KeyCommandsTest, AdoptsAKeyByItsName) {
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  const KeyAdoptVerb verb{.backend = "pkcs11",
                          .object = "pkcs11:token=prod;object=kek",
                          .allow_extractable = true,
                          .generation = 41};
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult result, KeyAdopt(command_.Context(), verb));
  EXPECT_THAT(result.output, HasSubstr("adopted a key as key version 7 of keyring prod"));
  ASSERT_EQ(admin_.requests.size(), 1u);
  EXPECT_EQ(admin_.requests[0].expected_generation(), 41u);
  const admin::v1::AdoptKey& adopt = admin_.requests[0].adopt_key();
  EXPECT_EQ(adopt.backend(), "pkcs11");
  EXPECT_EQ(adopt.reference(), "pkcs11:token=prod;object=kek");
  EXPECT_TRUE(adopt.allow_extractable());
  KEKD_ASSERT_OK_AND_ASSIGN(const Transition asked, TransitionOf(admin_.requests[0]));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string digest, DigestOf(asked));
  const AdoptKey meant{verb.backend, verb.object, verb.allow_extractable};
  EXPECT_EQ(digest, *DigestOf(meant));
  EXPECT_NE(digest, *DigestOf(AdoptKey{verb.backend, verb.object}));
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult json,
                            KeyAdopt(command_.Context(OutputFormat::kJson), verb));
  EXPECT_THAT(json.output, HasSubstr("\"prod.7.abc\""));
}

TEST_F(KeyCommandsTest, RepeatsABrokenChangeOnceWithTheSameRequestId) {
  admin_.failures = 1;
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  KEKD_ASSERT_OK(KeyPromote(command_.Context(), {.version = 7}));
  ASSERT_EQ(admin_.requests.size(), 2u);
  EXPECT_EQ(admin_.requests[0].SerializeAsString(), admin_.requests[1].SerializeAsString());
  EXPECT_EQ(admin_.requests[1].promote_version().number(), 7u);
}

TEST_F(KeyCommandsTest, SaysWhenAFailedChangeWasNotMade) {
  admin_.failures = 2;
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  EXPECT_THAT(KeyCreate(command_.Context(), {.backend = "software"}),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr("nothing was changed"), HasSubstr("the wire was cut"))));
  EXPECT_EQ(admin_.requests.size(), 2u);
}

TEST_F(KeyCommandsTest, SaysWhenTheOutcomeOfAChangeIsUnknown) {
  admin_.failures = 2;
  admin_.after_failure = 42;  // somebody's change was made
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  EXPECT_THAT(KeyCreate(command_.Context(), {.backend = "software"}),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr("the wire was cut"), HasSubstr("key list"))));
  EXPECT_EQ(admin_.requests.size(), 2u);
}

TEST_F(KeyCommandsTest, PassesKekdsRefusalOn) {
  command_.config().keyrings[0].name = "dev";
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  EXPECT_THAT(KeyList(command_.Context()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no such keyring")));
}

TEST_F(KeyCommandsTest, TakesTheFilesWhenKekdDoesNotRun) {
  KEKD_ASSERT_OK(KeyringInit(command_.Context(), {}));
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult created,
                            KeyCreate(command_.Context(), {.backend = "software"}));
  EXPECT_THAT(created.output, HasSubstr("made key version 2"));
  KEKD_ASSERT_OK(KeyPromote(command_.Context(), {.version = 2}));
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult list,
                            KeyList(command_.Context(OutputFormat::kJson)));
  EXPECT_THAT(list.output, AllOf(HasSubstr("\"generation\": 3"), HasSubstr("\"deactivated\"")));
  EXPECT_THAT(KeyPromote(command_.Context(), {.version = 1}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(KeyPromote(command_.Context(), {.version = 9}),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(KeyCommandsTest, IsUnavailableWhenTheRingIsLockedAndNobodyAnswers) {
  KEKD_ASSERT_OK(KeyringInit(command_.Context(), {}));
  KEKD_ASSERT_OK_AND_ASSIGN(
      const std::unique_ptr<FileLock> lock,
      FileSystem::System().Lock(command_.folder().File("ring/keyring.lock"), 0600));
  EXPECT_THAT(KeyCreate(command_.Context(), {.backend = "software"}),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr("in use"), HasSubstr("admin socket"))));
  KEKD_EXPECT_OK(KeyList(command_.Context()));
}

TEST_F(KeyCommandsTest, AsksForTheGenerationThatIsExpected) {
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  KEKD_ASSERT_OK(KeyCreate(command_.Context(), {.backend = "software", .generation = 40}));
  KEKD_ASSERT_OK(KeyPromote(command_.Context(), {.version = 7, .generation = 39}));
  ASSERT_EQ(admin_.requests.size(), 2u);
  EXPECT_EQ(admin_.requests[0].expected_generation(), 40u);
  EXPECT_EQ(admin_.requests[1].expected_generation(), 39u);
}

}  // namespace
}  // namespace kekd
