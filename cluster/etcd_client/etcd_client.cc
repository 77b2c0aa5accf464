#include "cluster/etcd_client/etcd_client.h"

#include <grpc/support/log.h>
#include <stdlib.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cluster/etcd_client/etcd_channel.h"
#include "cluster/etcd_client/etcd_endpoint.h"
#include "etcd/etcdserverpb/rpc.grpc.pb.h"

namespace kekd {
namespace {

// etcd's name for the end of all keys, and for the first one there can be.
constexpr absl::string_view kZero("\0", 1);
// Rounds through the endpoints after etcd has answered once: members restart and leaders change.
constexpr int kRounds = 4;

etcdserverpb::RangeRequest ToProto(const PageRequest& request) {
  etcdserverpb::RangeRequest proto;
  proto.set_key(request.range.first);
  proto.set_range_end(request.range.end);
  proto.set_limit(request.limit);
  proto.set_revision(request.revision);
  proto.set_serializable(request.consistency == Consistency::kSerializable);
  proto.set_keys_only(request.content == PageContent::kKeysOnly);
  proto.set_count_only(request.content == PageContent::kCountOnly);
  return proto;
}

EtcdPage FromProto(etcdserverpb::RangeResponse& proto) {
  EtcdPage page;
  page.objects.reserve(static_cast<size_t>(proto.kvs_size()));
  for (mvccpb::KeyValue& pair : *proto.mutable_kvs()) {
    page.objects.push_back({.key = std::move(*pair.mutable_key()),
                            .value = std::move(*pair.mutable_value()),
                            .create_revision = pair.create_revision(),
                            .mod_revision = pair.mod_revision()});
  }
  page.more = proto.more();
  page.count = static_cast<uint64_t>(std::max<int64_t>(proto.count(), 0));
  page.revision = proto.header().revision();
  return page;
}

// Whether another endpoint may do better: all that is about the connection or the one member.
bool AnotherMayDoBetter(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsFailedPrecondition(status) ||
         absl::IsUnauthenticated(status);
}

}  // namespace

KeyRange KeyRange::WithPrefix(absl::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) {
    return {std::string(prefix.empty() ? kZero : prefix), std::string(kZero)};
  }
  end.back() = static_cast<char>(end.back() + 1);
  return {std::string(prefix), std::move(end)};
}

bool KeyRange::Contains(absl::string_view key) const {
  if (end.empty()) return key == first;
  return key >= first && (end == kZero || key < end);
}

void PrepareGrpcForEtcd() {
  unsetenv("GRPC_TRACE");
  unsetenv("GRPC_VERBOSITY");
  setenv("GRPC_DNS_RESOLVER", "native", /*overwrite=*/0);
  gpr_set_log_function([](gpr_log_func_args*) {});
}

absl::StatusOr<std::unique_ptr<EtcdClient>> EtcdClient::Create(EtcdClientOptions options,
                                                               FileSystem& fs) {
  if (options.endpoints.empty()) {
    return absl::InvalidArgumentError(
        "no endpoint of etcd: give one or more, such as https://127.0.0.1:2379");
  }
  const DefaultScheme scheme = options.tls.Any() ? DefaultScheme::kHttps : DefaultScheme::kHttp;
  std::vector<EtcdEndpoint> endpoints;
  bool any_tls = false;
  for (const std::string& text : options.endpoints) {
    KEKD_ASSIGN_OR_RETURN(EtcdEndpoint endpoint, EtcdEndpoint::Parse(text, scheme));
    any_tls = any_tls || endpoint.tls;
    endpoints.push_back(std::move(endpoint));
  }
  std::unique_ptr<EtcdClient> client(new EtcdClient(std::move(options)));
  if (any_tls || client->options_.tls.Any()) {
    KEKD_ASSIGN_OR_RETURN(client->tls_, EtcdTls::Load(fs, client->options_.tls, absl::Now()));
  }
  const EtcdTls* const tls = client->tls_.has_value() ? &*client->tls_ : nullptr;
  for (EtcdEndpoint& endpoint : endpoints) {
    client->channels_.push_back(std::make_unique<EtcdChannel>(
        std::move(endpoint), tls,
        EtcdChannel::Limits{.dial = client->options_.dial_timeout,
                            .command = client->options_.command_timeout,
                            .message_bytes = client->options_.max_message_bytes}));
  }
  return client;
}

EtcdClient::EtcdClient(EtcdClientOptions options) : options_(std::move(options)) {}

EtcdClient::~EtcdClient() = default;

const std::string& EtcdClient::current_endpoint() const {
  return channels_[current_]->endpoint().text;
}

absl::Status EtcdClient::Named(size_t index, const absl::Status& status) const {
  return WithContext(status, absl::StrCat("etcd at ", channels_[index]->endpoint().text));
}

