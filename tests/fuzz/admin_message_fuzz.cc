// The admin service's messages, one after the other, on a ring that is kept: whatever is asked, the
// ring stays one that opens again, and no wrap leaves by an answer.
#include <string>

#include "base/bytes.h"
#include "kekd/admin/v1/admin.pb.h"
#include "kms/admin/admin_calls.h"
#include "tests/fuzz/choices.h"
#include "tests/fuzz/keyring_rules.h"
#include "tests/fuzz/memory_ring.h"

namespace kekd {
namespace {

namespace pb = ::kekd::admin::v1;

using ::kekd::testing::CheckRingStep;
using ::kekd::testing::CheckRingValue;
using ::kekd::testing::Choices;
using ::kekd::testing::MemoryRing;
using ::kekd::testing::Require;

constexpr size_t kMinBlobBytes = 16;  // shorter ones are in any message by chance

// One kekd with one ring and what was asked of it.
class AdminWorld final {
 public:
  AdminWorld() { Require(ring_.Open().ok()); }

  void Ask(Choices& choices) {
    const Keyring before = ring_.Served()->keyring();
    const uint32_t kind = choices.Below(5);
    const bool mend = choices.Flag();
    const absl::string_view message = choices.Take(choices.Byte() * 4u);
    if (kind == 0) GetStatus();
    if (kind == 1) GetKeyring(message);
    if (kind == 2 || kind == 3) Apply(message, mend);
    if (kind == 4) RecordBackup(message, mend);
    const Keyring& after = ring_.Served()->keyring();
    CheckRingValue(after);
    CheckRingStep(before, after);
  }

  // What was answered as done is there after a restart.
  void Restart() {
    const Keyring before = ring_.Served()->keyring();
    Require(ring_.Open().ok());
    Require(ring_.Served()->keyring().generation() == before.generation());
    CheckRingStep(before, ring_.Served()->keyring());
    const absl::StatusOr<std::vector<BackupLogEntry>> backups = ring_.store().Backups();
    Require(backups.ok() ? backups->size() <= kMaxBackupLogEntries
                         : absl::IsNotFound(backups.status()));
    Require(backups.ok() == (backups_ != 0));
  }

 private:
  AdminCalls Calls() {
    const auto nothing = [] { return std::vector<std::string>(); };
    AdministeredKeyring ring{.name = "prod",
                             .endpoint = "unix:///run/kekd/prod.sock",
                             .writer = &ring_.writer(),
                             .service = &service_,
                             .health = health_.get(),
                             .connections = [] { return AdministeredKeyring::Connections(); },
                             .warnings = nothing};
    return AdminCalls({.keyrings = {ring}, .start_time = ring_.clock().Now(), .warnings = nothing});
  }
  AdminCaller Caller() const { return {.who = "fuzz", .deadline = absl::InfiniteFuture()}; }

  template <typename Message>
  static bool Parse(absl::string_view bytes, Message& message) {
    return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  }

  // An answer is one that a client can read, and holds no wrap.
  template <typename Message>
  void CheckAnswer(const Message& response) {
    std::string bytes;
    Require(response.SerializeToString(&bytes));
    Message again;
    Require(again.ParseFromString(bytes));
    for (const Wrap& wrap : ring_.Served()->keyring().ring_key_wraps()) CheckLacks(bytes, wrap);
    for (const KeyVersion& version : ring_.Served()->keyring().versions()) {
      for (const Wrap& wrap : version.material.wraps) CheckLacks(bytes, wrap);
    }
  }
  static void CheckLacks(const std::string& bytes, const Wrap& wrap) {
    // What an operator calls a wrap by he may read.
    const bool is_named = wrap.blob == wrap.reference || wrap.blob == wrap.node;
    Require(wrap.blob.size() < kMinBlobBytes || is_named ||
            bytes.find(wrap.blob) == std::string::npos);
  }

  void GetStatus() {
    pb::GetStatusResponse response;
    Require(Calls().GetStatus(response).ok() && response.keyrings_size() == 1);
    CheckAnswer(response);
  }
  void GetKeyring(absl::string_view message) {
    pb::GetKeyringRequest request;
    if (!Parse(message, request)) return;
    pb::Keyring response;
    const absl::Status answer = Calls().GetKeyring(request, response);
    Require(answer.ok() == (request.keyring() == "prod"));
    Require(answer.ok() || absl::IsNotFound(answer));
    CheckAnswer(response);
  }
  void Apply(absl::string_view message, bool mend) {
    pb::ApplyRequest request;
    if (!Parse(message, request)) return;
    const uint64_t generation = ring_.Served()->keyring().generation();
    if (mend) {
      request.set_keyring("prod");
      request.set_expected_generation(generation);
      request.set_request_id(std::string(15, 'r') + static_cast<char>(++requests_));
    }
    pb::ApplyResponse response;
    const absl::Status answer = Calls().Apply(Caller(), request, response);
    if (answer.ok()) {
      Require(request.keyring() == "prod" && request.request_id().size() == 16);
      Require(response.keyring().generation() == ring_.Served()->keyring().generation());
      CheckAnswer(response);
      return;
    }
    Require(ring_.Served()->keyring().generation() == generation);
  }
  void RecordBackup(absl::string_view message, bool mend) {
    pb::RecordBackupRequest request;
    if (!Parse(message, request)) return;
    if (mend) {
      request.set_keyring("prod");
      request.mutable_backup()->mutable_id()->resize(16, 'b');
      request.mutable_backup()->mutable_keys()->resize(32, 'k');
    }
    const absl::Status answer = Calls().RecordBackup(Caller(), request);
    if (answer.ok()) ++backups_;
    Require(answer.ok() || absl::IsNotFound(answer) || absl::IsInvalidArgument(answer));
    GetStatus();
  }

  MemoryRing ring_;
  const std::shared_ptr<KeyringHealth> health_ = std::make_shared<KeyringHealth>();
  const EnvelopeService service_{std::make_shared<CurrentKeyring>(nullptr),
                                 health_};  // for its counters
  uint8_t requests_ = 0;
  int backups_ = 0;
};

}  // namespace
}  // namespace kekd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int kMaxMessages = 12;
  kekd::testing::Choices choices(kekd::AsText(kekd::ByteView(data, size)));
  kekd::AdminWorld world;
  for (int i = 0; i < kMaxMessages && !choices.empty(); ++i) world.Ask(choices);
  world.Restart();
  return 0;
}
