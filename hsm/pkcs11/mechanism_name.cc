#include "hsm/pkcs11/mechanism_name.h"

#include "absl/strings/str_cat.h"
#include "hsm/pkcs11/cryptoki3.h"

namespace kekd {
namespace {

struct NamedMechanism {
  CK_MECHANISM_TYPE type;
  const char* name;
};
constexpr NamedMechanism kNames[] = {
    {CKM_AES_KEY_GEN, "CKM_AES_KEY_GEN"},
    {CKM_AES_GCM, "CKM_AES_GCM"},
    {CKM_AES_CBC, "CKM_AES_CBC"},
    {CKM_AES_CBC_PAD, "CKM_AES_CBC_PAD"},
    {CKM_AES_CTR, "CKM_AES_CTR"},
    {CKM_AES_ECB, "CKM_AES_ECB"},
    {CKM_AES_KEY_WRAP, "CKM_AES_KEY_WRAP"},
    {CKM_AES_KEY_WRAP_PAD, "CKM_AES_KEY_WRAP_PAD"},
    {kCkmAesKeyWrapKwp, "CKM_AES_KEY_WRAP_KWP"},
    {CKM_RSA_PKCS_KEY_PAIR_GEN, "CKM_RSA_PKCS_KEY_PAIR_GEN"},
    {CKM_RSA_X9_31_KEY_PAIR_GEN, "CKM_RSA_X9_31_KEY_PAIR_GEN"},
    {CKM_RSA_PKCS, "CKM_RSA_PKCS"},
    {CKM_RSA_PKCS_OAEP, "CKM_RSA_PKCS_OAEP"},
    {CKM_GENERIC_SECRET_KEY_GEN, "CKM_GENERIC_SECRET_KEY_GEN"},
    {CKM_SHA256_HMAC, "CKM_SHA256_HMAC"},
};

}  // namespace

std::string MechanismName(CK_MECHANISM_TYPE type) {
  for (const NamedMechanism& each : kNames) {
    if (each.type == type) return each.name;
  }
  return absl::StrCat("0x", absl::Hex(type, absl::kZeroPad8));
}

}  // namespace kekd
