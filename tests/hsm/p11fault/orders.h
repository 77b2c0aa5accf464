// What a test orders.
#ifndef KEKD_TESTS_HSM_P11FAULT_ORDERS_H_
#define KEKD_TESTS_HSM_P11FAULT_ORDERS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/hsm/p11fault/names.h"

namespace kekd::p11fault {

enum class Action : uint8_t {
  kReturn,        // `value`, without reaching the module
  kReturnAfter,   // the module is reached, then `value` is said whatever it said
  kKillSessions,  // then the call goes on, and finds its session dead
  kHang,          // `value` seconds, or as long as the order stands
  kDelay,         // `value` microseconds
  kCrash,         // SIGSEGV
  kAbort,
  kExit,  // exit(value)
};

// One line "FUNCTION …".
struct Order {
  // What is counted on when the file changes: the name, or the line as it was written.
  std::string identity;
  std::string name;                  // "as NAME"; or empty
  std::optional<Function> function;  // none: any
  uint64_t at = 1;
  uint64_t times = 1;   // 0: from then on always
  bool in_all = false;  // counted across processes
  Action action = Action::kReturn;
  uint64_t value = 0;
};

enum class GcmIv : uint8_t { kCaller, kToken, kTokenAppended };

// "mask-mechanism": these mechanisms, in these functions; none: in all.
struct Mask {
  std::vector<CK_MECHANISM_TYPE> mechanisms;
  std::vector<Function> functions;
};

// "attribute": what is said of one attribute of every object, whatever the module says of it.
struct SaidAttribute {
  CK_ATTRIBUTE_TYPE type = 0;
  std::optional<bool> value;  // none: it is not told
};

// A whole control file.
struct Orders {
  std::string module;
  std::vector<Order> orders;
  bool token_gone = false;
  bool until_reinit = false;
  bool renumber = false;
  CK_FLAGS token_flags = 0;  // set in CK_TOKEN_INFO
  std::optional<CK_ULONG> max_sessions;
  bool max_sessions_told = true;
  std::vector<Mask> masks;
  bool only_2_40 = false;  // no interface of PKCS#11 3.0
  GcmIv gcm_iv = GcmIv::kCaller;
  bool gcm_iv_repeats = false;
  std::vector<SaidAttribute> attributes;
  std::optional<CK_ULONG> mechanism_count;  // that C_GetMechanismList tells
  std::vector<Function> missing;            // null in what C_GetFunctionList gives

  bool IsMasked(CK_MECHANISM_TYPE mechanism, Function function) const;
  // No mechanism is none that is masked.
  bool IsMasked(const CK_MECHANISM* mechanism, Function function) const {
    return mechanism != nullptr && IsMasked(mechanism->mechanism, function);
  }
};

struct ParsedOrders {
  Orders orders;
  std::string error;  // empty, or "line 3: …"
};

ParsedOrders Parse(const std::string& text);

}  // namespace kekd::p11fault

#endif  // KEKD_TESTS_HSM_P11FAULT_ORDERS_H_
