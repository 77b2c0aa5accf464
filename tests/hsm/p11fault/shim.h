// The module between the caller and the real one.
#ifndef KEKD_TESTS_HSM_P11FAULT_SHIM_H_
#define KEKD_TESTS_HSM_P11FAULT_SHIM_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>

#include "tests/hsm/p11fault/control.h"
#include "tests/hsm/p11fault/cryptoki3.h"
#include "tests/hsm/p11fault/handles.h"

namespace kekd::p11fault {

// Shim is the state of the whole module: the real module, the orders, the handles. Thread-safe.
class Shim final {
 public:
  // Lives as long as the process.
  static Shim& Get();

  // Reads the control file and loads the real module, once: whether that worked.
  bool Start();

  // One call: what was ordered for it, and otherwise `body`, whose argument are the orders.
  template <typename Body>
  CK_RV Run(Function function, Body body) {
    const Control::Verdict verdict = control_->Begin(function);
    if (verdict.kill_sessions) KillSessions();
    WatchToken(*verdict.orders);
    CK_RV rv = CKR_OK;
    if (verdict.instead.has_value()) {
      rv = *verdict.instead;
    } else {
      rv = body(*verdict.orders);
      if (verdict.afterwards.has_value()) rv = *verdict.afterwards;
    }
    control_->End(function, rv);
    return rv;
  }

  // The same with a slot: `body` gets its real number.
  template <typename Body>
  CK_RV OnSlot(Function function, CK_SLOT_ID outer, Body body) {
    return Run(function, [&](const Orders& orders) -> CK_RV {
      if (gone_) return CKR_TOKEN_NOT_PRESENT;
      const std::shared_lock<std::shared_mutex> lock(in_module_);
      const std::optional<CK_SLOT_ID> real = handles.RealSlot(outer, orders.renumber);
      if (initialised && !real.has_value()) return CKR_SLOT_ID_INVALID;
      Reached(function);
      return body(orders, real.value_or(outer));
    });
  }

  // The same with a session: `body` gets what is known of it.
  template <typename Body>
  CK_RV OnSession(Function function, CK_SESSION_HANDLE outer, Body body) {
    return Run(function, [&](const Orders& orders) -> CK_RV {
      if (!initialised) return CKR_CRYPTOKI_NOT_INITIALIZED;
      if (gone_) return CKR_DEVICE_REMOVED;
      const std::shared_lock<std::shared_mutex> lock(in_module_);
      const std::optional<Session> session = handles.Find(outer);
      if (!session.has_value()) return CKR_SESSION_HANDLE_INVALID;
      return body(orders, *session);
    });
  }

  void Reached(Function function) { control_->Reached(function); }
  CK_FUNCTION_LIST& real() { return *real_; }
  // Of a module that has it.
  FunctionList3& real3() { return *real3_; }
  bool has_real3() const { return real3_ != nullptr; }
  bool gone() const { return gone_; }
  // After C_Initialize and C_Finalize.
  void Initialised(bool now);

  Handles handles;
  std::atomic<bool> initialised = false;

 private:
  // Closes all sessions behind the caller's back.
  void KillSessions();
  // Takes the token away and gives it back, as ordered.
  void WatchToken(const Orders& orders);

  std::once_flag started_;
  std::unique_ptr<Control> control_;
  CK_FUNCTION_LIST* real_ = nullptr;
  FunctionList3* real3_ = nullptr;  // null: the module has no interface of PKCS#11 3.x
  // Shared by those who are in the real module, so that no session is closed under their hands.
  std::shared_mutex in_module_;
  std::atomic<bool> gone_ = false;
  std::atomic<bool> needs_reinit_ = false;
};

}  // namespace kekd::p11fault

#endif  // KEKD_TESTS_HSM_P11FAULT_SHIM_H_