absl::Status EtcdClient::CheckCluster(size_t index, uint64_t cluster_id) {
  if (!answered_) {
    cluster_id_ = cluster_id;
    cluster_of_ = index;
    answered_ = true;
  }
  if (cluster_id == cluster_id_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("the endpoints belong to different clusters: %s is of cluster %x and %s of "
                      "%x; give endpoints "
                      "of one",
                      channels_[cluster_of_]->endpoint().text, cluster_id_,
                      channels_[index]->endpoint().text, cluster_id));
}

absl::Status EtcdClient::AllFailed(absl::Span<const absl::Status> reasons) const {
  if (reasons.size() == 1) return Named(0, reasons[0]);
  absl::StatusCode code = reasons[0].code();
  std::string text = "no endpoint of etcd answers";
  for (size_t i = 0; i < reasons.size(); ++i) {
    if (reasons[i].code() != code) code = absl::StatusCode::kUnavailable;
    absl::StrAppend(&text, i == 0 ? ": " : "; ", channels_[i]->endpoint().text, ": ",
                    reasons[i].message());
  }
  return absl::Status(code, text);
}

absl::Status EtcdClient::TryEach(absl::FunctionRef<absl::Status(size_t index)> call) {
  std::vector<absl::Status> reasons(channels_.size());
  for (int round = 0; round < kRounds; ++round) {
    if (round > 0) absl::SleepFor(options_.retry_pause);
    for (size_t i = 0; i < channels_.size(); ++i) {
      const size_t index = (current_ + i) % channels_.size();
      const absl::Status status = call(index);
      if (status.ok()) {
        current_ = index;
        return absl::OkStatus();
      }
      if (!AnotherMayDoBetter(status)) return Named(index, status);
      reasons[index] = status;
    }
    // At the beginning there is nothing to wait for: who starts this wants to know at once.
    if (!answered_ || std::none_of(reasons.begin(), reasons.end(), absl::IsUnavailable)) break;
  }
  return AllFailed(reasons);
}

absl::Status EtcdClient::RangeAt(size_t index, const etcdserverpb::RangeRequest& request,
                                 etcdserverpb::RangeResponse& response) {
  return channels_[index]->Call(
      [&](const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext& context) {
        response.Clear();
        return etcdserverpb::KV::NewStub(channel)->Range(&context, request, &response);
      });
}

absl::StatusOr<EtcdPage> EtcdClient::Range(const PageRequest& request) {
  etcdserverpb::RangeRequest proto = ToProto(request);
  etcdserverpb::RangeResponse response;
  absl::Status mixed;  // told as it is, not as the reason of one endpoint
  const absl::Status status = TryEach([&](size_t index) {
    absl::Status called = RangeAt(index, proto, response);
    if (absl::IsOutOfRange(called) && proto.serializable()) {
      // This member lags behind the one that named the revision: have it catch up first.
      etcdserverpb::RangeRequest linearizable = proto;
      linearizable.set_serializable(false);
      called = RangeAt(index, linearizable, response);
    }
    if (!called.ok()) return called;
    mixed = CheckCluster(index, response.header().cluster_id());
    return absl::OkStatus();
  });
  KEKD_RETURN_IF_ERROR(status);
  KEKD_RETURN_IF_ERROR(mixed);
  return FromProto(response);
}

absl::StatusOr<EtcdKeyValue> EtcdClient::Get(absl::string_view key, int64_t revision) {
  KEKD_ASSIGN_OR_RETURN(EtcdPage page, Range({.range = KeyRange::Of(key), .revision = revision}));
  if (page.objects.empty()) {
    return absl::NotFoundError(absl::StrCat("etcd has no key ", absl::CHexEscape(key)));
  }
  return std::move(page.objects.front());
}

absl::StatusOr<std::vector<EtcdMember>> EtcdClient::Members() {
  std::vector<EtcdMember> members;
  std::vector<absl::Status> reasons;
  std::optional<size_t> voting;
  for (size_t i = 0; i < channels_.size(); ++i) {
    EtcdMember member;
    member.endpoint = channels_[i]->endpoint().text;
    etcdserverpb::StatusResponse response;
    member.reached = channels_[i]->Call(
        [&](const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext& context) {
          return etcdserverpb::Maintenance::NewStub(channel)->Status(
              &context, etcdserverpb::StatusRequest(), &response);
        });
    if (member.reached.ok()) {
      KEKD_RETURN_IF_ERROR(CheckCluster(i, response.header().cluster_id()));
      member.version = absl::CHexEscape(response.version());
      member.cluster_id = response.header().cluster_id();
      member.learner = response.is_learner();
      if (!voting.has_value() && !member.learner) voting = i;
      for (const std::string& error : response.errors()) {
        member.errors.push_back(absl::CHexEscape(error));
      }
    }
    reasons.push_back(member.reached);
    members.push_back(std::move(member));
  }
  if (std::all_of(reasons.begin(), reasons.end(), AnotherMayDoBetter)) return AllFailed(reasons);
  // Not again through those that are known to be dead.
  current_ = voting.value_or(current_);
  return members;
}

}  // namespace kekd
