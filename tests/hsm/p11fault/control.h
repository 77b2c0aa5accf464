// The control file, and who has called what how often.
#ifndef KEKD_TESTS_HSM_P11FAULT_CONTROL_H_
#define KEKD_TESTS_HSM_P11FAULT_CONTROL_H_

#include <sys/stat.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tests/hsm/p11fault/orders.h"
#include "tests/hsm/p11fault/shared_words.h"

namespace kekd::p11fault {

// Control reads the control file anew whenever it has changed, counts calls in the folder
// "<control file>.counters", and says what is to become of each call. Thread-safe.
class Control final {
 public:
  explicit Control(std::string path);

  // Makes the folder and reads the file: an error for people, or empty.
  std::string Start();
  // The path of the real module.
  std::string module() { return Current()->orders->module; }

  struct Verdict {
    std::shared_ptr<const Orders> orders;
    std::optional<CK_RV> instead;     // of the call
    std::optional<CK_RV> afterwards;  // whatever the module says
    bool kill_sessions = false;
  };
  // A call has begun. Does what is due itself if that is to wait, to crash or to end the process.
  Verdict Begin(Function function);
  // The call is about to reach the module.
  void Reached(Function function);
  void End(Function function, CK_RV rv);

 private:
  // How often an order's function was called since the order appeared.
  struct Count {
    std::atomic<uint64_t> here = 0;
    std::unique_ptr<SharedWords> everywhere;  // of a named order: calls, faults
  };
  struct Standing {
    Order order;
    std::shared_ptr<Count> count;
  };
  struct Snapshot {
    std::shared_ptr<const Orders> orders;
    std::vector<Standing> standing;
    std::string error;
  };

  std::shared_ptr<const Snapshot> Current();
  std::shared_ptr<const Snapshot> Read(const Snapshot* before) const;
  bool IsDue(const Standing& standing) const;
  bool Stands(const std::string& identity);
  void Act(const Order& order, Verdict& verdict);
  void Hang(const Order& order);

  const std::string path_;
  const std::string folder_;
  std::unique_ptr<SharedWords> calls_;
  std::mutex mu_;
  struct stat seen_ = {};                     // guarded by mu_
  std::shared_ptr<const Snapshot> snapshot_;  // guarded by mu_
};

}  // namespace kekd::p11fault

#endif  // KEKD_TESTS_HSM_P11FAULT_CONTROL_H_
