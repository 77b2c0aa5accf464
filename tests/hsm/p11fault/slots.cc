#include <algorithm>
#include <vector>

#include "tests/hsm/p11fault/module.h"

namespace kekd::p11fault {
namespace {

// The standard's way to return a list (PKCS#11 2.40, section 5.2).
template <typename Value>
CK_RV ReturnList(const std::vector<Value>& values, Value* out, CK_ULONG* count) {
  if (count == nullptr) return CKR_ARGUMENTS_BAD;
  const CK_ULONG room = *count;
  *count = values.size();
  if (out == nullptr) return CKR_OK;
  if (room < values.size()) return CKR_BUFFER_TOO_SMALL;
  std::copy(values.begin(), values.end(), out);
  return CKR_OK;
}

}  // namespace

CK_RV GetSlotList(CK_BBOOL present, CK_SLOT_ID* slots, CK_ULONG* count) {
  Shim& shim = Shim::Get();
  return shim.Run(Function::kGetSlotList, [&](const Orders& orders) -> CK_RV {
    shim.Reached(Function::kGetSlotList);
    CK_ULONG size = 0;
    CK_RV rv = shim.real().C_GetSlotList(present, nullptr, &size);
    if (rv != CKR_OK) return rv;
    std::vector<CK_SLOT_ID> list(size);
    rv = shim.real().C_GetSlotList(present, list.data(), &size);
    if (rv != CKR_OK) return rv;
    list.resize(shim.gone() ? 0 : size);
    for (CK_SLOT_ID& slot : list) slot = shim.handles.OuterSlot(slot, orders.renumber);
    if (orders.renumber) std::reverse(list.begin(), list.end());
    return ReturnList(list, slots, count);
  });
}

CK_RV GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO* info) {
  Shim& shim = Shim::Get();
  return shim.OnSlot(Function::kGetSlotInfo, slot, [&](const Orders&, CK_SLOT_ID real) {
    return shim.real().C_GetSlotInfo(real, info);
  });
}

CK_RV GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO* info) {
  Shim& shim = Shim::Get();
  return shim.OnSlot(Function::kGetTokenInfo, slot, [&](const Orders& orders, CK_SLOT_ID real) {
    const CK_RV rv = shim.real().C_GetTokenInfo(real, info);
    if (rv != CKR_OK || info == nullptr) return rv;
    info->flags |= orders.token_flags;
    if (orders.max_sessions.has_value()) {
      const CK_ULONG told =
          orders.max_sessions_told ? *orders.max_sessions : CK_UNAVAILABLE_INFORMATION;
      info->ulMaxSessionCount = told;
      info->ulMaxRwSessionCount = told;
    }
    return rv;
  });
}

CK_RV GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE* list, CK_ULONG* count) {
  Shim& shim = Shim::Get();
  return shim.OnSlot(Function::kGetMechanismList, slot,
                     [&](const Orders& orders, CK_SLOT_ID real) -> CK_RV {
                       CK_ULONG size = 0;
                       CK_RV rv = shim.real().C_GetMechanismList(real, nullptr, &size);
                       if (rv != CKR_OK) return rv;
                       std::vector<CK_MECHANISM_TYPE> mechanisms(size);
                       rv = shim.real().C_GetMechanismList(real, mechanisms.data(), &size);
                       if (rv != CKR_OK) return rv;
                       mechanisms.resize(size);
                       std::erase_if(mechanisms, [&](CK_MECHANISM_TYPE type) {
                         return orders.IsMasked(type, Function::kGetMechanismList);
                       });
                       rv = ReturnList(mechanisms, list, count);
                       if (orders.mechanism_count.has_value() && count != nullptr) {
                         *count = *orders.mechanism_count;
                       }
                       return rv;
                     });
}

CK_RV GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO* info) {
  Shim& shim = Shim::Get();
  return shim.OnSlot(Function::kGetMechanismInfo, slot,
                     [&](const Orders& orders, CK_SLOT_ID real) -> CK_RV {
                       if (orders.IsMasked(type, Function::kGetMechanismInfo))
                         return CKR_MECHANISM_INVALID;
                       return shim.real().C_GetMechanismInfo(real, type, info);
                     });
}

CK_RV InitToken(CK_SLOT_ID slot, CK_BYTE* pin, CK_ULONG pin_size, CK_BYTE* label) {
  Shim& shim = Shim::Get();
  return shim.OnSlot(Function::kInitToken, slot, [&](const Orders&, CK_SLOT_ID real) {
    return shim.real().C_InitToken(real, pin, pin_size, label);
  });
}

CK_RV OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void* application, CK_NOTIFY notify,
                  CK_SESSION_HANDLE* session) {
  Shim& shim = Shim::Get();
  return shim.OnSlot(
      Function::kOpenSession, slot, [&](const Orders& orders, CK_SLOT_ID real) -> CK_RV {
        if (orders.max_sessions.has_value() && shim.handles.sessions() >= *orders.max_sessions) {
          return CKR_SESSION_COUNT;
        }
        const CK_RV rv = shim.real().C_OpenSession(real, flags, application, notify, session);
        if (rv == CKR_OK) *session = shim.handles.AddSession(*session, real);
        return rv;
      });
}

CK_RV CloseSession(CK_SESSION_HANDLE session) {
  Shim& shim = Shim::Get();
  return shim.OnSession(Function::kCloseSession, session, [&](const Orders&, const Session& found) {
    shim.Reached(Function::kCloseSession);
    const CK_RV rv = shim.real().C_CloseSession(found.real);
    if (rv == CKR_OK) shim.handles.RemoveSession(session);
    return rv;
  });
}

CK_RV CloseAllSessions(CK_SLOT_ID slot) {
  Shim& shim = Shim::Get();
  return shim.OnSlot(Function::kCloseAllSessions, slot, [&](const Orders&, CK_SLOT_ID real) {
    const CK_RV rv = shim.real().C_CloseAllSessions(real);
    if (rv == CKR_OK) shim.handles.RemoveSessionsOf(real);
    return rv;
  });
}

CK_RV GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO* info) {
  Shim& shim = Shim::Get();
  return shim.OnSession(Function::kGetSessionInfo, session,
                        [&](const Orders& orders, const Session& found) {
                          shim.Reached(Function::kGetSessionInfo);
                          const CK_RV rv = shim.real().C_GetSessionInfo(found.real, info);
                          if (rv == CKR_OK)
                            info->slotID = shim.handles.OuterSlot(info->slotID, orders.renumber);
                          return rv;
                        });
}

CK_RV Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE* pin, CK_ULONG pin_size) {
  Shim& shim = Shim::Get();
  return shim.OnSession(Function::kLogin, session,
                        [&](const Orders& orders, const Session& found) -> CK_RV {
                          if ((orders.token_flags & CKF_USER_PIN_LOCKED) != 0)
                            return CKR_PIN_LOCKED;
                          shim.Reached(Function::kLogin);
                          return shim.real().C_Login(found.real, user, pin, pin_size);
                        });
}

CK_RV WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID* slot, void* reserved) {
  Shim& shim = Shim::Get();
  return shim.Run(Function::kWaitForSlotEvent, [&](const Orders& orders) {
    shim.Reached(Function::kWaitForSlotEvent);
    const CK_RV rv = shim.real().C_WaitForSlotEvent(flags, slot, reserved);
    if (rv == CKR_OK) *slot = shim.handles.OuterSlot(*slot, orders.renumber);
    return rv;
  });
}

}  // namespace kekd::p11fault
