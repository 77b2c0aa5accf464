// What kekd and its HSM worker say to each other, as a worker may say it whose memory a module has
// overwritten. The first byte says what is meant to follow: 0 a request, else the verb whose answer
// it is; the second how many bytes at the end are the frame's secret part.
#include <algorithm>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "hsm/token/worker_message.h"
#include "tests/fuzz/choices.h"

namespace kekd {
namespace {

using ::kekd::testing::Require;

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

void RequireRefusal(const absl::Status& status) {
  Require(absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status));
}

}  // namespace
}  // namespace kekd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kekd::WorkerVerb;
  kekd::testing::Choices choices(kekd::AsText(kekd::ByteView(data, size)));
  const uint32_t kind = choices.Below(static_cast<uint32_t>(WorkerVerb::kAttest) + 1);
  const size_t secret_size = choices.Byte();
  absl::string_view rest = choices.Rest();
  kekd::WorkerFrame frame;
  const absl::string_view secret = rest.substr(rest.size() - std::min(secret_size, rest.size()));
  frame.secret = kekd::SecretBytes::CopyOf(kekd::AsBytes(secret));
  rest.remove_suffix(secret.size());
  frame.fields = std::string(rest);
  // What is taken at all is exactly what Encode makes of it.
  if (kind == 0) {
    const absl::StatusOr<kekd::WorkerRequest> request = kekd::DecodeRequest(kekd::CopyOf(frame));
    if (!request.ok()) {
      kekd::RequireRefusal(request.status());
      return 0;
    }
    kekd::testing::Require(kekd::Same(kekd::Encode(*request), frame));
    return 0;
  }
  const auto verb = static_cast<WorkerVerb>(kind);
  absl::StatusOr<kekd::WorkerResponse> response = kekd::DecodeResponse(verb, kekd::CopyOf(frame));
  if (!response.ok()) {
    kekd::RequireRefusal(response.status());
    return 0;
  }
  kekd::testing::Require(kekd::Same(kekd::Encode(verb, *std::move(response)), frame));
  return 0;
}
