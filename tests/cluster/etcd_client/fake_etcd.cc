#include "tests/cluster/etcd_client/fake_etcd.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace kekd::testing {

class FakeEtcd::KvService final : public etcdserverpb::KV::Service {
 public:
  explicit KvService(FakeEtcd& etcd) : etcd_(etcd) {}
  grpc::Status Range(grpc::ServerContext*, const etcdserverpb::RangeRequest* request,
                     etcdserverpb::RangeResponse* response) override {
    return etcd_.Range(*request, *response);
  }

 private:
  FakeEtcd& etcd_;
};

class FakeEtcd::MaintenanceService final : public etcdserverpb::Maintenance::Service {
 public:
  explicit MaintenanceService(FakeEtcd& etcd) : etcd_(etcd) {}
  grpc::Status Status(grpc::ServerContext*, const etcdserverpb::StatusRequest*,
                      etcdserverpb::StatusResponse* response) override {
    MutexLock lock(&etcd_.mutex_);
    response->mutable_header()->set_cluster_id(etcd_.cluster_id_);
    response->set_version("3.9.9");
    for (const std::string& error : etcd_.errors_) response->add_errors(error);
    return etcd_.status_;
  }

 private:
  FakeEtcd& etcd_;
};

FakeEtcd::FakeEtcd()
    : kv_(std::make_unique<KvService>(*this)),
      maintenance_(std::make_unique<MaintenanceService>(*this)) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(kv_.get());
  builder.RegisterService(maintenance_.get());
  server_ = builder.BuildAndStart();
  endpoint_ = absl::StrCat("127.0.0.1:", port);
}

FakeEtcd::~FakeEtcd() { Stop(); }

void FakeEtcd::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(absl::ToChronoTime(absl::Now()));
  server_->Wait();
  server_ = nullptr;
}

void FakeEtcd::Put(const std::string& key, const std::string& value) {
  MutexLock lock(&mutex_);
  mvccpb::KeyValue& object = objects_[key];
  object.set_key(key);
  object.set_value(value);
  object.set_mod_revision(++revision_);
}

void FakeEtcd::SetClusterId(uint64_t id) {
  MutexLock lock(&mutex_);
  cluster_id_ = id;
}

void FakeEtcd::SetErrors(std::vector<std::string> errors) {
  MutexLock lock(&mutex_);
  errors_ = std::move(errors);
}

void FakeEtcd::SetStatus(const grpc::Status& status) {
  MutexLock lock(&mutex_);
  status_ = status;
}

void FakeEtcd::FailAfter(int skip, Fault fault) {
  MutexLock lock(&mutex_);
  faults_.resize(faults_.size() + static_cast<size_t>(skip));
  faults_.push_back(std::move(fault));
}

std::vector<etcdserverpb::RangeRequest> FakeEtcd::requests() const {
  MutexLock lock(&mutex_);
  return requests_;
}

void FakeEtcd::AnswerLocked(const etcdserverpb::RangeRequest& request,
                            etcdserverpb::RangeResponse& response) const {
  response.mutable_header()->set_cluster_id(cluster_id_);
  response.mutable_header()->set_revision(revision_);
  auto next = objects_.lower_bound(request.key());
  auto end = request.range_end() == std::string(1, '\0')
                 ? objects_.end()
                 : objects_.lower_bound(request.range_end());
  if (request.range_end().empty()) end = objects_.upper_bound(request.key());
  int64_t count = 0;
  for (; next != end; ++next) {
    ++count;
    if (request.count_only()) continue;
    if (request.limit() != 0 && response.kvs_size() == request.limit()) {
      response.set_more(true);
      continue;
    }
    mvccpb::KeyValue& object = *response.add_kvs();
    object = next->second;
    if (request.keys_only()) object.clear_value();
  }
  response.set_count(count);
}

grpc::Status FakeEtcd::Range(const etcdserverpb::RangeRequest& request,
                             etcdserverpb::RangeResponse& response) {
  Fault fault;
  {
    MutexLock lock(&mutex_);
    requests_.push_back(request);
    AnswerLocked(request, response);
    if (!faults_.empty()) {
      fault = std::move(faults_.front());
      faults_.pop_front();
    }
  }
  return fault ? fault(request, response) : grpc::Status::OK;
}

}  // namespace kekd::testing
