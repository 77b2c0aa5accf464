// The plainest way to have objects written anew: GET them all, PUT each as it is. What a migration
// is compared with (bench/migrate).
//
//   put_loop KUBECONFIG LIST_PATH CONCURRENCY
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file_system.h"
#include "base/status_macros.h"
#include "cluster/api_server/api_client.h"
#include "cluster/api_server/curl_transport.h"
#include "cluster/api_server/json_fields.h"
#include "cluster/api_server/kubeconfig.h"

namespace kekd {
namespace {

struct Put {
  std::string path;
  std::string body;
};

// "/api/v1/secrets" and an item of it: "/api/v1/namespaces/NS/secrets/NAME".
std::string PathOf(const std::string& list_path, const nlohmann::json& item) {
  const size_t slash = list_path.rfind('/');
  return absl::StrCat(list_path.substr(0, slash), "/namespaces/",
                      TextField(item, {"metadata", "namespace"}), list_path.substr(slash), "/",
                      TextField(item, {"metadata", "name"}));
}

absl::StatusOr<std::vector<Put>> ReadAll(ApiClient& client, const std::string& list_path) {
  HttpRequest request;
  request.path = list_path;
  KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer,
                        client.Call(request, absl::Now() + absl::Minutes(1)));
  KEKD_RETURN_IF_ERROR(ToStatus(answer, "listing"));
  std::vector<Put> puts;
  const nlohmann::json list = ParseJson(answer.body);
  for (const nlohmann::json& item : ArrayField(list, {"items"})) {
    puts.push_back({PathOf(list_path, item), FormatJson(item)});
  }
  return puts;
}

absl::Status Run(const std::string& kubeconfig, const std::string& list_path, int concurrency) {
  KEKD_ASSIGN_OR_RETURN(ApiServerAccess access,
                        LoadKubeconfig(FileSystem::System(), {.path = kubeconfig}, absl::Now()));
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<HttpTransport> transport,
                        CreateCurlTransport(FileSystem::System(), std::move(access), {}));
  ApiClient client(*transport);
  const absl::Time begin = absl::Now();
  KEKD_ASSIGN_OR_RETURN(const std::vector<Put> puts, ReadAll(client, list_path));
  std::atomic<size_t> next{0};
  std::atomic<int> failed{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < concurrency; ++i) {
      threads.emplace_back([&] {
        for (size_t at = next++; at < puts.size(); at = next++) {
          HttpRequest request;
          request.method = HttpMethod::kPut;
          request.path = puts[at].path;
          request.content_type = "application/json";
          request.body = puts[at].body;
          const auto answer = client.Call(request, absl::Now() + absl::Minutes(1));
          if (!answer.ok() || !answer->ok()) ++failed;
        }
      });
    }
  }
  printf("{\"objects\": %zu, \"failed\": %d, \"seconds\": %.3f}\n", puts.size(), failed.load(),
         absl::ToDoubleSeconds(absl::Now() - begin));
  return absl::OkStatus();
}

}  // namespace
}  // namespace kekd

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: put_loop KUBECONFIG LIST_PATH CONCURRENCY\n");
    return 2;
  }
  const absl::Status status = kekd::Run(argv[1], argv[2], atoi(argv[3]));
  if (status.ok()) return 0;
  fprintf(stderr, "put_loop: %s\n", std::string(status.message()).c_str());
  return 1;
}
