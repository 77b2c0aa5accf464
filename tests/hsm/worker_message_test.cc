#include "hsm/token/worker_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "base/monotonic.h"
#include "base/unique_fd.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

constexpr WorkerVerb kVerbs[] = {WorkerVerb::kStart,    WorkerVerb::kEncrypt,  WorkerVerb::kDecrypt,
                                 WorkerVerb::kGenerate, WorkerVerb::kAdopt,    WorkerVerb::kDestroy,
                                 WorkerVerb::kList,     WorkerVerb::kDescribe, WorkerVerb::kProbe,
                                 WorkerVerb::kMeasure,  WorkerVerb::kTry,      WorkerVerb::kAttest};

WorkerFrame CopyOf(const WorkerFrame& frame) {
  WorkerFrame copy;
  copy.fields = frame.fields;
  copy.secret = frame.secret.Clone();
  return copy;
}

bool Same(const WorkerFrame& a, const WorkerFrame& b) {
  return a.fields == b.fields && a.secret.size() == b.secret.size() &&
         SecretBytes::ConstantTimeEquals(a.secret, b.secret);
}

// Every field set.
WorkerRequest FullRequest(WorkerVerb verb) {
  WorkerRequest request;
  request.verb = verb;
  request.timeout = absl::Milliseconds(1500);
  request.config = {.module_path = "/m.so",
                    .init_arguments = "configdir='sql:/d'",
                    .token = {"label", "manufacturer", "model", "serial"},
                    .pin_file = "/pin",
                    .pin_is_credential = true,
                    .file_owner = 123,
                    .pin_log_directory = "/log",
                    .sessions = 7,
                    .session_copy = true};
  request.key.token = {"a", "b", "c", "d"};
  request.key.key = {"key", std::string("\0\xff", 2)};
  request.key.mechanism = KeyMechanism::kRsaOaepSha1;
  request.key.mechanism_reason = "CKR_ARGUMENTS_BAD";
  request.key.public_key = "public";
  request.new_key = {.selector = {"new", "id"}, .allow_extractable = true, .modifiable = true};
  request.count = 99;
  request.associated_data = "associated";
  request.bytes = "sealed";
  request.secret = SecretFromText("plaintext");
  return request;
}

WorkerResponse FullResponse() {
  WorkerResponse response;
  response.restart = true;
  response.token.token = {"a", "b", "c", "d"};
  response.token.module = "module 1.0";
  response.token.cryptoki = "2.40";
  response.token.hardware = "1.2";
  response.token.flags = 0xdeadbeefcafe;
  response.token.max_sessions = 16;
  response.token.open_sessions = -1;
  response.token.pin_state = "final try";
  response.token.pin_problem = "a PIN failed";
  response.token.mechanisms = {"CKM_AES_GCM", ""};
  KeyDescription key;
  key.selector = {"key", "id"};
  key.type = "AES-256";
  key.sensitive = key.unwrap = key.verify = true;
  key.belongs_to = "another";
  key.problem = "it can be read out";
  key.claims.local = true;
  key.claims.always_sensitive = false;
  key.claims.generated_by = "CKM_AES_KEY_GEN";
  key.claims.allowed_mechanisms = {"CKM_AES_GCM", "0x80000001"};
  key.claims.bits = 256;
  response.keys = {key};
  response.reference.key = key.selector;
  response.reference.mechanism = KeyMechanism::kGcmTokenIv;
  response.measurements = {{"C_Encrypt", 5, 6}, {"C_Decrypt", 7, 1ull << 60}};
  response.trials = {{KeyMechanism::kAesKw, true, ""},
                     {KeyMechanism::kRsaOaepSha1, false, "C_DecryptInit: CKR_ARGUMENTS_BAD (0x7)"}};
  response.bytes = "sealed";
  response.secret = SecretFromText("plaintext");
  return response;
}

