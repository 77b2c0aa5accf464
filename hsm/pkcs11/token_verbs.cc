// What a Token does for each verb; token.cc has how it recovers.
#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/monotonic.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/pkcs11/gcm.h"
#include "hsm/pkcs11/key_objects.h"
#include "hsm/pkcs11/token.h"

namespace kekd {
namespace {

constexpr uint32_t kMostMeasurements = 100'000;

struct NamedMechanism {
  CK_MECHANISM_TYPE type;
  const char* name;
};
constexpr NamedMechanism kMechanisms[] = {
    {CKM_AES_KEY_GEN, "CKM_AES_KEY_GEN"},
    {CKM_AES_GCM, "CKM_AES_GCM"},
    {CKM_AES_CBC_PAD, "CKM_AES_CBC_PAD"},
    {CKM_AES_KEY_WRAP, "CKM_AES_KEY_WRAP"},
    {CKM_AES_KEY_WRAP_PAD, "CKM_AES_KEY_WRAP_PAD"},
    {0x210b, "CKM_AES_KEY_WRAP_KWP"},  // PKCS#11 3.0
    {CKM_RSA_PKCS_OAEP, "CKM_RSA_PKCS_OAEP"},
    {CKM_SHA256_HMAC, "CKM_SHA256_HMAC"},
};

std::vector<std::string> MechanismNames(const Module& module, CK_SLOT_ID slot) {
  CK_ULONG count = 0;
  if (module->C_GetMechanismList(slot, nullptr, &count) != CKR_OK) return {};
  std::vector<CK_MECHANISM_TYPE> listed(count);
  if (module->C_GetMechanismList(slot, listed.data(), &count) != CKR_OK) return {};
  listed.resize(std::min<size_t>(count, listed.size()));
  std::vector<std::string> names;
  for (const NamedMechanism& mechanism : kMechanisms) {
    if (std::find(listed.begin(), listed.end(), mechanism.type) != listed.end()) {
      names.push_back(mechanism.name);
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

KeyReference ReferenceOf(const TokenInfo& token, const KeySelector& key,
                         const FoundMechanism& mechanism) {
  return {.token = token.token,
          .key = key,
          .mechanism = mechanism.mechanism,
          .mechanism_reason = mechanism.reason};
}

// That no other key on the token could be meant by what is to name this one.
absl::Status CheckUnique(const Module& module, CK_SESSION_HANDLE session, const KeySelector& key) {
  return FindSecretKey(module, session, key).status();
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
    KEKD_ASSIGN_OR_RETURN(response.bytes, token.Seal(*key, request.key.mechanism, request.secret,
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
      return GcmOpen(token.module(), lease.session(), key->handle(), request.key.mechanism,
                     AsBytes(request.bytes), AsBytes(request.associated_data));
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

absl::Status Token::Generate(const WorkerRequest& request, Ladder& ladder,
                             WorkerResponse& response) {
  const NewKey& asked = request.new_key;
  if (asked.selector.label.empty() || asked.selector.id.empty()) {
    return absl::InvalidArgumentError("a new key needs a label and an id");
  }
  bool checked = false;
  return Run(ladder, [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    const Module& module = token.module();
    // The label alone may be there: of a ring of the same name in another cluster, or of a change
    // that was begun and not committed.
    const KeySelector taken = {.id = asked.selector.id};
    KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> there,
                          FindSecretKeys(module, lease.session(), taken));
    if (!there.empty() && !checked) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the token has a key ", DescribeSelector(taken), " already; adopt or destroy it"));
    }
    KEKD_ASSIGN_OR_RETURN(const WritingSession writing,
                          WritingSession::Open(module, token.token().slot, token.sessions()));
    if (checked) {
      // What an attempt that failed may have left; the id is this request's alone.
      KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> left,
                            FindSecretKeys(module, lease.session(), asked.selector));
      for (const CK_OBJECT_HANDLE key : left) {
        KEKD_RETURN_IF_ERROR(
            CheckRv(module->C_DestroyObject(writing.session(), key), "C_DestroyObject"));
      }
    }
    checked = true;
    KEKD_ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE made,
                          GenerateAesKey(module, writing.session(), asked));
    absl::StatusOr<FoundMechanism> mechanism;
    const auto examine = [&]() -> absl::Status {
      KEKD_ASSIGN_OR_RETURN(KeyDescription description,
                            DescribeKey(module, writing.session(), made));
      KEKD_RETURN_IF_ERROR(CheckNewKey(description, asked));
      // As every later use will: found by its name, from a session of the pool.
      KEKD_ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE found,
                            FindSecretKey(module, lease.session(), asked.selector));
      mechanism = FindGcmIv(module, lease, found, random_);
      KEKD_RETURN_IF_ERROR(mechanism.status());
      response.keys.assign(1, std::move(description));
      return absl::OkStatus();
    };
    absl::Status examined = examine();
    if (!examined.ok()) {
      const CK_RV rv = module->C_DestroyObject(writing.session(), made);
      if (rv == CKR_OK) return examined;
      return WithContext(examined, absl::StrCat("a new key that is left on the token (",
                                                CkRvError(rv, "C_DestroyObject").message(), ")"));
    }
    response.reference = ReferenceOf(token.token(), asked.selector, *mechanism);
    return absl::OkStatus();
  });
}

absl::Status Token::Adopt(const WorkerRequest& request, Ladder& ladder, WorkerResponse& response) {
  const NewKey& asked = request.new_key;
  if (asked.selector.empty()) return absl::InvalidArgumentError("a key needs a label or an id");
  return Run(ladder, [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    const Module& module = token.module();
    KEKD_ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE key,
                          FindSecretKey(module, lease.session(), asked.selector));
    KEKD_ASSIGN_OR_RETURN(KeyDescription description, DescribeKey(module, lease.session(), key));
    KEKD_RETURN_IF_ERROR(CheckAdoptedKey(description, asked));
    KEKD_RETURN_IF_ERROR(CheckUnique(module, lease.session(), description.selector));
    KEKD_ASSIGN_OR_RETURN(const FoundMechanism mechanism, FindGcmIv(module, lease, key, random_));
    response.reference = ReferenceOf(token.token(), description.selector, mechanism);
    response.keys.assign(1, std::move(description));
    return absl::OkStatus();
  });
}

absl::Status Token::Destroy(const WorkerRequest& request, Ladder& ladder) {
  // What can't be undone is done to the one key that is meant only. A label can be another's too,
  // and a token that was cloned has the key as well.
  if (request.key.key.id.empty()) {
    return absl::FailedPreconditionError("a key without an id is not destroyed");
  }
  ladder.key = request.key.key;
  ladder.confirm = true;
  int missed = 0;
  const auto destroy = [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    const Module& module = token.module();
    const std::string& serial = request.key.token.serial;
    if (!serial.empty() && serial != token.token().token.serial) {
      return absl::FailedPreconditionError(
          absl::StrCat("nothing is destroyed: the key ", DescribeSelector(request.key.key),
                       " is on the token with serial '", serial, "', this one has '",
                       token.token().token.serial, "'"));
    }
    const absl::StatusOr<CK_OBJECT_HANDLE> found =
        FindSecretKey(module, lease.session(), request.key.key);
    if (absl::IsNotFound(found.status())) ++missed;
    KEKD_ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE key, found);
    KEKD_ASSIGN_OR_RETURN(const WritingSession writing,
                          WritingSession::Open(module, token.token().slot, token.sessions()));
    token.Forget(request.key.key);
    KEKD_RETURN_IF_ERROR(
        CheckRv(module->C_DestroyObject(writing.session(), key), "C_DestroyObject"));
    known_keys_.Forget(request.key.key);
    return absl::OkStatus();
  };
  for (;;) {
    absl::Status destroyed = Run(ladder, destroy);
    if (!absl::IsNotFound(destroyed)) return destroyed;
    // A module that has lost its token finds nothing either: believed only of one found anew.
    if (missed > 1) return absl::OkStatus();
    if (MonotonicNow() + kRecoveryPause > ladder.deadline) return destroyed;
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(kRecoveryPause));
    ladder = Ladder{.deadline = ladder.deadline, .key = ladder.key, .confirm = true};
    missed = 0;
  }
}

