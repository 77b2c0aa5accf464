// What a Token does with keys themselves: makes, adopts, destroys, lists, and tries what it can do.
#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/monotonic.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/pkcs11/key_claims.h"
#include "hsm/pkcs11/key_making.h"
#include "hsm/pkcs11/key_objects.h"
#include "hsm/pkcs11/mechanism_search.h"
#include "hsm/pkcs11/token.h"

namespace kekd {
namespace {

constexpr size_t kTrialIdBytes = 16;

KeyReference ReferenceOf(const TokenInfo& token, const KeySelector& key,
                         const FoundMechanism& found) {
  return {.token = token.token,
          .key = key,
          .mechanism = found.key.mechanism,
          .mechanism_reason = found.reason,
          .public_key = found.key.public_key,
          .made_for = ""};
}

// The reference by which a kind of key is found, before its mechanism is known.
KeyReference NameOf(KeyKind kind, const KeySelector& key) {
  KeyReference reference;
  reference.key = key;
  switch (kind) {
    case KeyKind::kCipher:
      break;
    case KeyKind::kWrapping:
      reference.mechanism = KeyMechanism::kAesKw;
      break;
    case KeyKind::kCipherAndMac:
      reference.mechanism = KeyMechanism::kAesCbcHmac;
      break;
    case KeyKind::kRsa:
      reference.mechanism = KeyMechanism::kRsaOaepSha256;
      break;
  }
  return reference;
}

absl::StatusOr<KeyDescription> DescribeWithClaims(const Module& module, CK_SESSION_HANDLE session,
                                                  CK_OBJECT_HANDLE key) {
  KEKD_ASSIGN_OR_RETURN(KeyDescription description, DescribeKey(module, session, key));
  KEKD_ASSIGN_OR_RETURN(description.claims, ReadClaims(module, session, key));
  return description;
}

absl::StatusOr<std::vector<KeyDescription>> DescribeAll(const Module& module,
                                                        CK_SESSION_HANDLE session) {
  KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> found,
                        FindAllKeys(module, session, {}));
  std::vector<KeyDescription> keys;
  for (const CK_OBJECT_HANDLE key : found) {
    KEKD_ASSIGN_OR_RETURN(keys.emplace_back(), DescribeWithClaims(module, session, key));
  }
  MatchMacKeys(keys);
  return keys;
}

// That a new key became what it was to be.
absl::StatusOr<KeyDescription> Examine(const Module& module, CK_SESSION_HANDLE session,
                                       const SealingKey& key, KeyKind kind, const NewKey& asked,
                                       Lifetime lifetime) {
  const auto describe = [&](CK_OBJECT_HANDLE object) -> absl::StatusOr<KeyDescription> {
    KEKD_ASSIGN_OR_RETURN(KeyDescription description, DescribeKey(module, session, object));
    // That it is no token object is as it should be then.
    if (lifetime == Lifetime::kSession) description.token = true;
    return description;
  };
  KEKD_ASSIGN_OR_RETURN(KeyDescription description, describe(key.key));
  KEKD_RETURN_IF_ERROR(CheckNewKey(description, kind, asked));
  if (key.mac_key != 0) {
    KEKD_ASSIGN_OR_RETURN(const KeyDescription mac, describe(key.mac_key));
    KEKD_RETURN_IF_ERROR(CheckNewMacKey(mac, asked));
  }
  return description;
}

// The one key that an operator means, of all that have the name.
absl::StatusOr<KeyDescription> FindMeant(const Module& module, CK_SESSION_HANDLE session,
                                         const KeySelector& selector) {
  KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> found,
                        FindAllKeys(module, session, selector));
  std::vector<KeyDescription> keys;
  for (const CK_OBJECT_HANDLE key : found) {
    KEKD_ASSIGN_OR_RETURN(keys.emplace_back(), DescribeKey(module, session, key));
  }
  MatchMacKeys(keys);
  const auto end = std::remove_if(
      keys.begin(), keys.end(), [](const KeyDescription& key) { return !key.belongs_to.empty(); });
  keys.erase(end, keys.end());
  if (keys.size() == 1) return keys.front();
  if (keys.empty()) {
    return absl::NotFoundError(
        absl::StrCat("the token has no secret or private key ", DescribeSelector(selector)));
  }
  return absl::FailedPreconditionError(absl::StrCat("the token has ", keys.size(), " keys ",
                                                    DescribeSelector(selector),
                                                    "; they must differ in label or id"));
}

}  // namespace

