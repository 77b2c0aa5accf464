// A running etcd as a source of objects.
#ifndef KEKD_CLUSTER_ETCD_CLIENT_LIVE_ETCD_SOURCE_H_
#define KEKD_CLUSTER_ETCD_CLIENT_LIVE_ETCD_SOURCE_H_

#include <memory>

#include "cluster/etcd_client/etcd_client.h"
#include "cluster/stored_object.h"

namespace kekd {

// What etcd holds at one revision: the newest when the reading begins. An etcd that goes away
// meanwhile is Unavailable, one that compacts that revision Aborted, never a short clean result.
// Of old revisions and remains its API shows nothing: with `history` they are a gap. Works with
// kine too.
std::unique_ptr<EtcdSource> CreateLiveEtcdSource(std::unique_ptr<EtcdClient> client);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_CLIENT_LIVE_ETCD_SOURCE_H_
