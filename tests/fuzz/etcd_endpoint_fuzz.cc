// An endpoint of etcd, as it is typed.
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "cluster/etcd_client/etcd_endpoint.h"
#include "tests/fuzz/choices.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kekd::EtcdEndpoint;
  using kekd::testing::Require;
  const absl::string_view text = kekd::AsText(kekd::ByteView(data, size));
  for (const auto scheme : {kekd::DefaultScheme::kHttp, kekd::DefaultScheme::kHttps}) {
    const absl::StatusOr<EtcdEndpoint> endpoint = EtcdEndpoint::Parse(text, scheme);
    if (!endpoint.ok()) {
      Require(absl::IsInvalidArgument(endpoint.status()));
      continue;
    }
    Require(endpoint->text == text && !endpoint->Target().empty());
    if (!endpoint->socket_path.empty()) {
      Require(endpoint->host.empty() && !endpoint->tls);
      continue;
    }
    uint32_t port = 0;
    Require(absl::SimpleAtoi(endpoint->port, &port) && port > 0 && port < 65536);
    // What gRPC is given and what TLS checks is the host and port that was meant.
    const absl::StatusOr<EtcdEndpoint> again = EtcdEndpoint::Parse(
        absl::StrCat(endpoint->tls ? "https://" : "http://", endpoint->Authority()), scheme);
    Require(again.ok() && again->host == endpoint->host && again->port == endpoint->port);
    for (const char c : endpoint->host) Require(c > ' ' && c < 0x7f);
  }
  return 0;
}
