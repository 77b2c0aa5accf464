#include "tests/cluster/etcd_file/collected.h"

#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cluster/etcd_file/etcd_files.h"

namespace kekd::testing {

std::ostream& operator<<(std::ostream& out, const Found& found) {
  return out << ToString(found.place) << " " << found.key << "@" << found.mod_revision << "="
             << found.value.substr(0, 40) << " (" << found.value.size() << " bytes"
             << (found.whole ? ")" : ", cut)");
}

absl::StatusOr<Collected> Collect(const std::string& path, const ReadRange& range) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<EtcdSource> source, OpenEtcdFiles(path));
  Collected collected;
  KEKD_ASSIGN_OR_RETURN(collected.facts,
                        source->Read(
                            range,
                            [&](const StoredObject& object) {
                              collected.objects.push_back({.place = object.place,
                                                           .key = std::string(object.key),
                                                           .value = std::string(object.value),
                                                           .mod_revision = object.mod_revision,
                                                           .whole = object.whole});
                              return absl::OkStatus();
                            },
                            [](uint64_t done, uint64_t total) {
                              if (done > total) std::abort();
                            }));
  return collected;
}

std::string GapText(const SourceFacts& facts) {
  std::string text;
  for (const Gap& gap : facts.gaps) absl::StrAppend(&text, gap.what, ": ", gap.why, "\n");
  return text;
}

}  // namespace kekd::testing
