#include "bench/latency.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "bench/kms_client.h"
#include "bench/measurement.h"
#include "bench/ping_pong.h"
#include "bench/stub_client.h"
#include "bench/thin_client.h"
#include "bench/unix_socket.h"

namespace kekd::bench {
namespace {

constexpr size_t kPlaintextBytes = 32;   // a DEK seed, all that an API server ever encrypts
constexpr size_t kCiphertextBytes = 78;  // header 6, nonce 24, the seed, tag 16
constexpr absl::string_view kUid = "6f6b1c5e-8d1f-4c39-9d52-0c7a3ce5b1aa";
constexpr int kWarmUpShare = 10;  // a tenth of the calls goes before each round, unmeasured

absl::StatusOr<pid_t> ServerPid(absl::string_view socket) {
  KEKD_ASSIGN_OR_RETURN(const UniqueFd fd, ConnectUnix(socket));
  return PeerPid(fd.get());
}

// The three calls of one client, each checked. The requests are made once: what varies in them
// costs nothing here, and the answer to one tells the next.
class CheckedClient final {
 public:
  static absl::StatusOr<std::unique_ptr<CheckedClient>> Create(std::unique_ptr<KmsClient> client) {
    std::unique_ptr<CheckedClient> checked(new CheckedClient(std::move(client)));
    KEKD_RETURN_IF_ERROR(checked->Encrypt());
    checked->decrypt_request_.set_ciphertext(checked->encrypt_response_.ciphertext());
    checked->decrypt_request_.set_key_id(checked->encrypt_response_.key_id());
    checked->decrypt_request_.set_uid(kUid.data(), kUid.size());
    return checked;
  }

  absl::Status Status() {
    ++calls_;
    KEKD_RETURN_IF_ERROR(client_->Status(status_request_, status_response_));
    if (status_response_.version() == "v2" && status_response_.healthz() == "ok") {
      return absl::OkStatus();
    }
    return absl::InternalError(absl::StrCat("healthz: ", status_response_.healthz()));
  }

  absl::Status Encrypt() {
    ++calls_;
    KEKD_RETURN_IF_ERROR(client_->Encrypt(encrypt_request_, encrypt_response_));
    if (encrypt_response_.ciphertext().size() == kCiphertextBytes &&
        !encrypt_response_.key_id().empty()) {
      return absl::OkStatus();
    }
    return absl::InternalError(absl::StrCat("the ciphertext has ",
                                            encrypt_response_.ciphertext().size(), " bytes, not ",
                                            kCiphertextBytes));
  }

  absl::Status Decrypt() {
    ++calls_;
    KEKD_RETURN_IF_ERROR(client_->Decrypt(decrypt_request_, decrypt_response_));
    if (decrypt_response_.plaintext() == encrypt_request_.plaintext()) return absl::OkStatus();
    return absl::InternalError("Decrypt answers other bytes than were encrypted");
  }

  int64_t calls() const { return calls_; }

 private:
  explicit CheckedClient(std::unique_ptr<KmsClient> client) : client_(std::move(client)) {
    encrypt_request_.set_plaintext(std::string(kPlaintextBytes, 'p'));
    encrypt_request_.set_uid(kUid.data(), kUid.size());
  }

  const std::unique_ptr<KmsClient> client_;
  const ::v2::StatusRequest status_request_;
  ::v2::EncryptRequest encrypt_request_;
  ::v2::DecryptRequest decrypt_request_;
  ::v2::StatusResponse status_response_;
  ::v2::EncryptResponse encrypt_response_;
  ::v2::DecryptResponse decrypt_response_;
  int64_t calls_ = 0;
};

struct Target {
  Series series;
  ProcessCpuClock server_cpu;
  std::function<absl::Status()> call;
};

absl::Status MeasureRound(Target& target, int calls) {
  for (int i = 0; i < calls / kWarmUpShare; ++i) KEKD_RETURN_IF_ERROR(target.call());
  std::vector<double> micros(static_cast<size_t>(calls));
  KEKD_ASSIGN_OR_RETURN(const double cpu_begin, target.server_cpu.Micros());
  double begin = SteadyMicros();
  for (double& time : micros) {
    KEKD_RETURN_IF_ERROR(target.call());
    const double end = SteadyMicros();
    time = end - begin;
    begin = end;
  }
  KEKD_ASSIGN_OR_RETURN(const double cpu_end, target.server_cpu.Micros());
  target.series.rounds.push_back({.p50 = Percentile(micros, 50),
                                  .p99 = Percentile(micros, 99),
                                  .server_cpu = (cpu_end - cpu_begin) / calls});
  return absl::OkStatus();
}

class Measurement final {
 public:
  explicit Measurement(const LatencyOptions& options) : options_(options) {}

