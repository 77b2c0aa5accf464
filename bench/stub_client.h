// The client that gRPC generates.
#ifndef KEKD_BENCH_STUB_CLIENT_H_
#define KEKD_BENCH_STUB_CLIENT_H_

#include <memory>

#include "absl/strings/string_view.h"
#include "bench/kms_client.h"

namespace kekd::bench {

// gRPC C++'s synchronous stub on a channel of its own to the socket at `path`.
std::unique_ptr<KmsClient> CreateStubClient(absl::string_view path);

}  // namespace kekd::bench

#endif  // KEKD_BENCH_STUB_CLIENT_H_
