// The options that say which etcd is meant, the same for every verb that reads one.
#ifndef KEKD_KMS_CTL_ETCD_OPTIONS_H_
#define KEKD_KMS_CTL_ETCD_OPTIONS_H_

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/stored_object.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/verb_arguments.h"
#include "kms/ctl/verbs.h"

namespace kekd {

// These options after the others.
std::vector<OptionDescription> WithEtcdOptions(std::vector<OptionDescription> first);

// The same of a running etcd alone, before these options.
std::vector<OptionDescription> WithLiveEtcdOptions(std::vector<OptionDescription> first);

// InvalidArgument unless exactly one etcd is named, with what belongs to it.
absl::StatusOr<EtcdPlace> ReadEtcdPlace(const VerbArguments& given);

// None if no endpoints are given; InvalidArgument if only what belongs to them is.
absl::StatusOr<std::optional<EtcdPlace>> ReadLiveEtcdPlace(const VerbArguments& given);

// Opens it: a running etcd is not connected to before it is read.
absl::StatusOr<std::unique_ptr<EtcdSource>> OpenEtcd(FileSystem& fs, const EtcdPlace& place);

// Whether a running etcd has compacted its history up to this revision and beyond.
absl::StatusOr<bool> IsCompacted(FileSystem& fs, const EtcdPlace& place, int64_t revision);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_ETCD_OPTIONS_H_
