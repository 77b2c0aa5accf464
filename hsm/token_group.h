// Several tokens that hold the same keys.
#ifndef KEKD_HSM_TOKEN_GROUP_H_
#define KEKD_HSM_TOKEN_GROUP_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/log_throttle.h"
#include "base/mutex.h"
#include "hsm/token/key_reference.h"
#include "hsm/token_client.h"
#include "keystore/key_backend.h"

namespace kekd {

// TokenGroup is one token, or several in order of preference of which any will do: a call goes to
// the first that works, and to the next within its own deadline if that one fails. A token that
// failed is asked by calls only when no other has answered, until a probe finds that it works
// again; so the calls come back to it by themselves. The thread that probes is there only while a
// token is down. A group of one does nothing but hand the call on. Thread-safe.
//
// It knows nothing of keys: that a token works does not make its key the right one (Pkcs11Key).
class TokenGroup final {
 public:
  static constexpr size_t kMostTokens = 8;
  // What a call waits for a token before it turns to the next: some times what that one has usually
  // taken, but no less than this, and half of what is left of its deadline at most.
  static constexpr absl::Duration kLeastPatience = absl::Milliseconds(250);
  static constexpr int kUsualTimes = 8;
  // The same for a token that has not answered yet, and may have to be started.
  static constexpr absl::Duration kFirstPatience = absl::Milliseconds(1500);
  // Between two probes of a token that is down. Twice as long each time that it was up for no
  // longer than kSettleTime, so that one which answers probes and nothing else costs little.
  static constexpr absl::Duration kProbeInterval = absl::Seconds(1);
  static constexpr absl::Duration kLongestProbeInterval = absl::Seconds(30);
  static constexpr absl::Duration kSettleTime = absl::Seconds(10);
  static constexpr absl::Duration kProbeTimeout = absl::Seconds(1);
  // How long a failure says that the token is down still: until the next probe has answered.
  static constexpr absl::Duration kRecent = absl::Seconds(2);

  // 1 to kMostTokens.
  explicit TokenGroup(std::vector<std::shared_ptr<TokenClient>> tokens);
  ~TokenGroup();  // no call may be under way
  TokenGroup(const TokenGroup&) = delete;
  TokenGroup& operator=(const TokenGroup&) = delete;

  size_t size() const { return members_.size(); }
  TokenClient& token(size_t index) const { return *members_[index]->client; }
  // For people: as short as tells it from the others.
  const std::string& name(size_t index) const { return members_[index]->name; }

  // What a token's answer is worth.
  enum class Worth {
    kAnswer,   // it is the answer
    kNotHere,  // the token works, and is of no use for this call
    kFailed,   // the token does not work now
  };
  struct Answer {
    absl::Status status;
    Worth worth = Worth::kAnswer;
  };
  // By the codes of TokenClient: OK and InvalidArgument answer; NotFound and FailedPrecondition are
  // not here; anything else has failed.
  static Answer Judge(absl::Status status);

  // Asks one token after the other until one answers: those that work before those that are down,
  // and those that are `avoided` last. `ask` is given a share of the deadline as long as others are
  // left, so it must be fit to be repeated. If none answers: the gravest of the errors, with what
  // each token said. `key` is what is probed after a failure.
  absl::Status Run(const KeyReference& key, absl::Time deadline,
                   absl::FunctionRef<bool(size_t)> avoided,
                   absl::FunctionRef<Answer(size_t, absl::Time)> ask);
  // What a call on one token came to that did not go through Run.
  void Note(size_t index, const KeyReference& key, const Answer& answer, absl::Duration took);

  // Why the token did not work a moment ago, if it is down and was asked so lately, by a call or a
  // probe, that there is no use in asking again; else OK.
  absl::Status RecentFailure(size_t index) const;

  // How a key does on a token that works; `owner` is whoever tells. kGood takes back what it told.
  enum class KeyStanding { kGood, kMissing, kAnother, kUnfit };
  void SetKeyStanding(size_t index, const void* owner, KeyStanding standing,
                      const std::string& problem);
  // Takes back all that it told.
  void ForgetOwner(const void* owner);

  // None of a group of one: the health of its keys says it all.
  std::vector<KeyPlace> Places() const;

 private:
  static constexpr std::chrono::seconds kLogInterval{30};

  struct KeyProblem {
    KeyStanding standing = KeyStanding::kGood;
    std::string text;
    absl::Time since;
  };
  struct Member {
    std::shared_ptr<TokenClient> client;
    std::string name;
    std::atomic<bool> down = false;     // written under mu_
    std::atomic<bool> heard = false;    // it has answered, or failed to; written under mu_
    std::atomic<int64_t> usual_ns = 0;  // a mean of what answers have taken; 0: none yet
    LogThrottle down_log{kLogInterval};
    LogThrottle up_log{kLogInterval};
    LogThrottle key_log{kLogInterval};
  };
  // What is known of a member beside what every call looks at.
  struct Record {
    absl::Time since;  // up or down; by the wall clock
    std::string last_error;
    std::optional<KeyReference> failed_key;
    // By MonotonicNow():
    absl::Time up_since = absl::InfinitePast();
    absl::Time failed_at = absl::InfinitePast();
    absl::Time next_probe = absl::InfinitePast();
    absl::Duration pause = kProbeInterval;
    std::map<const void*, KeyProblem> key_problems;
  };

  // How long a call that has `left` waits for the token.
  absl::Duration ShareOf(const Member& member, absl::Duration left) const;
  void MarkAnswered(size_t index, absl::Duration took);
  // For the first time.
  void MarkHeardLocked(size_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MarkDown(size_t index, const KeyReference& key, const absl::Status& status);
  void MarkUpLocked(size_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EnsureProberLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunProber();

  std::vector<std::unique_ptr<Member>> members_;  // the same for ever
  mutable Mutex mu_;
  std::array<Record, kMostTokens> records_ ABSL_GUARDED_BY(mu_);  // of the members
  CondVar changed_;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  bool probing_ ABSL_GUARDED_BY(mu_) = false;
  std::thread prober_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd

#endif  // KEKD_HSM_TOKEN_GROUP_H_