absl::Status Token::List(Ladder& ladder, WorkerResponse& response) {
  return Run(ladder, [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    response.keys.clear();
    KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> keys,
                          FindSecretKeys(token.module(), lease.session(), {}));
    for (const CK_OBJECT_HANDLE key : keys) {
      KEKD_ASSIGN_OR_RETURN(KeyDescription description,
                            DescribeKey(token.module(), lease.session(), key));
      response.keys.push_back(std::move(description));
    }
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
    original.copy = 0;
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
    const ByteView data = AsBytes("kekd/measure/1");
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
    std::vector<std::pair<std::string, CK_OBJECT_HANDLE>> handles = {{"32 bytes", key->token_key}};
    if (key->copy != 0) handles.push_back({"32 bytes, session copy of the key", key->copy});
    for (const auto& [how, handle] : handles) {
      std::string sealed;
      KEKD_RETURN_IF_ERROR(
          measure(absl::StrCat("C_EncryptInit + C_Encrypt, ", how), [&]() -> absl::Status {
            KEKD_ASSIGN_OR_RETURN(sealed, GcmSeal(token.module(), lease.session(), handle,
                                                  request.key.mechanism, random_, plaintext, data));
            return absl::OkStatus();
          }));
      KEKD_RETURN_IF_ERROR(
          measure(absl::StrCat("C_DecryptInit + C_Decrypt, ", how), [&]() -> absl::Status {
            return GcmOpen(token.module(), lease.session(), handle, request.key.mechanism,
                           AsBytes(sealed), data)
                .status();
          }));
    }
    return absl::OkStatus();
  });
}

}  // namespace kekd
