// An API server in memory, as far as a migration asks it.
#ifndef KEKD_TESTS_CLUSTER_API_SERVER_FAKE_API_SERVER_H_
#define KEKD_TESTS_CLUSTER_API_SERVER_FAKE_API_SERVER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "cluster/api_server/discovery.h"
#include "cluster/api_server/http_transport.h"

namespace kekd::testing {

// A failure as an API server writes it.
HttpResponse StatusResponse(int http_status, absl::string_view reason, absl::string_view message,
                            absl::string_view about = "");
HttpResponse JsonResponse(absl::string_view json);

// FakeApiServer keeps names, resource versions and whether an object is stale, as kube-apiserver
// does: lists are sorted, in pages at one revision, and a write that changes nothing gives a new
// resource version to a stale object only. Thread-safe.
class FakeApiServer final : public HttpTransport {
 public:
  // Stale objects of a resource: "NAMESPACE/NAME", or the name alone.
  void Add(const ApiResource& resource, const std::vector<std::string>& keys);
  void Remove(const ApiResource& resource, const std::string& key);
  // Somebody writes it: it is stale no more.
  void WriteByOther(const ApiResource& resource, const std::string& key);
  void MakeAllStale();

  // What is still stale of all resources.
  std::vector<std::string> Stale() const;
  // Patches that were asked for, by key.
  std::map<std::string, int> patches() const;
  int lists() const;

  // The next `times` requests of this method are answered so, before anything is done.
  void FailNext(HttpMethod method, int times, absl::StatusOr<HttpResponse> answer);
  // Every patch of this object is.
  void Refuse(const std::string& key, HttpResponse answer);
  // Tokens given until now expire; with a token to go on with, or none.
  void ExpireTokens(bool with_another);
  // A plain answer to GET of a path.
  void Answer(const std::string& path, HttpResponse answer);
  // What a SelfSubjectAccessReview denies: "patch secrets".
  void Deny(const std::string& verb_and_resource);
  // Called after each patch, with how many there were, without any lock.
  void OnPatch(std::function<void(int count)> hook);
  // Lists come in reverse.
  void Unsort();

  absl::StatusOr<HttpResponse> Send(const HttpRequest& request, absl::Time deadline) override;
  const std::string& server() const override { return server_; }

 private:
  struct Object {
    uint64_t version = 0;
    bool stale = true;
  };
  using Objects = std::map<std::string, Object>;

  HttpResponse List(const std::string& path, const std::string& query)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  HttpResponse Patch(const HttpRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  HttpResponse Review(const HttpRequest& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string server_ = "https://fake:6443";
  mutable Mutex mu_;
  std::map<std::string, Objects> lists_ ABSL_GUARDED_BY(mu_);  // by list path
  uint64_t revision_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t oldest_ ABSL_GUARDED_BY(mu_) = 0;  // revision that a token may have
  bool gives_another_token_ ABSL_GUARDED_BY(mu_) = true;
  bool sorted_ ABSL_GUARDED_BY(mu_) = true;
  std::map<HttpMethod, std::deque<absl::StatusOr<HttpResponse>>> faults_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, HttpResponse> refusals_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, HttpResponse> answers_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> denied_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> patches_ ABSL_GUARDED_BY(mu_);
  int patch_count_ ABSL_GUARDED_BY(mu_) = 0;
  int list_count_ ABSL_GUARDED_BY(mu_) = 0;
  std::function<void(int)> on_patch_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_CLUSTER_API_SERVER_FAKE_API_SERVER_H_
