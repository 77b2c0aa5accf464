// KMS v2's messages, as anybody who may connect can send them: answered, or refused with a code
// that the contract names. A ciphertext that is ours gives exactly what was encrypted, any other
// nothing.
#include <grpc/slice.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"
#include "kms/server/kms_calls.h"
#include "kms/server/secret_message.h"
#include "kms/v2/api.pb.h"
#include "tests/fuzz/choices.h"
#include "tests/kms/rings/test_ring.h"

namespace kekd {
namespace {

using ::kekd::testing::Choices;
using ::kekd::testing::Require;

constexpr absl::Time kNoDeadline = absl::InfiniteFuture();

struct Sealed {
  std::string plaintext;
  std::string ciphertext;
  std::string key_id;
};

// A ring of three versions and a ciphertext of each, of three sizes.
struct World {
  testing::TestRing ring;
  EnvelopeService service{ring.current(), std::make_shared<KeyringHealth>()};
  std::vector<Sealed> sealed;

  World() {
    ConfigureLog(LogLevel::kError, LogFormat::kText);
    for (const size_t size : {size_t{1}, size_t{32}, size_t{512}}) {
      (void)ring.CreateAndPromote();
      sealed.push_back(Seal(std::string(size, 's')));
    }
  }
  Sealed Seal(const std::string& plaintext) const {
    ::v2::EncryptRequest request;
    request.set_plaintext(plaintext);
    ::v2::EncryptResponse response;
    Require(AnswerEncrypt(service, request, kNoDeadline, response, nullptr)->ok());
    return {plaintext, response.ciphertext(), response.key_id()};
  }
};

// As the server takes a message from gRPC's buffers, in pieces of any size: the same message as
// from one piece, and nothing of it left where it lay.
bool Take(absl::string_view message, google::protobuf::MessageLite& request) {
  const size_t piece = message.empty() ? 1 : 1 + static_cast<uint8_t>(message.back());
  std::vector<grpc::Slice> pieces;
  for (size_t at = 0; at < message.size(); at += piece) {
    const absl::string_view bytes = message.substr(at, piece);
    // Not such a short one as lies in its handle: copies of that share nothing.
    grpc_slice slice = grpc_slice_malloc_large(bytes.size());
    std::copy(bytes.begin(), bytes.end(), GRPC_SLICE_START_PTR(slice));
    pieces.emplace_back(slice, grpc::Slice::STEAL_REF);
  }
  grpc::ByteBuffer buffer(pieces.data(), pieces.size());
  const bool taken = TakeMessage(buffer, request).ok();
  for (const grpc::Slice& each : pieces) {
    Require(std::all_of(each.begin(), each.end(), [](uint8_t byte) { return byte == 0; }));
  }
  const std::unique_ptr<google::protobuf::MessageLite> whole(request.New());
  Require(taken == whole->ParseFromArray(message.data(), static_cast<int>(message.size())));
  Require(!taken || whole->ByteSizeLong() == request.ByteSizeLong());
  return taken;
}

void CheckStatus(const World& world, absl::string_view message) {
  ::v2::StatusRequest request;
  if (!Take(message, request)) return;
  ::v2::StatusResponse response;
  Require(AnswerStatus(world.service, response).ok());
  Require(response.version() == "v2" && response.healthz() == "ok");
  Require(response.key_id() == world.sealed.back().key_id);
}

void CheckDecrypt(const World& world, const ::v2::DecryptRequest& request) {
  ::v2::DecryptResponse response;
  const absl::Status answer =
      *AnswerDecrypt(world.service, request, kNoDeadline, response, nullptr);
  const bool well_formed = request.annotations().empty() && request.uid().size() <= 1024;
  for (const Sealed& sealed : world.sealed) {
    if (!well_formed || request.ciphertext() != sealed.ciphertext ||
        request.key_id() != sealed.key_id) {
      continue;
    }
    Require(answer.ok() && response.plaintext() == sealed.plaintext);
    return;
  }
  Require(response.plaintext().empty());
  Require(absl::IsInvalidArgument(answer) || absl::IsNotFound(answer) ||
          absl::IsUnimplemented(answer));
}

void CheckEncrypt(const World& world, absl::string_view message) {
  ::v2::EncryptRequest request;
  if (!Take(message, request)) return;
  const std::string plaintext = request.plaintext();
  const bool allowed =
      !plaintext.empty() && plaintext.size() <= 512 && request.uid().size() <= 1024;
  ::v2::EncryptResponse response;
  const absl::Status answer =
      *AnswerEncrypt(world.service, request, kNoDeadline, response, nullptr);
  Require(request.plaintext().empty());
  Require(answer.ok() == allowed);
  if (!answer.ok()) {
    Require(absl::IsInvalidArgument(answer) && response.ciphertext().empty());
    Require(plaintext.size() < 8 ||
            std::string(answer.message()).find(plaintext) == std::string::npos);
    return;
  }
  Require(!response.ciphertext().empty() && response.ciphertext().size() <= 1024);
  Require(response.key_id() == world.sealed.back().key_id && response.annotations().empty());
  ::v2::DecryptRequest again;
  again.set_ciphertext(response.ciphertext());
  again.set_key_id(response.key_id());
  again.set_uid(request.uid());
  ::v2::DecryptResponse opened;
  Require(AnswerDecrypt(world.service, again, kNoDeadline, opened, nullptr)->ok());
  Require(opened.plaintext() == plaintext);
}

// A request of ours with some of its bytes changed: trying would not get past the first check.
void CheckAltered(const World& world, Choices& choices) {
  const uint32_t count = static_cast<uint32_t>(world.sealed.size());
  ::v2::DecryptRequest request;
  std::string ciphertext = world.sealed[choices.Below(count)].ciphertext;
  std::string key_id = world.sealed[choices.Below(count)].key_id;
  request.set_uid(std::string(choices.Take(choices.Below(40))));
  if (choices.Below(8) == 7) (*request.mutable_annotations())["a.example"] = "x";
  while (!choices.empty()) {
    std::string& field = choices.Below(4) == 3 ? key_id : ciphertext;
    switch (choices.Below(4)) {
      case 0:
        field.resize(choices.Byte() % (field.size() + 1));
        break;
      case 1:
        field += std::string(choices.Take(choices.Below(16)));
        break;
      default:
        if (field.empty()) break;
        const size_t at = (choices.Byte() * 256u + choices.Byte()) % field.size();
        field[at] = static_cast<char>(field[at] ^ choices.Byte());
    }
  }
  request.set_ciphertext(ciphertext);
  request.set_key_id(key_id);
  CheckDecrypt(world, request);
}

}  // namespace
}  // namespace kekd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kekd;
  static const auto* const world = new World();
  testing::Choices choices(AsText(ByteView(data, size)));
  const uint32_t call = choices.Below(4);
  if (call == 3) {
    CheckAltered(*world, choices);
    return 0;
  }
  const absl::string_view message = choices.Rest();
  if (call == 0) CheckStatus(*world, message);
  if (call == 1) CheckEncrypt(*world, message);
  ::v2::DecryptRequest request;
  if (call == 2 && Take(message, request)) CheckDecrypt(*world, request);
  return 0;
}