absl::Status Token::Generate(const WorkerRequest& request, Ladder& ladder,
                             WorkerResponse& response) {
  const NewKey& asked = request.new_key;
  if (asked.selector.label.empty() || asked.selector.id.empty()) {
    return absl::InvalidArgumentError("a new key needs a label and an id");
  }
  bool checked = false;
  return Run(ladder, [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    const Module& module = token.module();
    const auto write = [&] {
      return WritingSession::Open(module, token.token().slot, token.sessions());
    };
    const auto take_away = [&](KeyKind kind) -> absl::Status {
      KEKD_ASSIGN_OR_RETURN(const WritingSession writing, write());
      return DestroyKeyObjects(module, writing.session(), kind, asked.selector).status();
    };
    if (!checked) {
      // The label alone may be there: of a ring of the same name in another cluster, or of a change
      // that was begun and not committed.
      const KeySelector taken = {.label = "", .id = asked.selector.id};
      KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> there,
                            FindAllKeys(module, lease.session(), taken));
      if (!there.empty()) {
        return absl::FailedPreconditionError(absl::StrCat(
            "the token has a key ", DescribeSelector(taken), " already; adopt or destroy it"));
      }
    } else {
      // What an attempt that failed may have left; the id is this request's alone.
      for (const KeyKind kind : {KeyKind::kCipherAndMac, KeyKind::kRsa}) {
        KEKD_RETURN_IF_ERROR(take_away(kind));
      }
    }
    checked = true;
    KEKD_ASSIGN_OR_RETURN(const std::vector<CK_MECHANISM_TYPE> listed,
                          ListMechanisms(module, token.token().slot));
    KeyDescription description;
    const auto make = [&](KeyKind kind) -> absl::StatusOr<SealingKey> {
      KEKD_ASSIGN_OR_RETURN(const WritingSession writing, write());
      KEKD_ASSIGN_OR_RETURN(const SealingKey made,
                            MakeKey(module, writing.session(), kind, asked, Lifetime::kToken));
      // As every later use will: found by its name, from a session of the pool.
      KeyReference name = NameOf(kind, asked.selector);
      name.public_key = made.public_key;
      KEKD_ASSIGN_OR_RETURN(const SealingKey found, FindKey(module, lease.session(), name));
      KEKD_ASSIGN_OR_RETURN(description,
                            Examine(module, lease.session(), found, kind, asked, Lifetime::kToken));
      return found;
    };
    MechanismSearch search(module, lease, random_, listed, ladder.deadline);
    KEKD_ASSIGN_OR_RETURN(const FoundMechanism found,
                          search.Find(MechanismSearch::kAllKinds, {make, take_away}));
    response.keys.clear();
    response.keys.push_back(std::move(description));
    response.reference = ReferenceOf(token.token(), asked.selector, found);
    return absl::OkStatus();
  });
}

absl::Status Token::Adopt(const WorkerRequest& request, Ladder& ladder, WorkerResponse& response) {
  const NewKey& asked = request.new_key;
  if (asked.selector.empty()) return absl::InvalidArgumentError("a key needs a label or an id");
  return Run(ladder, [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    const Module& module = token.module();
    KEKD_ASSIGN_OR_RETURN(KeyDescription description,
                          FindMeant(module, lease.session(), asked.selector));
    KEKD_ASSIGN_OR_RETURN(const KeyKind kind, CheckAdoptedKey(description, asked));
    std::vector<KeyKind> kinds = {kind};
    if (kind == KeyKind::kCipher) kinds.push_back(KeyKind::kCipherAndMac);
    const auto make = [&](KeyKind wanted) -> absl::StatusOr<SealingKey> {
      KeyReference name = NameOf(wanted, description.selector);
      if (wanted == KeyKind::kRsa) {
        KEKD_ASSIGN_OR_RETURN(
            const std::vector<CK_OBJECT_HANDLE> pairs,
            FindKeyObjects(module, lease.session(), CKO_PRIVATE_KEY, CKK_RSA, name.key));
        if (pairs.empty()) return absl::UnavailableError("the key has just gone");
        KEKD_ASSIGN_OR_RETURN(name.public_key,
                              ReadPublicKey(module, lease.session(), pairs.front()));
      }
      // That no other key on the token could be meant by what is to name this one.
      absl::StatusOr<SealingKey> key = FindKey(module, lease.session(), name);
      if (absl::IsNotFound(key.status()) && wanted == KeyKind::kCipherAndMac) {
        return absl::FailedPreconditionError(key.status().message());
      }
      KEKD_RETURN_IF_ERROR(key.status());
      if (wanted == KeyKind::kCipherAndMac) {
        KEKD_ASSIGN_OR_RETURN(const KeyDescription mac,
                              DescribeKey(module, lease.session(), key->mac_key));
        KEKD_RETURN_IF_ERROR(CheckAdoptedMacKey(mac, asked));
      }
      return key;
    };
    KEKD_ASSIGN_OR_RETURN(const std::vector<CK_MECHANISM_TYPE> listed,
                          ListMechanisms(module, token.token().slot));
    MechanismSearch search(module, lease, random_, listed, ladder.deadline);
    KEKD_ASSIGN_OR_RETURN(const FoundMechanism found,
                          search.Find(kinds, {make, [](KeyKind) { return absl::OkStatus(); }}));
    response.reference = ReferenceOf(token.token(), description.selector, found);
    response.keys.clear();
    response.keys.push_back(std::move(description));
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
  const auto destroy = [&](Attachment& token, SessionPool::Lease&) -> absl::Status {
    const Module& module = token.module();
    const TokenSelector& meant = request.key.token;
    const TokenSelector& here = token.token().token;
    const auto differs = [](absl::string_view a, absl::string_view b) {
      return !a.empty() && a != b;
    };
    // Some modules give all their tokens one serial (tpm2-pkcs11).
    if (differs(meant.serial, here.serial) || differs(meant.label, here.label)) {
      return absl::FailedPreconditionError(
          absl::StrCat("nothing is destroyed: the key ", DescribeSelector(request.key.key),
                       " is on the token '", meant.label, "' with serial '", meant.serial,
                       "', this one is '", here.label, "' with serial '", here.serial, "'"));
    }
    KEKD_ASSIGN_OR_RETURN(const WritingSession writing,
                          WritingSession::Open(module, token.token().slot, token.sessions()));
    token.Forget(request.key.key);
    KEKD_ASSIGN_OR_RETURN(const size_t destroyed,
                          DestroyKeyObjects(module, writing.session(),
                                            KindOf(request.key.mechanism), request.key.key));
    if (destroyed == 0) {
      // A module that shows other keys has neither lost its token nor its login.
      KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> others,
                            FindAllKeys(module, writing.session(), {}));
      if (!others.empty()) {
        known_keys_.Forget(request.key.key);
        return absl::OkStatus();
      }
      ++missed;
      return absl::NotFoundError(
          absl::StrCat("the token has no key ", DescribeSelector(request.key.key)));
    }
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
    KEKD_ASSIGN_OR_RETURN(response.keys, DescribeAll(token.module(), lease.session()));
    return absl::OkStatus();
  });
}

