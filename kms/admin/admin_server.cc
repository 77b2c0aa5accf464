#include "kms/admin/admin_server.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/secret_arena.h"
#include "base/status_macros.h"
#include "kekd/admin/v1/admin.grpc.pb.h"
#include "kms/admin_view/keyring_view.h"
#include "kms/config/version.h"
#include "kms/server/async_server.h"

namespace kekd {
namespace {

namespace pb = ::kekd::admin::v1;

using AsyncService = pb::Admin::AsyncService;

template <typename Request, typename Response>
using AdminCall = UnaryCall<AsyncService, Request, Response>;

void FillStatus(const AdministeredKeyring& ring, pb::KeyringStatus* out) {
  const std::shared_ptr<const OpenKeyring> opened = ring.writer->current()->Get();
  const std::shared_ptr<const HealthReport> health = ring.health->Get();
  out->set_name(ring.name);
  out->set_generation(opened->keyring().generation());
  const KeyVersion* primary = opened->keyring().Primary();
  if (primary == nullptr) {
    out->set_healthz("no key version is active");
    out->set_must_not_encrypt(true);
  } else {
    out->set_primary_version(primary->number);
    out->set_must_not_encrypt(!health->may_encrypt.ok());
    out->set_healthz(health->may_encrypt.ok() ? health->healthz
                                              : std::string(health->may_encrypt.message()));
    if (health->may_encrypt.ok()) out->set_key_id(primary->key_id.text());
  }
  for (const std::string& warning : health->warnings) out->add_warnings(warning);
  if (health->check_time != absl::InfinitePast()) {
    out->set_last_canary_ms(absl::ToUnixMillis(health->check_time));
  }
  out->set_socket(ring.endpoint);
  const EnvelopeService::Counters& counters = ring.service->counters();
  out->set_status_calls(counters.status.load());
  out->set_encrypt_calls(counters.encrypt.load());
  out->set_decrypt_calls(counters.decrypt.load());
  out->set_failed_calls(counters.failed.load());
  const AdministeredKeyring::Connections connections = ring.connections();
  out->set_connections(connections.open);
  out->set_refused_connections(connections.refused);
}

absl::StatusOr<Transition> TransitionOf(const pb::ApplyRequest& request) {
  switch (request.transition_case()) {
    case pb::ApplyRequest::kCreateVersion:
      return Transition(CreateVersion{request.create_version().backend()});
    case pb::ApplyRequest::kPromoteVersion:
      return Transition(PromoteVersion{request.promote_version().number()});
    case pb::ApplyRequest::TRANSITION_NOT_SET:
      break;
  }
  return absl::UnimplementedError(
      "this kekd does not know the change that was asked for: kekctl is newer than kekd");
}

}  // namespace

class AdminServer::Impl final {
 public:
  Impl(std::vector<AdministeredKeyring> keyrings, absl::Time start_time)
      : keyrings_(std::move(keyrings)),
        start_time_(start_time),
        on_status_([this](const grpc::ServerContext&, pb::GetStatusRequest&,
                          pb::GetStatusResponse& response) { return GetStatus(response); }),
        on_keyring_([this](const grpc::ServerContext&, pb::GetKeyringRequest& request,
                           pb::Keyring& response) { return GetKeyring(request, response); }),
        on_apply_(
            [this](const grpc::ServerContext& context, pb::ApplyRequest& request,
                   pb::ApplyResponse& response) { return Apply(context, request, response); }) {}

  absl::Status Start() {
    KEKD_ASSIGN_OR_RETURN(
        server_, AsyncServer::Start({.service = &async_service_,
                                     .max_receive_bytes = kMaxReceiveBytes,
                                     .expect_calls = [this](grpc::ServerCompletionQueue* queue) {
                                       ExpectCalls(queue);
                                     }}));
    return absl::OkStatus();
  }

  AsyncServer& server() { return *server_; }

