// etcd's data folder: which files are in it, and which of them say what is stored.
#ifndef KEKD_CLUSTER_ETCD_FILE_DATA_FOLDER_H_
#define KEKD_CLUSTER_ETCD_FILE_DATA_FOLDER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/gap_list.h"

namespace kekd {

// A database that a leader sent, which etcd left behind or has not taken over yet.
struct LeftOver {
  std::string path;
  uint64_t index = 0;  // of the last entry in it, as its name tells
};

// Paths of a data folder's files.
struct DataFolder {
  std::string database;
  std::vector<std::string> segments;   // of the write-ahead log, in the order they were written
  std::vector<std::string> allocated;  // files that are made beforehand to become segments
  std::vector<LeftOver> left_overs;
};

// Finds them in a data folder or in the folder "member" of one. Anything else that lies there, such
// as what a repair or an interrupted defragmentation left, and a missing segment is a gap. The
// *.snap files are passed over: they hold the members, and keys of etcd's second API only.
// InvalidArgument if the folder is none of etcd's; else as the file system fails.
absl::StatusOr<DataFolder> FindDataFolder(const std::string& path, GapList& gaps);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_DATA_FOLDER_H_
