// Why an endpoint can't be talked to.
#ifndef KEKD_CLUSTER_ETCD_CLIENT_ENDPOINT_PROBE_H_
#define KEKD_CLUSTER_ETCD_CLIENT_ENDPOINT_PROBE_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cluster/etcd_client/etcd_endpoint.h"
#include "cluster/etcd_client/etcd_tls.h"

namespace kekd {

// Connects once more, step by step, and says which step fails and what to do about it; OK if none
// does. gRPC itself says no more than that no connection came about: not whether the certificate
// expired, is for another name or of another CA, or whether what listens is an etcd at all. `tls`
// is null without TLS.
absl::Status ProbeEndpoint(const EtcdEndpoint& endpoint, const EtcdTls* tls, absl::Time deadline);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_CLIENT_ENDPOINT_PROBE_H_
