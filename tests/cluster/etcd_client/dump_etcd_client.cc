// Reads a running etcd as kekctl does and writes down what came, for the tests with real servers:
//   dump_etcd_client --endpoints=A,B [--cacert=F --cert=F --key=F] [--prefixes=P,P] [--history]
//                    [--command-timeout=5s] [--dial-timeout=2s] [--slow=10ms]
//                    [--print=objects|facts]
// stdout: a line "object KEY MOD_REVISION SIZE SHA256" for each, then the facts, one a line. The
// exit code is 0, or 1 with "error: CODE: message" on stderr.
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "base/hex.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "cluster/etcd_client/etcd_client.h"
#include "cluster/etcd_client/live_etcd_source.h"
#include "keystore/digest.h"

namespace kekd {
namespace {

using Flags = std::map<std::string, std::string>;

absl::Duration DurationOf(Flags& flags, const char* name, absl::Duration otherwise) {
  absl::Duration parsed;
  return absl::ParseDuration(flags[name], &parsed) ? parsed : otherwise;
}

EtcdClientOptions OptionsOf(Flags& flags) {
  EtcdClientOptions options;
  options.endpoints = absl::StrSplit(flags["endpoints"], ',');
  options.tls = {.cacert = flags["cacert"], .cert = flags["cert"], .key = flags["key"]};
  options.dial_timeout = DurationOf(flags, "dial-timeout", absl::Seconds(2));
  options.command_timeout = DurationOf(flags, "command-timeout", absl::Seconds(10));
  return options;
}

void PrintFacts(const SourceFacts& facts, uint64_t objects) {
  printf("name %s\nkind %s\nidentity %s\nversion %s\n", facts.name.c_str(), facts.kind.c_str(),
         facts.identity.c_str(), facts.version.c_str());
  printf("revision %ld\nbytes %lu\nother_keys %lu\nobjects %lu\n", facts.revision, facts.bytes,
         facts.other_keys, objects);
  for (const Gap& gap : facts.gaps) {
    printf("gap %s: %s; %s\n", gap.what.c_str(), gap.why.c_str(), gap.cure.c_str());
  }
}

absl::Status Dump(Flags& flags) {
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<EtcdClient> client,
                        EtcdClient::Create(OptionsOf(flags), FileSystem::System()));
  const std::unique_ptr<EtcdSource> source = CreateLiveEtcdSource(std::move(client));
  ReadRange range;
  if (flags.count("prefixes") != 0) range.prefixes = absl::StrSplit(flags["prefixes"], ',');
  range.history = flags.count("history") != 0;
  const bool print = flags["print"] != "facts";
  const absl::Duration slow = DurationOf(flags, "slow", absl::ZeroDuration());
  uint64_t objects = 0;
  KEKD_ASSIGN_OR_RETURN(
      const SourceFacts facts,
      source->Read(
          range,
          [&](const StoredObject& object) -> absl::Status {
            ++objects;
            if (!print) return absl::OkStatus();
            KEKD_ASSIGN_OR_RETURN(const Sha256Digest sha256, Sha256(AsBytes(object.value)));
            const std::string digest = HexEncode(sha256);
            printf("object %.*s %ld %zu %s\n", static_cast<int>(object.key.size()),
                   object.key.data(), object.mod_revision, object.value.size(), digest.c_str());
            return absl::OkStatus();
          },
          [&](uint64_t, uint64_t) {
            // The tests kill an etcd when the first page has come.
            fflush(stdout);
            absl::SleepFor(slow);
          }));
  PrintFacts(facts, objects);
  return absl::OkStatus();
}

}  // namespace
}  // namespace kekd

int main(int argc, char** argv) {
  kekd::PrepareGrpcForEtcd();
  absl::Status status = kekd::HardenProcess();
  kekd::Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::pair<std::string, std::string> flag =
        absl::StrSplit(absl::StripPrefix(argv[i], "--"), absl::MaxSplits('=', 1));
    flags[flag.first] = flag.second;
  }
  if (status.ok()) status = kekd::Dump(flags);
  if (status.ok()) return 0;
  fprintf(stderr, "error: %s: %s\n", absl::StatusCodeToString(status.code()).c_str(),
          std::string(status.message()).c_str());
  return 1;
}
