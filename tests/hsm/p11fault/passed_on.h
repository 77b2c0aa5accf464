// Functions that only pass on what they get.
#ifndef KEKD_TESTS_HSM_P11FAULT_PASSED_ON_H_
#define KEKD_TESTS_HSM_P11FAULT_PASSED_ON_H_

#include "tests/hsm/p11fault/shim.h"

namespace kekd::p11fault {

// The real module's list that has a member.
template <typename Value>
CK_FUNCTION_LIST& ListWith(Shim& shim, Value CK_FUNCTION_LIST::*) {
  return shim.real();
}
template <typename Value>
FunctionList3& ListWith(Shim& shim, Value FunctionList3::*) {
  return shim.real3();
}

template <typename List, typename Value>
Value MemberOf(Value List::*);
template <auto kMember>
using SignatureOf = decltype(MemberOf(kMember));

// A function of the real module whose first argument is a session.
template <Function kFunction, auto kMember, typename Signature = SignatureOf<kMember>>
struct PassedOn;

template <Function kFunction, auto kMember, typename... Arguments>
struct PassedOn<kFunction, kMember, CK_RV (*)(CK_SESSION_HANDLE, Arguments...)> {
  static CK_RV Call(CK_SESSION_HANDLE session, Arguments... arguments) {
    Shim& shim = Shim::Get();
    return shim.OnSession(kFunction, session, [&](const Orders&, const Session& found) {
      shim.Reached(kFunction);
      return (ListWith(shim, kMember).*kMember)(found.real, arguments...);
    });
  }
};

// The same, with an object second.
template <Function kFunction, auto kMember, typename Signature = SignatureOf<kMember>>
struct WithObject;

template <Function kFunction, auto kMember, typename... Arguments>
struct WithObject<kFunction, kMember,
                  CK_RV (*)(CK_SESSION_HANDLE, CK_OBJECT_HANDLE, Arguments...)> {
  static CK_RV Call(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, Arguments... arguments) {
    Shim& shim = Shim::Get();
    return shim.OnSession(
        kFunction, session, [&](const Orders& orders, const Session& found) -> CK_RV {
          const auto real = shim.handles.RealObject(object, orders.renumber);
          if (!real.has_value()) return CKR_OBJECT_HANDLE_INVALID;
          shim.Reached(kFunction);
          return (ListWith(shim, kMember).*kMember)(found.real, *real, arguments...);
        });
  }
};

// The beginning of an operation: with a mechanism, which may be masked, and a key.
template <Function kFunction, auto kMember>
struct InitWithKey {
  static CK_RV Call(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE key) {
    Shim& shim = Shim::Get();
    return shim.OnSession(
        kFunction, session, [&](const Orders& orders, const Session& found) -> CK_RV {
          if (orders.IsMasked(mechanism, kFunction)) return CKR_MECHANISM_INVALID;
          const auto real_key = shim.handles.RealObject(key, orders.renumber);
          if (!real_key.has_value()) return CKR_KEY_HANDLE_INVALID;
          shim.Reached(kFunction);
          return (ListWith(shim, kMember).*kMember)(found.real, mechanism, *real_key);
        });
  }
};

}  // namespace kekd::p11fault

#endif  // KEKD_TESTS_HSM_P11FAULT_PASSED_ON_H_
