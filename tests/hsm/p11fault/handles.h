// What the caller's handles and slot numbers stand for.
#ifndef KEKD_TESTS_HSM_P11FAULT_HANDLES_H_
#define KEKD_TESTS_HSM_P11FAULT_HANDLES_H_

#include <p11-kit/pkcs11.h>

#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

namespace kekd::p11fault {

inline constexpr size_t kShortIv = 12;
inline constexpr size_t kLongIv = 16;

// An encryption with AES-GCM for which the token made the IV.
struct TokenIv {
  bool append = false;        // after the tag
  CK_BYTE* buffer = nullptr;  // otherwise: the caller's, of kShortIv bytes
  std::array<CK_BYTE, kLongIv> iv = {};
};

struct Session {
  CK_SESSION_HANDLE real = 0;
  CK_SLOT_ID slot = 0;  // the real one
  std::optional<TokenIv> token_iv;
};

// Handles keeps the caller's session handles, which no two sessions of a process share, and, if
// they are to be renumbered, its slot numbers and object handles. Thread-safe.
class Handles final {
 public:
  // A new C_Initialize: new slot numbers, no sessions, no objects.
  void Reset();

  CK_SLOT_ID OuterSlot(CK_SLOT_ID real, bool renumber);
  std::optional<CK_SLOT_ID> RealSlot(CK_SLOT_ID outer, bool renumber) const;

  CK_SESSION_HANDLE AddSession(CK_SESSION_HANDLE real, CK_SLOT_ID slot);
  std::optional<Session> Find(CK_SESSION_HANDLE outer) const;
  void SetTokenIv(CK_SESSION_HANDLE outer, std::optional<TokenIv> token_iv);
  // With the last session of all, the objects' handles go too.
  void RemoveSession(CK_SESSION_HANDLE outer);
  void RemoveSessionsOf(CK_SLOT_ID slot);
  // Forgets all of them and returns the real ones.
  std::vector<CK_SESSION_HANDLE> RemoveAll();
  size_t sessions() const;

  CK_OBJECT_HANDLE OuterObject(CK_OBJECT_HANDLE real, bool renumber);
  // None if it is one of a generation that is over.
  std::optional<CK_OBJECT_HANDLE> RealObject(CK_OBJECT_HANDLE outer, bool renumber) const;

 private:
  void ForgetObjectsIfLast();  // with mu_

  // All guarded by mu_.
  mutable std::mutex mu_;
  CK_ULONG initialised_ = 0;
  std::map<CK_SLOT_ID, CK_SLOT_ID> outer_slots_, real_slots_;
  std::map<CK_SESSION_HANDLE, Session> sessions_;
  std::map<CK_OBJECT_HANDLE, CK_OBJECT_HANDLE> outer_objects_, real_objects_;
  CK_SESSION_HANDLE next_session_ = 0x5e550001;
  CK_OBJECT_HANDLE next_object_ = 0x0b1e0001;
};

}  // namespace kekd::p11fault

#endif  // KEKD_TESTS_HSM_P11FAULT_HANDLES_H_