TEST(WorkerMessageTest, RequestsSayTheSameAtTheOtherEnd) {
  for (const WorkerVerb verb : kVerbs) {
    const WorkerFrame frame = Encode(FullRequest(verb));
    KEKD_ASSERT_OK_AND_ASSIGN(const WorkerRequest request, DecodeRequest(CopyOf(frame)));
    EXPECT_EQ(request.verb, verb);
    EXPECT_EQ(request.timeout, absl::Milliseconds(1500));
    EXPECT_TRUE(Same(Encode(request), frame)) << static_cast<int>(verb);
    EXPECT_EQ(frame.secret.empty(), verb != WorkerVerb::kEncrypt);
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const WorkerRequest start,
                            DecodeRequest(Encode(FullRequest(WorkerVerb::kStart))));
  EXPECT_EQ(start.config.init_arguments, "configdir='sql:/d'");
  EXPECT_EQ(start.config.token.serial, "serial");
  EXPECT_EQ(start.config.file_owner, 123u);
  EXPECT_EQ(start.config.sessions, 7u);
  EXPECT_TRUE(start.config.session_copy);
  KEKD_ASSERT_OK_AND_ASSIGN(const WorkerRequest encrypt,
                            DecodeRequest(Encode(FullRequest(WorkerVerb::kEncrypt))));
  EXPECT_EQ(encrypt.key, FullRequest(WorkerVerb::kEncrypt).key);
  EXPECT_EQ(encrypt.associated_data, "associated");
  EXPECT_EQ(RevealedText(encrypt.secret), "plaintext");
  EXPECT_EQ(encrypt.bytes, "");  // kDecrypt's
}

TEST(WorkerMessageTest, ResponsesSayTheSameAtTheOtherEnd) {
  for (const WorkerVerb verb : kVerbs) {
    const WorkerFrame frame = Encode(verb, FullResponse());
    KEKD_ASSERT_OK_AND_ASSIGN(WorkerResponse response, DecodeResponse(verb, CopyOf(frame)));
    EXPECT_TRUE(response.status.ok());
    EXPECT_TRUE(response.restart);
    EXPECT_EQ(response.bytes.empty(), verb != WorkerVerb::kEncrypt);
    EXPECT_EQ(response.secret.empty(), verb != WorkerVerb::kDecrypt);
    EXPECT_TRUE(Same(Encode(verb, std::move(response)), frame)) << static_cast<int>(verb);
  }
  KEKD_ASSERT_OK_AND_ASSIGN(
      const WorkerResponse list,
      DecodeResponse(WorkerVerb::kList, Encode(WorkerVerb::kList, FullResponse())));
  ASSERT_EQ(list.keys.size(), 1u);
  EXPECT_TRUE(list.keys[0].sensitive && list.keys[0].unwrap);
  EXPECT_FALSE(list.keys[0].token || list.keys[0].extractable || list.keys[0].wrap);
}

TEST(WorkerMessageTest, AFailureCarriesNothingButItself) {
  for (const WorkerVerb verb : kVerbs) {
    WorkerResponse failed = FullResponse();
    failed.status = absl::NotFoundError("no such key");
    const WorkerFrame frame = Encode(verb, std::move(failed));
    EXPECT_TRUE(frame.secret.empty());
    KEKD_ASSERT_OK_AND_ASSIGN(const WorkerResponse response, DecodeResponse(verb, CopyOf(frame)));
    EXPECT_EQ(response.status, absl::NotFoundError("no such key"));
    EXPECT_TRUE(response.keys.empty() && response.bytes.empty());
  }
}

TEST(WorkerMessageTest, CutsALongReasonBetweenCharacters) {
  WorkerResponse failed;
  std::string message(kMaxMessageBytes - 1, 'a');
  message += "\xc3\xa9\xc3\xa9";
  failed.status = absl::InternalError(message);
  KEKD_ASSERT_OK_AND_ASSIGN(
      const WorkerResponse response,
      DecodeResponse(WorkerVerb::kList, Encode(WorkerVerb::kList, std::move(failed))));
  EXPECT_EQ(response.status.message(), std::string(kMaxMessageBytes - 1, 'a'));
}

