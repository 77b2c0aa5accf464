// A kube-apiserver of the simulation, as far as KMS v2 goes.
#ifndef KEKD_TESTS_SIMULATION_API_SERVER_H_
#define KEKD_TESTS_SIMULATION_API_SERVER_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/simulation/etcd.h"
#include "tests/simulation/node.h"

namespace kekd::testing {

// ApiServer follows k8s.io/apiserver's KMS v2 envelope: it polls Status once a minute, and ten
// seconds after a failure; a new key_id makes a new DEK source, which kekd encrypts; it writes
// with the one it has for 3 minutes after the last good Status (and Encrypt); a DEK source that it
// does not know yet is decrypted by its own node's kekd with the exact key_id. Not thread-safe.
class ApiServer final {
 public:
  static constexpr absl::Duration kPollInterval = absl::Minutes(1);
  static constexpr absl::Duration kPollIntervalAfterFailure = absl::Seconds(10);
  static constexpr absl::Duration kWriteLease = absl::Minutes(3);

  // Is told each key_id that kekd answered.
  using Served = std::function<void(const std::string& key_id)>;
  ApiServer(uint64_t index, Node* node, Served served);

  const std::string& name() const { return name_; }

  void Start(absl::Duration now);
  void Stop();
  bool is_up() const { return is_up_; }

  absl::Duration next_poll() const { return next_poll_; }
  void Poll(absl::Duration now);

  absl::Status Write(Etcd& etcd, uint32_t object, absl::Duration now);
  absl::Status Read(const Etcd& etcd, uint32_t object);
  // What an update without a change does: it writes only what is stale here.
  absl::Status Rewrite(Etcd& etcd, uint32_t object, absl::Duration now);

  // Whether it could write now, and under which key.
  bool MayWrite(absl::Duration now) const { return is_up_ && current_ != nullptr && now <= lease_; }
  std::string key_id() const { return current_ == nullptr ? "" : current_->key_id; }

  // What stands between it and others.
  bool reaches_kekd = true;
  bool reaches_etcd = true;
  bool can_be_asked = true;  // by an operator

 private:
  absl::Status Check(absl::Duration now);

  const uint64_t index_;
  const std::string name_;
  Node* const node_;
  const Served served_;
  bool is_up_ = false;
  uint64_t made_ = 0;
  StoredDekSource current_;
  absl::Duration lease_ = -absl::InfiniteDuration();
  absl::Duration next_poll_ = absl::InfiniteDuration();
  std::set<uint64_t> cache_;  // numbers of DEK sources
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SIMULATION_API_SERVER_H_
