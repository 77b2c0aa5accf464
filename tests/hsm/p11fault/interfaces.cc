#include <cstring>
#include <vector>

#include "tests/hsm/p11fault/module.h"
#include "tests/hsm/p11fault/passed_on.h"

namespace kekd::p11fault {
namespace {

CK_RV LoginUser(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE* pin, CK_ULONG pin_size,
                CK_BYTE* name, CK_ULONG name_size) {
  Shim& shim = Shim::Get();
  return shim.OnSession(
      Function::kLoginUser, session, [&](const Orders& orders, const Session& found) -> CK_RV {
        if ((orders.token_flags & CKF_USER_PIN_LOCKED) != 0) return CKR_PIN_LOCKED;
        shim.Reached(Function::kLoginUser);
        return shim.real3().C_LoginUser(found.real, user, pin, pin_size, name, name_size);
      });
}

#define PASSED_ON(name) .C_##name = PassedOn<Function::k##name, &FunctionList3::C_##name>::Call
#define INIT_WITH_KEY(name) \
  .C_##name = InitWithKey<Function::k##name, &FunctionList3::C_##name>::Call

FunctionList3 MakeList3() {
  FunctionList3 list = {
      .base = List(),
      .C_GetInterfaceList = GetInterfaceList,
      .C_GetInterface = GetInterface,
      .C_LoginUser = LoginUser,
      PASSED_ON(SessionCancel),
      INIT_WITH_KEY(MessageEncryptInit),
      PASSED_ON(EncryptMessage),
      PASSED_ON(EncryptMessageBegin),
      PASSED_ON(EncryptMessageNext),
      PASSED_ON(MessageEncryptFinal),
      INIT_WITH_KEY(MessageDecryptInit),
      PASSED_ON(DecryptMessage),
      PASSED_ON(DecryptMessageBegin),
      PASSED_ON(DecryptMessageNext),
      PASSED_ON(MessageDecryptFinal),
      INIT_WITH_KEY(MessageSignInit),
      PASSED_ON(SignMessage),
      PASSED_ON(SignMessageBegin),
      PASSED_ON(SignMessageNext),
      PASSED_ON(MessageSignFinal),
      INIT_WITH_KEY(MessageVerifyInit),
      PASSED_ON(VerifyMessage),
      PASSED_ON(VerifyMessageBegin),
      PASSED_ON(VerifyMessageNext),
      PASSED_ON(MessageVerifyFinal),
  };
  list.base.version = {3, 0};
  return list;
}

// Those that are offered, the newest first, which is the default. They live as long as the process.
std::vector<Interface*> Offered(const Orders& orders) {
  static FunctionList3 list3 = MakeList3();
  static Interface newer = {kStandardInterface, &list3, 0};
  static Interface older = {kStandardInterface, &List(), 0};
  if (!Shim::Get().has_real3() || orders.only_2_40) return {&older};
  return {&newer, &older};
}

bool IsVersion(const Interface& interface, const CK_VERSION& version) {
  // Both lists begin with it.
  const auto& own = static_cast<const CK_FUNCTION_LIST*>(interface.functions)->version;
  return own.major == version.major && own.minor == version.minor;
}

}  // namespace

CK_RV GetInterfaceList(Interface* interfaces, CK_ULONG* count) {
  Shim& shim = Shim::Get();
  if (!shim.Start()) return CKR_GENERAL_ERROR;
  return shim.Run(Function::kGetInterfaceList, [&](const Orders& orders) -> CK_RV {
    if (count == nullptr) return CKR_ARGUMENTS_BAD;
    const std::vector<Interface*> offered = Offered(orders);
    const CK_ULONG room = *count;
    *count = offered.size();
    if (interfaces == nullptr) return CKR_OK;
    if (room < offered.size()) return CKR_BUFFER_TOO_SMALL;
    for (size_t at = 0; at < offered.size(); ++at) interfaces[at] = *offered[at];
    return CKR_OK;
  });
}

CK_RV GetInterface(CK_BYTE* name, CK_VERSION* version, Interface** found, CK_FLAGS flags) {
  Shim& shim = Shim::Get();
  if (!shim.Start()) return CKR_GENERAL_ERROR;
  return shim.Run(Function::kGetInterface, [&](const Orders& orders) -> CK_RV {
    if (found == nullptr) return CKR_ARGUMENTS_BAD;
    for (Interface* const interface : Offered(orders)) {
      if (name != nullptr && std::strcmp(reinterpret_cast<char*>(name), interface->name) != 0) {
        continue;
      }
      if (version != nullptr && !IsVersion(*interface, *version)) continue;
      if ((interface->flags & flags) != flags) continue;
      *found = interface;
      return CKR_OK;
    }
    return CKR_FUNCTION_FAILED;
  });
}

}  // namespace kekd::p11fault