  absl::StatusOr<LatencyReport> Run() {
    KEKD_ASSIGN_OR_RETURN(const pid_t kekd, ServerPid(options_.kekd));
    KEKD_ASSIGN_OR_RETURN(const int64_t kib_before, ResidentKib(kekd));
    KEKD_RETURN_IF_ERROR(AddTargets());
    for (int round = 0; round < options_.rounds; ++round) {
      for (Target& target : targets_) {
        KEKD_RETURN_IF_ERROR(WithContext(MeasureRound(target, options_.calls), target.series.name));
      }
    }
    LatencyReport report;
    for (Target& target : targets_) report.series.push_back(std::move(target.series));
    KEKD_RETURN_IF_ERROR(CallUntilEnough());
    KEKD_ASSIGN_OR_RETURN(const int64_t kib_after, ResidentKib(kekd));
    report.memory = {CallsToKekd(), kib_before, kib_after};
    return report;
  }

 private:
  absl::Status AddTargets() {
    KEKD_ASSIGN_OR_RETURN(ping_pong_, PingPongClient::Connect(options_.ping_pong));
    KEKD_RETURN_IF_ERROR(Add("ping-pong", "raw", options_.ping_pong,
                             [client = ping_pong_.get()] { return client->RoundTrip(); }));
    KEKD_ASSIGN_OR_RETURN(std::unique_ptr<KmsClient> to_empty, ThinClient::Connect(options_.empty));
    KEKD_ASSIGN_OR_RETURN(std::unique_ptr<KmsClient> to_kekd, ThinClient::Connect(options_.kekd));
    KEKD_RETURN_IF_ERROR(AddCalls("thin", std::move(to_empty), std::move(to_kekd)));
    if (!options_.stub) return absl::OkStatus();
    return AddCalls("stub", CreateStubClient(options_.empty), CreateStubClient(options_.kekd));
  }

  absl::Status AddCalls(absl::string_view kind, std::unique_ptr<KmsClient> to_empty,
                        std::unique_ptr<KmsClient> to_kekd) {
    KEKD_ASSIGN_OR_RETURN(CheckedClient* const empty,
                          Keep(CheckedClient::Create(std::move(to_empty)), empty_clients_));
    KEKD_ASSIGN_OR_RETURN(CheckedClient* const kekd,
                          Keep(CheckedClient::Create(std::move(to_kekd)), kekd_clients_));
    KEKD_RETURN_IF_ERROR(
        Add("empty Encrypt", kind, options_.empty, [empty] { return empty->Encrypt(); }));
    KEKD_RETURN_IF_ERROR(
        Add("kekd Encrypt", kind, options_.kekd, [kekd] { return kekd->Encrypt(); }));
    KEKD_RETURN_IF_ERROR(
        Add("kekd Decrypt", kind, options_.kekd, [kekd] { return kekd->Decrypt(); }));
    return Add("kekd Status", kind, options_.kekd, [kekd] { return kekd->Status(); });
  }

  using Clients = std::vector<std::unique_ptr<CheckedClient>>;
  static absl::StatusOr<CheckedClient*> Keep(absl::StatusOr<std::unique_ptr<CheckedClient>> client,
                                             Clients& clients) {
    if (!client.ok()) return client.status();
    clients.push_back(*std::move(client));
    return clients.back().get();
  }

  absl::Status Add(absl::string_view name, absl::string_view client, absl::string_view socket,
                   std::function<absl::Status()> call) {
    KEKD_ASSIGN_OR_RETURN(const pid_t pid, ServerPid(socket));
    KEKD_ASSIGN_OR_RETURN(const ProcessCpuClock cpu, ProcessCpuClock::Create(pid));
    targets_.push_back({{std::string(name), std::string(client), {}}, cpu, std::move(call)});
    return absl::OkStatus();
  }

  int64_t CallsToKekd() const {
    int64_t calls = 0;
    for (const auto& client : kekd_clients_) calls += client->calls();
    return calls;
  }

  absl::Status CallUntilEnough() {
    CheckedClient& client = *kekd_clients_.front();
    while (CallsToKekd() < options_.calls_for_memory) {
      KEKD_RETURN_IF_ERROR(client.Encrypt());
      KEKD_RETURN_IF_ERROR(client.Decrypt());
    }
    return absl::OkStatus();
  }

  const LatencyOptions& options_;
  std::unique_ptr<PingPongClient> ping_pong_;
  Clients empty_clients_;
  Clients kekd_clients_;
  std::vector<Target> targets_;
};

}  // namespace

absl::StatusOr<LatencyReport> MeasureLatency(const LatencyOptions& options) {
  return Measurement(options).Run();
}

}  // namespace kekd::bench
