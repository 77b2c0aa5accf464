#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "base/uuid.h"
#include "kms/ctl/check_report.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/kms_client.h"
#include "kms/ctl/table_output.h"
#include "kms/ctl/terminal.h"

namespace kekd {
namespace {

// kube-apiserver's limits and those of kekd (docs/formats.md).
constexpr size_t kMaxKeyIdBytes = 1024;
constexpr size_t kMaxCiphertextBytes = 1024;
constexpr size_t kMaxPlaintextBytes = 512;
constexpr size_t kSeedBytes = 32;

absl::StatusOr<std::string> RandomText(size_t size) {
  // A plaintext of ours that protects nothing: no secret.
  std::string text(size, '\0');
  KEKD_RETURN_IF_ERROR(RandomSource::System().Fill(AsWritableBytes(text)));
  return text;
}

absl::StatusOr<std::string> NewUid() {
  KEKD_ASSIGN_OR_RETURN(const Uuid uid, Uuid::Random(RandomSource::System()));
  return uid.ToString();
}

CheckReport::Latency LatencyOf(std::vector<absl::Duration> durations) {
  std::sort(durations.begin(), durations.end());
  const auto percentile = [&](size_t percent) {
    return durations[(durations.size() - 1) * percent / 100];
  };
  return {.count = static_cast<uint32_t>(durations.size()),
          .p50 = percentile(50),
          .p99 = percentile(99),
          .max = durations.back()};
}

// Runs the checks one after the other; each uses what those before it have found.
class Checker final {
 public:
  Checker(const KmsClient& client, ProgressStyle progress, CheckReport& report)
      : client_(client), progress_(progress), report_(report) {}

  // Error only if there is nothing to check: kekd does not talk to us.
  absl::Status Run(uint32_t count) {
    KEKD_RETURN_IF_ERROR(CheckStatus());
    KEKD_ASSIGN_OR_RETURN(seed_, RandomText(kSeedBytes));
    if (!CheckRoundTrip()) return absl::OkStatus();
    CheckFreshNonces();
    CheckRefusals();
    return count == 0 ? absl::OkStatus() : Measure(count);
  }

 private:
  bool Note(absl::string_view name, absl::Status status, absl::string_view detail = "") {
    const bool ok = status.ok();
    report_.items.push_back({std::string(name), std::move(status), std::string(detail)});
    return ok;
  }

  absl::Status CheckStatus() {
    const absl::StatusOr<v2::StatusResponse> status = client_.Status();
    // An answer with an error is a check that failed; without an answer there is nothing to check.
    if (absl::IsDeadlineExceeded(status.status())) return status.status();
    if (!status.ok() && client_.Broken()) return status.status();
    if (!Note("Status answers", status.status())) return absl::OkStatus();
    key_id_ = status->key_id();
    Note("Status: version is v2",
         status->version() == "v2"
             ? absl::OkStatus()
             : absl::InternalError(absl::StrCat("it is \"", status->version(), "\"")));
    Note("Status: healthz is ok",
         status->healthz() == "ok" ? absl::OkStatus() : absl::InternalError(status->healthz()));
    Note("Status: key_id has 1 to 1024 bytes",
         !key_id_.empty() && key_id_.size() <= kMaxKeyIdBytes
             ? absl::OkStatus()
             : absl::InternalError(absl::StrCat("it has ", key_id_.size())),
         key_id_);
    return absl::OkStatus();
  }

  absl::StatusOr<v2::EncryptResponse> Encrypt(const std::string& plaintext) const {
    v2::EncryptRequest request;
    KEKD_ASSIGN_OR_RETURN(*request.mutable_uid(), NewUid());
    request.set_plaintext(plaintext);
    return client_.Encrypt(request);
  }

  absl::StatusOr<std::string> Decrypt(const v2::DecryptRequest& like) const {
    v2::DecryptRequest request = like;
    KEKD_ASSIGN_OR_RETURN(*request.mutable_uid(), NewUid());
    KEKD_ASSIGN_OR_RETURN(const v2::DecryptResponse response, client_.Decrypt(request));
    return response.plaintext();
  }

  // What kube-apiserver itself demands of an Encrypt answer.
  absl::Status ValidateEncrypted(const v2::EncryptResponse& encrypted) const {
    const size_t size = encrypted.ciphertext().size();
    if (size == 0 || size > kMaxCiphertextBytes) {
      return absl::InternalError(absl::StrCat("the ciphertext has ", size, " bytes"));
    }
    if (encrypted.key_id() != key_id_) {
      return absl::InternalError(
          absl::StrCat("its key_id \"", encrypted.key_id(), "\" is not that of Status"));
    }
    if (!encrypted.annotations().empty()) {
      return absl::InternalError("it has annotations, which kekd never makes");
    }
    return absl::OkStatus();
  }

