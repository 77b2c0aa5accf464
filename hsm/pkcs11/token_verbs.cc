// What a Token does for each verb; token.cc has how it recovers, token_keys.cc what makes keys.
#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/monotonic.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/mechanism_name.h"
#include "hsm/pkcs11/mechanism_search.h"
#include "hsm/pkcs11/token.h"

namespace kekd {
namespace {

constexpr uint32_t kMostMeasurements = 100'000;

// Those of interest to whoever looks at a token.
constexpr CK_MECHANISM_TYPE kMechanisms[] = {
    CKM_AES_KEY_GEN,      CKM_AES_GCM,       CKM_AES_CBC,       CKM_AES_KEY_WRAP,
    CKM_AES_KEY_WRAP_PAD, kCkmAesKeyWrapKwp, CKM_RSA_PKCS_OAEP, CKM_SHA256_HMAC,
};

std::vector<std::string> MechanismNames(const Module& module, CK_SLOT_ID slot) {
  const absl::StatusOr<std::vector<CK_MECHANISM_TYPE>> listed = ListMechanisms(module, slot);
  if (!listed.ok()) return {};
  std::vector<std::string> names;
  for (const CK_MECHANISM_TYPE type : kMechanisms) {
    if (std::find(listed->begin(), listed->end(), type) != listed->end()) {
      names.push_back(MechanismName(type));
    }
  }
  return names;
}

// -1: not told.
int64_t Count(CK_ULONG count) {
  return count == CK_UNAVAILABLE_INFORMATION ? -1 : static_cast<int64_t>(count);
}

TokenDescription DescribeToken(const Module& module, const TokenInfo& token) {
  const CK_TOKEN_INFO& info = token.info;
  TokenDescription description;
  description.token = token.token;
  description.module = module.Description();
  description.cryptoki = module.CryptokiVersion();
  description.hardware = absl::StrCat("hardware ", VersionText(info.hardwareVersion), ", firmware ",
                                      VersionText(info.firmwareVersion));
  description.flags = info.flags;
  description.max_sessions = Count(info.ulMaxSessionCount);
  description.open_sessions = Count(info.ulSessionCount);
  description.pin_state = PinState(info.flags);
  description.mechanisms = MechanismNames(module, token.slot);
  return description;
}

// What sealing and opening call, for people.
std::pair<absl::string_view, absl::string_view> FunctionsOf(KeyMechanism mechanism) {
  if (mechanism == KeyMechanism::kGcmMessage) {
    return {"C_MessageEncryptInit + C_EncryptMessage", "C_MessageDecryptInit + C_DecryptMessage"};
  }
  switch (KindOf(mechanism)) {
    case KeyKind::kCipher:
      break;
    case KeyKind::kWrapping:
      return {"C_CreateObject + C_WrapKey", "C_UnwrapKey + C_GetAttributeValue"};
    case KeyKind::kCipherAndMac:
      return {"C_Encrypt + C_Sign", "C_Sign + C_Decrypt"};
    case KeyKind::kRsa:
      return {"RSA-OAEP without the token", "C_DecryptInit + C_Decrypt"};
  }
  return {"C_EncryptInit + C_Encrypt", "C_DecryptInit + C_Decrypt"};
}

Measurement Summarise(std::string what, std::vector<uint64_t> times) {
  std::sort(times.begin(), times.end());
  const auto at = [&](size_t percent) { return times[(times.size() - 1) * percent / 100]; };
  return {.what = std::move(what), .p50 = at(50), .p99 = at(99)};
}

}  // namespace

absl::Status Token::Encrypt(const WorkerRequest& request, Ladder& ladder,
                            WorkerResponse& response) {
  ladder.key = request.key.key;
  return Run(ladder, [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    KEKD_ASSIGN_OR_RETURN(const auto key, token.Find(request.key, lease));
    ladder.found = key;
    KEKD_ASSIGN_OR_RETURN(response.bytes, token.SealWith(*key, request.secret,
                                                         AsBytes(request.associated_data), lease));
    return absl::OkStatus();
  });
}

absl::Status Token::Decrypt(const WorkerRequest& request, Ladder& ladder,
                            WorkerResponse& response) {
  ladder.key = request.key.key;
  return Run(ladder, [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    KEKD_ASSIGN_OR_RETURN(const auto key, token.Find(request.key, lease));
    ladder.found = key;
    const auto open = [&] {
      return Open(token.module(), lease.session(), key->key(), AsBytes(request.bytes),
                  AsBytes(request.associated_data));
    };
    absl::StatusOr<SecretBytes> opened = open();
    std::optional<CkRv> rv = CkRvOf(opened.status());
    if (!opened.ok() && rv.has_value() && IsAmbiguousOnDecrypt(*rv)) {
      // Damaged data or a broken token? If the canary opens and this still does not, the data.
      KEKD_RETURN_IF_ERROR(token.OpenCanary(*key, lease));
      opened = open();
      rv = CkRvOf(opened.status());
      if (!opened.ok() && rv.has_value() && IsAmbiguousOnDecrypt(*rv)) {
        return absl::InvalidArgumentError(
            absl::StrCat("the ciphertext does not authenticate under this key (",
                         opened.status().message(), "; the token itself is fine)"));
      }
    }
    if (!opened.ok()) return opened.status();
    response.secret = *std::move(opened);
    return absl::OkStatus();
  });
}

absl::Status Token::Describe(Ladder& ladder, WorkerResponse& response) {
  absl::Status attached =
      Run(ladder, [](Attachment&, SessionPool::Lease&) { return absl::OkStatus(); });
  // A token that kekd can't log in to is described all the same, with the reason.
  ReaderLock lock(&gate_);
  if (module_ == nullptr) return attached;
  const absl::StatusOr<TokenInfo> token = FindToken(*module_, config_.token);
  if (!token.ok()) return attached.ok() ? token.status() : attached;
  response.token = DescribeToken(*module_, *token);
  response.token.pin_problem = login_.Problem(*token);
  return attached;
}

absl::Status Token::Probe(const WorkerRequest& request, Ladder& ladder) {
  ladder.key = request.key.key;
  return Run(ladder, [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    CK_SESSION_INFO info = {};
    KEKD_RETURN_IF_ERROR(
        CheckRv(token.module()->C_GetSessionInfo(lease.session(), &info), "C_GetSessionInfo"));
    if (request.key.key.empty()) return absl::OkStatus();
    KEKD_ASSIGN_OR_RETURN(const auto key, token.Find(request.key, lease));
    ladder.found = key;
    // The key on the token, not its copy: that one would outlive it.
    FoundKey original = *key;
    original.copy = {};
    return token.OpenCanary(original, lease);
  });
}

absl::Status Token::Measure(const WorkerRequest& request, Ladder& ladder,
                            WorkerResponse& response) {
  ladder.key = request.key.key;
  const uint32_t count = std::clamp<uint32_t>(request.count, 1, kMostMeasurements);
  return Run(ladder, [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    response.measurements.clear();
    KEKD_ASSIGN_OR_RETURN(const auto key, token.Find(request.key, lease));
    ladder.found = key;
    SecretBytes plaintext(32);
    KEKD_RETURN_IF_ERROR(random_.Fill(plaintext.RevealMutable(SecretAccessToken())));
    const ByteView data =
        BindsAssociatedData(request.key.mechanism) ? AsBytes("kekd/measure/1") : ByteView();
    const auto measure = [&](const std::string& what,
                             const std::function<absl::Status()>& once) -> absl::Status {
      std::vector<uint64_t> times;
      times.reserve(count);
      for (uint32_t i = 0; i < count && (i == 0 || MonotonicNow() < ladder.deadline); ++i) {
        const auto begin = std::chrono::steady_clock::now();
        KEKD_RETURN_IF_ERROR(once());
        times.push_back(static_cast<uint64_t>(
            std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count()));
      }
      response.measurements.push_back(Summarise(what, std::move(times)));
      return absl::OkStatus();
    };
    std::vector<std::pair<std::string, SealingKey>> handles = {{"32 bytes", key->token_key}};
    if (key->copy.key != 0) handles.push_back({"32 bytes, session copy of the key", key->copy});
    const auto [seals, opens] = FunctionsOf(request.key.mechanism);
    for (const auto& [how, sealing] : handles) {
      std::string sealed;
      KEKD_RETURN_IF_ERROR(measure(absl::StrCat(seals, ", ", how), [&]() -> absl::Status {
        KEKD_ASSIGN_OR_RETURN(
            sealed, Seal(token.module(), lease.session(), sealing, random_, plaintext, data));
        return absl::OkStatus();
      }));
      KEKD_RETURN_IF_ERROR(measure(absl::StrCat(opens, ", ", how), [&]() -> absl::Status {
        return Open(token.module(), lease.session(), sealing, AsBytes(sealed), data).status();
      }));
    }
    return absl::OkStatus();
  });
}

}  // namespace kekd
