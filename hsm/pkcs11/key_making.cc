#include "hsm/pkcs11/key_making.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/attributes.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/pkcs11/key_objects.h"
#include "hsm/pkcs11/mechanism_search.h"

namespace kekd {
namespace {

constexpr CK_ULONG kKeyBytes = 32;
constexpr CK_ULONG kRsaSizes[] = {3072, 2048};
unsigned char kExponent[] = {1, 0, 1};

// `make` with the attributes that are needed and as many of those that are wanted as the module
// takes, the least known last. The defaults of those that are left out show when the key is read
// back.
CK_RV MakeWithout(const std::vector<CK_ATTRIBUTE>& needed, const std::vector<CK_ATTRIBUTE>& wanted,
                  absl::FunctionRef<CK_RV(std::vector<CK_ATTRIBUTE>&)> make) {
  for (size_t left_out = 0;; ++left_out) {
    std::vector<CK_ATTRIBUTE> attributes = needed;
    attributes.insert(attributes.end(), wanted.begin(),
                      wanted.end() - static_cast<ptrdiff_t>(left_out));
    const CK_RV rv = make(attributes);
    const bool unknown =
        rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID ||
        rv == CKR_TEMPLATE_INCONSISTENT ||
        // NSS 3.87 of a token key with CKA_COPYABLE, which its database can't keep.
        (rv == CKR_GENERAL_ERROR && left_out == 0 && wanted.back().type == CKA_COPYABLE);
    if (!unknown || left_out == wanted.size()) return rv;
  }
}

// What is common to keys that stay secret.
std::vector<CK_ATTRIBUTE> Common(const KeySelector& name, Lifetime lifetime) {
  return {TextAttribute(CKA_LABEL, name.label),
          TextAttribute(CKA_ID, name.id),
          FlagAttribute(CKA_TOKEN, lifetime == Lifetime::kToken),
          FlagAttribute(CKA_PRIVATE, true),
          FlagAttribute(CKA_SENSITIVE, true),
          FlagAttribute(CKA_EXTRACTABLE, false)};
}

absl::StatusOr<CK_OBJECT_HANDLE> MakeSecret(const Module& module, CK_SESSION_HANDLE session,
                                            CK_MECHANISM_TYPE type,
                                            std::vector<CK_ATTRIBUTE> needed,
                                            const std::vector<CK_ATTRIBUTE>& wanted) {
  CK_ULONG bytes = kKeyBytes;
  needed.push_back(NumberAttribute(CKA_VALUE_LEN, bytes));
  CK_MECHANISM mechanism = {type, nullptr, 0};
  CK_OBJECT_HANDLE made = 0;
  const CK_RV rv = MakeWithout(needed, wanted, [&](std::vector<CK_ATTRIBUTE>& attributes) {
    return module->C_GenerateKey(session, &mechanism, attributes.data(), attributes.size(), &made);
  });
  KEKD_RETURN_IF_ERROR(CheckRv(rv, "C_GenerateKey"));
  return made;
}

absl::StatusOr<CK_OBJECT_HANDLE> MakeAesKey(const Module& module, CK_SESSION_HANDLE session,
                                            KeyKind kind, const NewKey& key, Lifetime lifetime) {
  CK_ULONG secret_key = CKO_SECRET_KEY;
  CK_ULONG aes = CKK_AES;
  const bool wraps = kind == KeyKind::kWrapping;
  std::vector<CK_ATTRIBUTE> needed = Common(key.selector, lifetime);
  needed.insert(needed.end(),
                {NumberAttribute(CKA_CLASS, secret_key), NumberAttribute(CKA_KEY_TYPE, aes),
                 FlagAttribute(wraps ? CKA_WRAP : CKA_ENCRYPT, true),
                 FlagAttribute(wraps ? CKA_UNWRAP : CKA_DECRYPT, true)});
  return MakeSecret(module, session, CKM_AES_KEY_GEN, std::move(needed),
                    {
                        FlagAttribute(wraps ? CKA_ENCRYPT : CKA_WRAP, false),
                        FlagAttribute(wraps ? CKA_DECRYPT : CKA_UNWRAP, false),
                        FlagAttribute(CKA_SIGN, false),
                        FlagAttribute(CKA_VERIFY, false),
                        FlagAttribute(CKA_DERIVE, false),
                        FlagAttribute(CKA_MODIFIABLE, key.modifiable),
                        FlagAttribute(CKA_COPYABLE, key.modifiable),
                    });
}

absl::StatusOr<CK_OBJECT_HANDLE> MakeMacKey(const Module& module, CK_SESSION_HANDLE session,
                                            const NewKey& key, Lifetime lifetime) {
  CK_ULONG secret_key = CKO_SECRET_KEY;
  CK_ULONG generic = CKK_GENERIC_SECRET;
  const KeySelector name = MacNames(key.selector).front();
  std::vector<CK_ATTRIBUTE> needed = Common(name, lifetime);
  needed.insert(needed.end(),
                {NumberAttribute(CKA_CLASS, secret_key), NumberAttribute(CKA_KEY_TYPE, generic),
                 FlagAttribute(CKA_SIGN, true)});
  return MakeSecret(module, session, CKM_GENERIC_SECRET_KEY_GEN, std::move(needed),
                    {
                        FlagAttribute(CKA_VERIFY, true),
                        FlagAttribute(CKA_ENCRYPT, false),
                        FlagAttribute(CKA_DECRYPT, false),
                        FlagAttribute(CKA_WRAP, false),
                        FlagAttribute(CKA_UNWRAP, false),
                        FlagAttribute(CKA_DERIVE, false),
                        FlagAttribute(CKA_MODIFIABLE, key.modifiable),
                        FlagAttribute(CKA_COPYABLE, key.modifiable),
                    });
}

absl::StatusOr<CK_OBJECT_HANDLE> MakeRsaPair(const Module& module, CK_SESSION_HANDLE session,
                                             CK_ULONG bits, const NewKey& key, Lifetime lifetime) {
  // Nothing is asked of CKA_ENCRYPT: libcrypto encrypts, and tpm2-pkcs11 1.9 makes no key that may
  // encrypt and not sign, which are one attribute of a TPM's object.
  const std::vector<CK_ATTRIBUTE> public_template = {
      NumberAttribute(CKA_MODULUS_BITS, bits),
      {CKA_PUBLIC_EXPONENT, kExponent, sizeof(kExponent)},
      TextAttribute(CKA_LABEL, key.selector.label),
      TextAttribute(CKA_ID, key.selector.id),
      FlagAttribute(CKA_TOKEN, lifetime == Lifetime::kToken),
  };
  std::vector<CK_ATTRIBUTE> needed = Common(key.selector, lifetime);
  needed.push_back(FlagAttribute(CKA_DECRYPT, true));
  const std::vector<CK_ATTRIBUTE> wanted = {
      FlagAttribute(CKA_UNWRAP, false),
      FlagAttribute(CKA_MODIFIABLE, false),
      FlagAttribute(CKA_SIGN, false),
  };
  CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
  CK_OBJECT_HANDLE public_key = 0;
  CK_OBJECT_HANDLE private_key = 0;
  const CK_RV rv = MakeWithout(needed, wanted, [&](std::vector<CK_ATTRIBUTE>& attributes) {
    std::vector<CK_ATTRIBUTE> of_public = public_template;
    return module->C_GenerateKeyPair(session, &mechanism, of_public.data(), of_public.size(),
                                     attributes.data(), attributes.size(), &public_key,
                                     &private_key);
  });
  KEKD_RETURN_IF_ERROR(CheckRv(rv, "C_GenerateKeyPair", absl::StrCat("RSA-", bits)));
  return private_key;
}

}  // namespace

absl::StatusOr<SealingKey> MakeKey(const Module& module, CK_SESSION_HANDLE session, KeyKind kind,
                                   const NewKey& key, Lifetime lifetime) {
  SealingKey made;
  if (kind == KeyKind::kRsa) {
    absl::Status failed;
    for (const CK_ULONG bits : kRsaSizes) {
      const absl::StatusOr<CK_OBJECT_HANDLE> pair =
          MakeRsaPair(module, session, bits, key, lifetime);
      if (!pair.ok()) {
        // What is unclear may have made a pair, and says nothing of the size.
        if (VerdictOn(pair.status()) != Verdict::kCannot) return pair.status();
        failed.Update(pair.status());
        continue;
      }
      made.key = *pair;
      KEKD_ASSIGN_OR_RETURN(made.public_key, ReadPublicKey(module, session, made.key));
      return made;
    }
    return failed;
  }
  KEKD_ASSIGN_OR_RETURN(made.key, MakeAesKey(module, session, kind, key, lifetime));
  if (kind == KeyKind::kCipherAndMac) {
    KEKD_ASSIGN_OR_RETURN(made.mac_key, MakeMacKey(module, session, key, lifetime));
  }
  return made;
}

absl::StatusOr<size_t> DestroyKeyObjects(const Module& module, CK_SESSION_HANDLE session,
                                         KeyKind kind, const KeySelector& key) {
  // A part of a key, of which there may be one object: what names and types it can have.
  struct Query {
    CK_OBJECT_CLASS object_class;
    CK_KEY_TYPE type;
    KeySelector name;
  };
  using Part = std::vector<Query>;
  std::vector<Part> parts;
  if (kind == KeyKind::kRsa) {
    parts = {{{CKO_PUBLIC_KEY, CKK_RSA, key}}, {{CKO_PRIVATE_KEY, CKK_RSA, key}}};
  } else {
    if (kind == KeyKind::kCipherAndMac) {
      Part& mac = parts.emplace_back();
      for (const KeySelector& name : MacNames(key)) {
        for (const CK_KEY_TYPE type : kMacKeyTypes) mac.push_back({CKO_SECRET_KEY, type, name});
      }
    }
    parts.push_back({{CKO_SECRET_KEY, CKK_AES, key}});
  }
  // All is found before anything is destroyed.
  std::vector<CK_OBJECT_HANDLE> objects;
  for (const Part& part : parts) {
    const size_t before = objects.size();
    for (const Query& query : part) {
      KEKD_ASSIGN_OR_RETURN(
          const std::vector<CK_OBJECT_HANDLE> found,
          FindKeyObjects(module, session, query.object_class, query.type, query.name));
      objects.insert(objects.end(), found.begin(), found.end());
    }
    if (objects.size() - before > 1) {
      return absl::FailedPreconditionError(absl::StrCat("nothing is destroyed: the token has ",
                                                        objects.size() - before, " keys ",
                                                        DescribeSelector(part.front().name)));
    }
  }
  for (const CK_OBJECT_HANDLE object : objects) {
    KEKD_RETURN_IF_ERROR(CheckRv(module->C_DestroyObject(session, object), "C_DestroyObject"));
  }
  return objects.size();
}

}  // namespace kekd