  bool CheckRoundTrip() {
    const absl::StatusOr<v2::EncryptResponse> encrypted = Encrypt(seed_);
    if (!Note("Encrypt answers", encrypted.status())) return false;
    Note("Encrypt: ciphertext, key_id and annotations are as they must be",
         ValidateEncrypted(*encrypted),
         absl::StrCat("ciphertext of ", encrypted->ciphertext().size(), " bytes"));
    good_.set_ciphertext(encrypted->ciphertext());
    good_.set_key_id(encrypted->key_id());
    const absl::StatusOr<std::string> decrypted = Decrypt(good_);
    if (!decrypted.ok()) return Note("round trip", decrypted.status());
    return Note("round trip", *decrypted == seed_
                                  ? absl::OkStatus()
                                  : absl::DataLossError("Decrypt gave another plaintext back"));
  }

  void CheckFreshNonces() {
    const absl::StatusOr<v2::EncryptResponse> again = Encrypt(seed_);
    absl::Status status = again.status();
    if (again.ok() && again->ciphertext() == good_.ciphertext()) {
      status = absl::InternalError("both ciphertexts are the same");
    }
    Note("the same plaintext encrypts to something else each time", std::move(status));
  }

  template <typename T>
  void ExpectRefused(absl::string_view what, const absl::StatusOr<T>& answer,
                     absl::StatusCode code) {
    absl::Status status;
    if (answer.ok()) {
      status = absl::InternalError("it was answered");
    } else if (answer.status().code() != code) {
      status = absl::InternalError(
          absl::StrCat("the answer is ", absl::StatusCodeToString(answer.status().code()), ", not ",
                       absl::StatusCodeToString(code), ": ", answer.status().message()));
    }
    Note(absl::StrCat("refuses ", what), std::move(status), absl::StatusCodeToString(code));
  }

  void CheckRefusals() {
    const auto invalid = absl::StatusCode::kInvalidArgument;
    v2::DecryptRequest request = good_;
    request.mutable_ciphertext()->back() ^= 1;
    ExpectRefused("an altered ciphertext", Decrypt(request), invalid);

    request = good_;
    request.mutable_key_id()->back() = request.key_id().back() == '0' ? '1' : '0';
    ExpectRefused("an unknown key_id", Decrypt(request), absl::StatusCode::kNotFound);

    request = good_;
    request.mutable_annotations()->insert({"check.kekd.dev", "x"});
    ExpectRefused("an annotation", Decrypt(request), invalid);

    request = good_;
    request.clear_ciphertext();
    ExpectRefused("an empty ciphertext", Decrypt(request), invalid);

    request = good_;
    request.mutable_ciphertext()->resize(kMaxCiphertextBytes + 1);
    ExpectRefused("a ciphertext of 1025 bytes", Decrypt(request), invalid);

    ExpectRefused("an empty plaintext", Encrypt(""), invalid);
    ExpectRefused("a plaintext of 513 bytes", Encrypt(std::string(kMaxPlaintextBytes + 1, 'x')),
                  invalid);
  }

  absl::Status Measure(uint32_t count) {
    std::vector<absl::Duration> encrypts;
    std::vector<absl::Duration> decrypts;
    Progress progress({.what = "measuring calls", .total = count, .style = progress_});
    for (uint32_t i = 0; i < count; ++i) {
      progress.Update(i);
      const absl::Time begin = absl::Now();
      const absl::Status encrypted = Encrypt(seed_).status();
      const absl::Time middle = absl::Now();
      const absl::Status decrypted = Decrypt(good_).status();
      const absl::Time end = absl::Now();
      for (const absl::Status& status : {encrypted, decrypted}) {
        if (!status.ok()) {
          Note("answers every call", WithContext(status, absl::StrCat("call ", i + 1)));
          return absl::OkStatus();
        }
      }
      encrypts.push_back(middle - begin);
      decrypts.push_back(end - middle);
    }
    report_.encrypt = LatencyOf(std::move(encrypts));
    report_.decrypt = LatencyOf(std::move(decrypts));
    return absl::OkStatus();
  }

  const KmsClient& client_;
  const ProgressStyle progress_;
  CheckReport& report_;
  std::string key_id_;
  std::string seed_;
  v2::DecryptRequest good_;  // what Decrypt must open
};

}  // namespace

absl::StatusOr<CommandResult> Check(const CommandContext& context, const CheckVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  const absl::StatusOr<KmsClient> client = KmsClient::Connect(keyring->socket);
  if (absl::IsNotFound(client.status())) {
    return absl::UnavailableError(client.status().message());
  }
  if (!client.ok()) return client.status();
  CheckReport report;
  report.keyring = keyring->name;
  report.endpoint = keyring->socket.Endpoint();
  KEKD_RETURN_IF_ERROR(Checker(*client, context.progress, report).Run(verb.count));
  CommandResult result;
  result.output = context.format == OutputFormat::kJson ? CheckJson(report)
                                                        : CheckTable(report, context.colors);
  if (!report.Passed()) {
    result.exit_code = kExitFailure;
    result.note =
        absl::StrCat("keyring ", keyring->name, " does not answer as an API server needs");
  }
  return result;
}

}  // namespace kekd
