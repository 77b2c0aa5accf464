#include "tests/hsm/p11fault/names.h"

#include <cctype>
#include <cerrno>
#include <cstdlib>

namespace kekd::p11fault {
namespace {

constexpr const char* kFunctionNames[] = {
#define FUNCTION(name) "C_" #name,
#include "tests/hsm/p11fault/functions.inc"
#undef FUNCTION
};
static_assert(sizeof(kFunctionNames) / sizeof(kFunctionNames[0]) == kFunctions);

struct Named {
  const char* name;
  unsigned long value;
};

constexpr Named kReturnValues[] = {
#define RETURN_VALUE(name, value) {#name, value},
#include "tests/hsm/p11fault/return_values.inc"
#undef RETURN_VALUE
};

constexpr Named kMechanisms[] = {
    {"CKM_RSA_PKCS_KEY_PAIR_GEN", CKM_RSA_PKCS_KEY_PAIR_GEN},
    {"CKM_RSA_PKCS", CKM_RSA_PKCS},
    {"CKM_RSA_X_509", CKM_RSA_X_509},
    {"CKM_RSA_PKCS_OAEP", CKM_RSA_PKCS_OAEP},
    {"CKM_SHA_1", CKM_SHA_1},
    {"CKM_SHA256", CKM_SHA256},
    {"CKM_SHA256_HMAC", CKM_SHA256_HMAC},
    {"CKM_GENERIC_SECRET_KEY_GEN", CKM_GENERIC_SECRET_KEY_GEN},
    {"CKM_AES_KEY_GEN", CKM_AES_KEY_GEN},
    {"CKM_AES_ECB", CKM_AES_ECB},
    {"CKM_AES_CBC", CKM_AES_CBC},
    {"CKM_AES_CBC_PAD", CKM_AES_CBC_PAD},
    {"CKM_AES_CTR", CKM_AES_CTR},
    {"CKM_AES_GCM", CKM_AES_GCM},
    {"CKM_AES_KEY_WRAP", CKM_AES_KEY_WRAP},
    {"CKM_AES_KEY_WRAP_PAD", CKM_AES_KEY_WRAP_PAD},
    {"CKM_AES_KEY_WRAP_KWP", 0x210b},  // since PKCS#11 3.0
};

template <size_t kSize>
std::optional<unsigned long> Find(const Named (&table)[kSize], const std::string& name) {
  for (const Named& entry : table) {
    if (name == entry.name) return entry.value;
  }
  const std::optional<uint64_t> number = Number(name);
  if (!number.has_value()) return std::nullopt;
  return *number;
}

}  // namespace

const char* NameOf(Function function) { return kFunctionNames[static_cast<size_t>(function)]; }

std::optional<Function> FunctionByName(const std::string& name) {
  for (size_t at = 0; at < kFunctions; ++at) {
    if (name == kFunctionNames[at]) return static_cast<Function>(at);
  }
  return std::nullopt;
}

std::optional<CK_RV> ReturnValueByName(const std::string& name) {
  return Find(kReturnValues, name);
}

std::optional<CK_MECHANISM_TYPE> MechanismByName(const std::string& name) {
  return Find(kMechanisms, name);
}

std::optional<uint64_t> Number(const std::string& text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) == 0) return std::nullopt;
  const bool hexadecimal = text.size() > 2 && (text[1] == 'x' || text[1] == 'X');
  char* end = nullptr;
  errno = 0;
  const unsigned long long value = std::strtoull(text.c_str(), &end, hexadecimal ? 16 : 10);
  if (errno != 0 || end != text.c_str() + text.size()) return std::nullopt;
  return value;
}

}  // namespace kekd::p11fault
