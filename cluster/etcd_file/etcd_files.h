// etcd from its files, with no etcd and no key.
#ifndef KEKD_CLUSTER_ETCD_FILE_ETCD_FILES_H_
#define KEKD_CLUSTER_ETCD_FILE_ETCD_FILES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cluster/stored_object.h"

namespace kekd {

// Opens what `path` names and tells by itself which it is:
// - a snapshot, as `etcdctl snapshot save` makes it. Its SHA-256 is verified; one that does not fit
//   is a gap, and what can be read is read;
// - a database file (member/snap/db, or a copy of it). It has no hash, and the log may have more:
//   a gap;
// - a data folder, or the folder "member" of one: the database, and with it what the write-ahead
//   log has and the database has not yet. With history, all of the log and databases that were left
//   over, whose objects are told as old revisions.
//
// NotFound, PermissionDenied: as the file system says. InvalidArgument: it is something else.
// FailedPrecondition: an etcd is running on it; the message names the ways to read that.
absl::StatusOr<std::unique_ptr<EtcdSource>> OpenEtcdFiles(const std::string& path);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_ETCD_FILES_H_