 private:
  void ExpectCalls(grpc::ServerCompletionQueue* queue) {
    AdminCall<pb::GetStatusRequest, pb::GetStatusResponse>::ExpectNext(
        &async_service_, &AsyncService::RequestGetStatus, queue, &on_status_, nullptr);
    AdminCall<pb::GetKeyringRequest, pb::Keyring>::ExpectNext(
        &async_service_, &AsyncService::RequestGetKeyring, queue, &on_keyring_, nullptr);
    AdminCall<pb::ApplyRequest, pb::ApplyResponse>::ExpectNext(
        &async_service_, &AsyncService::RequestApply, queue, &on_apply_, nullptr);
  }

  absl::StatusOr<const AdministeredKeyring*> Find(absl::string_view name) const {
    for (const AdministeredKeyring& ring : keyrings_) {
      if (ring.name == name) return &ring;
    }
    return absl::NotFoundError(absl::StrCat("this kekd serves no keyring \"",
                                            absl::Utf8SafeCHexEscape(name.substr(0, 80)), "\""));
  }

  absl::Status GetStatus(pb::GetStatusResponse& response) const {
    response.set_version(kKekdVersion);
    response.set_pid(getpid());
    response.set_uptime_ms(absl::ToInt64Milliseconds(absl::Now() - start_time_));
    response.set_memory_locked(SecretArena::Instance().LockStatus().ok());
    for (const AdministeredKeyring& ring : keyrings_) FillStatus(ring, response.add_keyrings());
    return absl::OkStatus();
  }

  absl::Status GetKeyring(const pb::GetKeyringRequest& request, pb::Keyring& response) const {
    KEKD_ASSIGN_OR_RETURN(const AdministeredKeyring* ring, Find(request.keyring()));
    const std::shared_ptr<const OpenKeyring> opened = ring->writer->current()->Get();
    response = KeyringToView(opened->keyring(), opened.get());
    return absl::OkStatus();
  }

  absl::Status Apply(const grpc::ServerContext& context, const pb::ApplyRequest& request,
                     pb::ApplyResponse& response) const {
    KEKD_ASSIGN_OR_RETURN(const AdministeredKeyring* ring, Find(request.keyring()));
    KEKD_ASSIGN_OR_RETURN(const Transition transition, TransitionOf(request));
    KEKD_ASSIGN_OR_RETURN(const Uuid request_id, Uuid::FromBytes(AsBytes(request.request_id())));
    const absl::Time deadline =
        std::min(absl::FromChrono(context.deadline()), absl::Now() + kMaxCallTime);
    absl::StatusOr<KeyringWriter::Applied> applied =
        ring->writer->Apply(transition, request.expected_generation(), request_id, deadline);
    if (!applied.ok()) {
      LogWarning("a change of the keyring was refused",
                 {{"keyring", ring->name}, {"error", applied.status().ToString()}});
      return applied.status();
    }
    const Keyring& keyring = applied->keyring->keyring();
    LogInfo("the keyring was changed", {{"keyring", ring->name},
                                        {"generation", keyring.generation()},
                                        {"version", applied->version},
                                        {"state", ToString(keyring.Find(applied->version)->state)},
                                        {"request", request_id.ToString()}});
    response.set_version(applied->version);
    *response.mutable_keyring() = KeyringToView(keyring, applied->keyring.get());
    return absl::OkStatus();
  }

  const std::vector<AdministeredKeyring> keyrings_;
  const absl::Time start_time_;
  const AdminCall<pb::GetStatusRequest, pb::GetStatusResponse>::Handler on_status_;
  const AdminCall<pb::GetKeyringRequest, pb::Keyring>::Handler on_keyring_;
  const AdminCall<pb::ApplyRequest, pb::ApplyResponse>::Handler on_apply_;
  AsyncService async_service_;
  std::unique_ptr<AsyncServer> server_;  // last: it ends before what it calls
};

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(
    std::vector<AdministeredKeyring> keyrings, absl::Time start_time) {
  auto impl = std::make_unique<Impl>(std::move(keyrings), start_time);
  KEKD_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminServer::~AdminServer() = default;
void AdminServer::Adopt(UniqueFd connection) { impl_->server().Adopt(std::move(connection)); }
void AdminServer::Shutdown(absl::Time deadline) { impl_->server().Shutdown(deadline); }

}  // namespace kekd