absl::Status Token::Attest(const WorkerRequest& request, Ladder& ladder, WorkerResponse& response) {
  ladder.key = request.key.key;
  return Run(ladder, [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    const Module& module = token.module();
    response.keys.clear();
    // Looked for anew: a handle that is held may be of what was there before.
    KEKD_ASSIGN_OR_RETURN(const SealingKey found, FindKey(module, lease.session(), request.key));
    for (const CK_OBJECT_HANDLE object : {found.key, found.mac_key}) {
      if (object == 0) continue;
      KEKD_ASSIGN_OR_RETURN(response.keys.emplace_back(),
                            DescribeWithClaims(module, lease.session(), object));
    }
    MatchMacKeys(response.keys);
    return absl::OkStatus();
  });
}

absl::Status Token::Try(Ladder& ladder, WorkerResponse& response) {
  return Run(ladder, [&](Attachment& token, SessionPool::Lease& lease) -> absl::Status {
    const Module& module = token.module();
    NewKey trial;
    trial.selector.label = "kekd-trial";
    trial.selector.id.resize(kTrialIdBytes);
    KEKD_RETURN_IF_ERROR(random_.Fill(AsWritableBytes(trial.selector.id)));
    // Of a session of its own: the lease's are closed after what fails, and their objects with
    // them.
    KEKD_ASSIGN_OR_RETURN(const WritingSession objects,
                          WritingSession::Open(module, token.token().slot, token.sessions()));
    SealingKey made;
    const auto make = [&](KeyKind kind) -> absl::StatusOr<SealingKey> {
      KEKD_ASSIGN_OR_RETURN(made,
                            MakeKey(module, objects.session(), kind, trial, Lifetime::kSession));
      KEKD_RETURN_IF_ERROR(
          Examine(module, objects.session(), made, kind, trial, Lifetime::kSession).status());
      return made;
    };
    const auto take_away = [&](KeyKind) -> absl::Status {
      for (CK_OBJECT_HANDLE* object : {&made.key, &made.mac_key}) {
        if (*object != 0) module->C_DestroyObject(objects.session(), std::exchange(*object, 0));
      }
      return absl::OkStatus();
    };
    KEKD_ASSIGN_OR_RETURN(const std::vector<CK_MECHANISM_TYPE> listed,
                          ListMechanisms(module, token.token().slot));
    MechanismSearch search(module, lease, random_, listed, ladder.deadline);
    KEKD_ASSIGN_OR_RETURN(response.trials, search.TryAll({make, take_away}));
    return absl::OkStatus();
  });
}

}  // namespace kekd
