#include "cluster/etcd_client/etcd_channel.h"

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/bytes.h"
#include "base/status_macros.h"
#include "cluster/etcd_client/endpoint_probe.h"

namespace kekd {
namespace {

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const EtcdEndpoint& endpoint,
                                                        const EtcdTls* tls) {
  if (!endpoint.tls || tls == nullptr) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = tls->ca_pem();
  options.pem_cert_chain = tls->cert_pem();
  options.pem_private_key = std::string(AsText(tls->key_pem().Reveal(SecretAccessToken())));
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::SslCredentials(options);
  // gRPC and libssl keep copies of their own for as long as the channel lives.
  Wipe(options.pem_private_key.data(), options.pem_private_key.size());
  return credentials;
}

// What etcd itself says (the messages of its package rpctypes) and what to do about it.
struct KnownAnswer {
  absl::string_view message;  // a part of etcd's
  absl::StatusCode code;
  absl::string_view meaning;
};
constexpr KnownAnswer kKnownAnswers[] = {
    {"required revision has been compacted", absl::StatusCode::kAborted,
     "the revision has been compacted"},
    {"required revision is a future revision", absl::StatusCode::kOutOfRange,
     "it has not come to that revision yet"},
    {"user name is empty", absl::StatusCode::kUnauthenticated,
     "authentication is enabled in etcd and no user is known: give a client certificate (cert and "
     "key) whose common name is one of etcd's users"},
    {"invalid auth token", absl::StatusCode::kUnauthenticated,
     "authentication is enabled in etcd and no user is known: give a client certificate (cert and "
     "key) whose common name is one of etcd's users"},
    {"authentication failed", absl::StatusCode::kUnauthenticated,
     "the common name of the client certificate is no user of etcd: give another certificate, or "
     "add the user (etcdctl user add)"},
    {"permission denied", absl::StatusCode::kPermissionDenied,
     "the user of the client certificate has no right to this: grant a role that may read all keys "
     "(etcdctl role grant-permission ROLE read '' --from-key=true; etcdctl user grant-role)"},
    {"corrupt cluster", absl::StatusCode::kDataLoss,
     "etcd has raised the alarm CORRUPT and answers nothing: scan a snapshot of a member that is "
     "sound"},
    {"not supported for learner", absl::StatusCode::kUnavailable,
     "it is a learner, which answers no consistent reads: give the endpoint of a voting member"},
    {"no leader", absl::StatusCode::kUnavailable,
     "etcd has no leader: most of its members must be running"},
    {"too many requests", absl::StatusCode::kUnavailable,
     "etcd is overloaded: try again when it has less to do"},
    {"request timed out", absl::StatusCode::kUnavailable,
     "etcd did not come to an answer in time: are most of its members running?"},
};

absl::Status ToStatus(const grpc::Status& status) {
  // The numbers of both lists of codes are the same. What a peer says reaches a terminal.
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::CHexEscape(status.error_message()));
}

}  // namespace

EtcdChannel::EtcdChannel(EtcdEndpoint endpoint, const EtcdTls* tls, const Limits& limits)
    : endpoint_(std::move(endpoint)), tls_(tls), limits_(limits) {}

std::shared_ptr<grpc::Channel> EtcdChannel::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(static_cast<int>(limits_.message_bytes));
  // Whatever the environment says: the way to etcd has no proxy, and nobody else may see the data.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // A new channel is a new connection: not one that other channels of this process gave up on.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!endpoint_.socket_path.empty()) {
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, endpoint_.Authority());
  }
  return grpc::CreateCustomChannel(endpoint_.Target(), CredentialsOf(endpoint_, tls_), arguments);
}

absl::Status EtcdChannel::Connect() {
  if (channel_ == nullptr) channel_ = NewChannel();
  const absl::Time deadline = absl::Now() + limits_.dial;
  grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
  while (state == GRPC_CHANNEL_IDLE || state == GRPC_CHANNEL_CONNECTING) {
    if (!channel_->WaitForStateChange(state, absl::ToChronoTime(deadline))) break;
    state = channel_->GetState(/*try_to_connect=*/true);
  }
  if (state == GRPC_CHANNEL_READY) return absl::OkStatus();
  channel_ = nullptr;
  KEKD_RETURN_IF_ERROR(ProbeEndpoint(endpoint_, tls_, absl::Now() + limits_.dial));
  return absl::UnavailableError("no connection to it came about");
}

absl::Status EtcdChannel::Call(Rpc rpc) {
  KEKD_RETURN_IF_ERROR(Connect());
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + limits_.command));
  const grpc::Status status = rpc(channel_, context);
  if (status.ok()) return absl::OkStatus();
  absl::Status told = Translate(status);
  // The next call begins with a new connection.
  if (absl::IsUnavailable(told)) channel_ = nullptr;
  return told;
}

absl::Status EtcdChannel::Translate(const grpc::Status& status) const {
  const std::string& message = status.error_message();
  for (const KnownAnswer& known : kKnownAnswers) {
    if (absl::StrContains(message, known.message)) return absl::Status(known.code, known.meaning);
  }
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return absl::UnavailableError(
          absl::StrCat("it did not answer within ", absl::FormatDuration(limits_.command)));
    case grpc::StatusCode::UNAVAILABLE:
      return absl::UnavailableError(absl::StrCat("the connection broke, or etcd is going down (",
                                                 ToStatus(status).message(), ")"));
    case grpc::StatusCode::UNIMPLEMENTED:
      return absl::FailedPreconditionError(
          "it speaks gRPC and is no etcd: give etcd's client port, usually 2379");
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      if (absl::StrContains(message, "larger than max")) {
        return absl::ResourceExhaustedError(
            absl::StrCat("an answer is larger than ", limits_.message_bytes, " bytes"));
      }
      return absl::UnavailableError(ToStatus(status).message());
    default:
      return absl::Status(ToStatus(status).code(),
                          absl::StrCat("it answered: ", ToStatus(status).message()));
  }
}

}  // namespace kekd
