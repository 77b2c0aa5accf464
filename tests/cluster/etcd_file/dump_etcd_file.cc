// Prints what is found in etcd's files, for the tests that compare it with etcd's own answers, or
// only counts it, for the benchmark: a JSON object a line, the facts last.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/escaping.h"
#include "cluster/etcd_file/etcd_files.h"

namespace kekd {
namespace {

int Dump(const std::string& path, const ReadRange& range, bool count_only) {
  const auto started = std::chrono::steady_clock::now();
  absl::StatusOr<std::unique_ptr<EtcdSource>> source = OpenEtcdFiles(path);
  if (!source.ok()) {
    std::fprintf(stderr, "%s\n", source.status().ToString().c_str());
    return 1;
  }
  std::map<std::string, uint64_t> counts;
  uint64_t value_bytes = 0;
  const absl::StatusOr<SourceFacts> facts = (*source)->Read(
      range,
      [&](const StoredObject& object) {
        ++counts[std::string(ToString(object.place))];
        value_bytes += object.value.size();
        if (count_only) return absl::OkStatus();
        const nlohmann::json line = {{"key", absl::BytesToHexString(object.key)},
                                     {"value", absl::BytesToHexString(object.value)},
                                     {"modRevision", object.mod_revision},
                                     {"place", std::string(ToString(object.place))},
                                     {"whole", object.whole}};
        std::printf("%s\n", line.dump().c_str());
        return absl::OkStatus();
      },
      [](uint64_t, uint64_t) {});
  if (!facts.ok()) {
    std::fprintf(stderr, "%s\n", facts.status().ToString().c_str());
    return 1;
  }
  nlohmann::json gaps = nlohmann::json::array();
  for (const Gap& gap : facts->gaps) {
    gaps.push_back({{"what", gap.what}, {"why", gap.why}, {"cure", gap.cure}});
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - started;
  const nlohmann::json line = {{"facts",
                                {{"name", facts->name},
                                 {"kind", facts->kind},
                                 {"identity", facts->identity},
                                 {"version", facts->version},
                                 {"revision", facts->revision},
                                 {"compacted", facts->compacted},
                                 {"bytes", facts->bytes},
                                 {"otherKeys", facts->other_keys},
                                 {"gaps", gaps}}},
                               {"counts", counts},
                               {"valueBytes", value_bytes},
                               {"seconds", taken.count()}};
  std::printf("%s\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return 0;
}

}  // namespace
}  // namespace kekd

int main(int argc, char** argv) {
  kekd::ReadRange range;
  bool count_only = false;
  std::string path;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--history") {
      range.history = true;
    } else if (argument == "--count") {
      count_only = true;
    } else if (argument.rfind("--prefix=", 0) == 0) {
      range.prefixes = {argument.substr(9)};
    } else {
      path = argument;
    }
  }
  if (path.empty()) {
    std::fprintf(stderr, "usage: dump_etcd_file [--history] [--count] [--prefix=P] PATH\n");
    return 2;
  }
  return kekd::Dump(path, range, count_only);
}
