// An etcd that can be told to fail as no real one can.
#ifndef KEKD_TESTS_CLUSTER_ETCD_CLIENT_FAKE_ETCD_H_
#define KEKD_TESTS_CLUSTER_ETCD_CLIENT_FAKE_ETCD_H_

#include <grpcpp/server.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "etcd/etcdserverpb/rpc.grpc.pb.h"

namespace kekd::testing {

// FakeEtcd holds objects and serves the API on a free port of loopback. Faults are taken from a
// queue, one a Range call: each may change the answer or replace it. Thread-safe.
class FakeEtcd final {
 public:
  using Fault = std::function<grpc::Status(const etcdserverpb::RangeRequest& request,
                                           etcdserverpb::RangeResponse& response)>;

  FakeEtcd();
  ~FakeEtcd();

  // "127.0.0.1:PORT"
  const std::string& endpoint() const { return endpoint_; }

  void Put(const std::string& key, const std::string& value);
  void SetClusterId(uint64_t id);
  void SetErrors(std::vector<std::string> errors);
  void SetStatus(const grpc::Status& status);  // of Maintenance.Status
  // The next `skip` Range calls go well, the one after that has the fault.
  void FailAfter(int skip, Fault fault);
  // What was asked so far.
  std::vector<etcdserverpb::RangeRequest> requests() const;
  // Every connection breaks and no new one is taken.
  void Stop();

 private:
  class KvService;
  class MaintenanceService;

  grpc::Status Range(const etcdserverpb::RangeRequest& request,
                     etcdserverpb::RangeResponse& response);
  void AnswerLocked(const etcdserverpb::RangeRequest& request,
                    etcdserverpb::RangeResponse& response) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, mvccpb::KeyValue> objects_ ABSL_GUARDED_BY(mutex_);
  int64_t revision_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t cluster_id_ ABSL_GUARDED_BY(mutex_) = 0xc1;
  std::vector<std::string> errors_ ABSL_GUARDED_BY(mutex_);
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
  std::deque<Fault> faults_ ABSL_GUARDED_BY(mutex_);
  std::vector<etcdserverpb::RangeRequest> requests_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<KvService> kv_;
  std::unique_ptr<MaintenanceService> maintenance_;
  std::unique_ptr<grpc::Server> server_;
  std::string endpoint_;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_CLUSTER_ETCD_CLIENT_FAKE_ETCD_H_