TEST(WorkerMessageTest, InfiniteTimeoutsStayInfinite) {
  WorkerRequest request;
  KEKD_ASSERT_OK_AND_ASSIGN(const WorkerRequest again, DecodeRequest(Encode(request)));
  EXPECT_EQ(again.timeout, absl::InfiniteDuration());
  request.timeout = -absl::Seconds(1);
  KEKD_ASSERT_OK_AND_ASSIGN(const WorkerRequest over, DecodeRequest(Encode(request)));
  EXPECT_EQ(over.timeout, absl::ZeroDuration());
}

// What is decoded at all is exactly what Encode would have made of it.
void ExpectRefusedOrExact(WorkerVerb verb, const WorkerFrame& request, const WorkerFrame& response,
                          size_t* refused) {
  absl::StatusOr<WorkerRequest> asked = DecodeRequest(CopyOf(request));
  if (asked.ok()) {
    EXPECT_TRUE(Same(Encode(*asked), request));
  } else {
    ++*refused;
  }
  absl::StatusOr<WorkerResponse> answered = DecodeResponse(verb, CopyOf(response));
  if (answered.ok()) {
    EXPECT_TRUE(Same(Encode(verb, *std::move(answered)), response));
  } else {
    ++*refused;
  }
}

TEST(WorkerMessageTest, RefusesEveryTruncationAndAddition) {
  for (const WorkerVerb verb : kVerbs) {
    const WorkerFrame request = Encode(FullRequest(verb));
    const WorkerFrame response = Encode(verb, FullResponse());
    for (size_t size = 0; size < request.fields.size(); ++size) {
      WorkerFrame cut = CopyOf(request);
      cut.fields.resize(size);
      EXPECT_THAT(DecodeRequest(std::move(cut)), StatusIs(absl::StatusCode::kInvalidArgument));
    }
    for (size_t size = 0; size < response.fields.size(); ++size) {
      WorkerFrame cut = CopyOf(response);
      cut.fields.resize(size);
      EXPECT_THAT(DecodeResponse(verb, std::move(cut)),
                  StatusIs(absl::StatusCode::kInvalidArgument));
    }
    WorkerFrame longer = CopyOf(request);
    longer.fields.push_back('\0');
    EXPECT_THAT(DecodeRequest(std::move(longer)), StatusIs(absl::StatusCode::kInvalidArgument));
    longer = CopyOf(response);
    longer.fields.push_back('\0');
    EXPECT_THAT(DecodeResponse(verb, std::move(longer)),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(WorkerMessageTest, EveryFlippedBitIsRefusedOrMeansWhatItSays) {
  for (const WorkerVerb verb : kVerbs) {
    const WorkerFrame request = Encode(FullRequest(verb));
    const WorkerFrame response = Encode(verb, FullResponse());
    size_t refused = 0;
    const size_t bits = 8 * std::min(request.fields.size(), response.fields.size());
    for (size_t bit = 0; bit < bits; ++bit) {
      WorkerFrame flipped_request = CopyOf(request);
      WorkerFrame flipped_response = CopyOf(response);
      for (WorkerFrame* frame : {&flipped_request, &flipped_response}) {
        char& byte = frame->fields[bit / 8];
        byte = static_cast<char>(byte ^ (1 << bit % 8));
      }
      ExpectRefusedOrExact(verb, flipped_request, flipped_response, &refused);
    }
    EXPECT_GT(refused, 0u);
  }
}

TEST(WorkerMessageTest, RefusesSecretsWhereNoneBelongs) {
  for (const WorkerVerb verb : kVerbs) {
    if (verb != WorkerVerb::kEncrypt) {
      WorkerFrame frame = Encode(FullRequest(verb));
      frame.secret = SecretFromText("x");
      EXPECT_THAT(DecodeRequest(std::move(frame)), StatusIs(absl::StatusCode::kInvalidArgument));
    }
    if (verb != WorkerVerb::kDecrypt) {
      WorkerFrame frame = Encode(verb, FullResponse());
      frame.secret = SecretFromText("x");
      EXPECT_THAT(DecodeResponse(verb, std::move(frame)),
                  StatusIs(absl::StatusCode::kInvalidArgument));
    }
  }
}

TEST(WorkerMessageTest, NamesTheOtherRelease) {
  WorkerFrame frame = Encode(FullRequest(WorkerVerb::kList));
  frame.fields[0] = 1;
  EXPECT_THAT(DecodeRequest(CopyOf(frame)), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(DecodeResponse(WorkerVerb::kList, std::move(frame)),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

class WorkerFrameTest : public ::testing::Test {
 protected:
  WorkerFrameTest() {
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    here_ = UniqueFd(pair[0]);
    there_ = UniqueFd(pair[1]);
  }

  void SendRaw(absl::string_view bytes) {
    ASSERT_EQ(::send(there_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  static absl::Time Soon() { return MonotonicNow() + absl::Milliseconds(20); }

  UniqueFd here_;
  UniqueFd there_;
};

TEST_F(WorkerFrameTest, TakesWhatWasSentWhateverItsSize) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{300000}, WorkerFrame::kMaxFieldBytes}) {
    for (const size_t secret : {size_t{0}, size_t{32}, WorkerFrame::kMaxSecretBytes}) {
      WorkerFrame frame;
      frame.fields = std::string(size, 'f');
      frame.secret = SecretFromText(std::string(secret, 's'));
      std::jthread sender([&] {
        KEKD_EXPECT_OK(SendFrame(there_.get(), frame, MonotonicNow() + absl::Seconds(60)));
      });
      const absl::Time deadline =
          secret == 32 ? absl::InfiniteFuture() : MonotonicNow() + absl::Seconds(60);
      KEKD_ASSERT_OK_AND_ASSIGN(const WorkerFrame received, ReceiveFrame(here_.get(), deadline));
      EXPECT_TRUE(Same(received, frame)) << size << " " << secret;
    }
  }
}

TEST_F(WorkerFrameTest, RefusesFramesThatAreTooLarge) {
  WorkerFrame frame;
  frame.fields = std::string(WorkerFrame::kMaxFieldBytes + 1, 'f');
  EXPECT_THAT(SendFrame(there_.get(), frame, Soon()), StatusIs(absl::StatusCode::kInvalidArgument));
  frame.fields = "f";
  frame.secret = SecretBytes(WorkerFrame::kMaxSecretBytes + 1);
  EXPECT_THAT(SendFrame(there_.get(), frame, Soon()), StatusIs(absl::StatusCode::kInvalidArgument));
  SendRaw(absl::string_view("\0\x80\0\1\0\0\0\0", 8));
  EXPECT_THAT(ReceiveFrame(here_.get(), Soon()), StatusIs(absl::StatusCode::kInvalidArgument));
  SendRaw(absl::string_view("\0\0\0\1\0\0\x10\1", 8));
  EXPECT_THAT(ReceiveFrame(here_.get(), Soon()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(WorkerFrameTest, EndsAtTheDeadline) {
  EXPECT_THAT(AwaitFrame(here_.get(), Soon()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(ReceiveFrame(here_.get(), Soon()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  SendRaw(absl::string_view("\0\0\0\4\0\0\0\0abc", 11));
  KEKD_EXPECT_OK(AwaitFrame(here_.get(), Soon()));
  EXPECT_THAT(ReceiveFrame(here_.get(), Soon()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  WorkerFrame frame;
  frame.fields = std::string(WorkerFrame::kMaxFieldBytes, 'f');
  EXPECT_THAT(SendFrame(here_.get(), frame, Soon()), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(WorkerFrameTest, TellsThatTheOtherSideIsGone) {
  SendRaw(absl::string_view("\0\0\0\4\0\0\0\0abc", 11));
  there_.Reset();
  EXPECT_THAT(ReceiveFrame(here_.get(), Soon()), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(SendFrame(here_.get(), {}, Soon()), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace kekd::testing
