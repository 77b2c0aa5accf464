// The standard's names, as orders spell them.
#ifndef KEKD_TESTS_HSM_P11FAULT_NAMES_H_
#define KEKD_TESTS_HSM_P11FAULT_NAMES_H_

#include <p11-kit/pkcs11.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace kekd::p11fault {

// The functions of CK_FUNCTION_LIST_3_0, in its order.
enum class Function : uint8_t {
#define FUNCTION(name) k##name,
#include "tests/hsm/p11fault/functions.inc"
#undef FUNCTION
};

inline constexpr size_t kFunctions = static_cast<size_t>(Function::kMessageVerifyFinal) + 1;

// "C_Encrypt".
const char* NameOf(Function function);
std::optional<Function> FunctionByName(const std::string& name);
// "CKR_DEVICE_ERROR", "0x30" or "48".
std::optional<CK_RV> ReturnValueByName(const std::string& name);
// A few by name ("CKM_AES_GCM"), the others by number.
std::optional<CK_MECHANISM_TYPE> MechanismByName(const std::string& name);
// Decimal, or hexadecimal after "0x"; nothing else before or after it.
std::optional<uint64_t> Number(const std::string& text);

}  // namespace kekd::p11fault

#endif  // KEKD_TESTS_HSM_P11FAULT_NAMES_H_
