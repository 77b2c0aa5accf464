#include "kms/ctl/etcd_options.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "cluster/etcd_client/etcd_client.h"
#include "cluster/etcd_client/live_etcd_source.h"
#include "cluster/etcd_file/etcd_files.h"
#include "cluster/object_key.h"

namespace kekd {
namespace {

constexpr char kEndpoints[] = "--endpoints";
constexpr char kCacert[] = "--cacert";
constexpr char kCert[] = "--cert";
constexpr char kKey[] = "--key";
constexpr char kSnapshot[] = "--snapshot";
constexpr char kDataDir[] = "--data-dir";
constexpr char kPrefix[] = "--prefix";

absl::Status CheckTls(const VerbArguments& given) {
  for (const char* const name : {kCacert, kCert, kKey}) {
    if (given.Has(name) && !given.Has(kEndpoints)) {
      return absl::InvalidArgumentError(absl::StrCat(name, " goes with ", kEndpoints));
    }
  }
  if (given.Has(kCert) != given.Has(kKey)) {
    return absl::InvalidArgumentError(absl::StrCat("give ", kCert, " and ", kKey, " together"));
  }
  return absl::OkStatus();
}

// Whether more than kube-apiserver's --etcd-prefix is given: what its keys go on with.
bool NamesMoreThanPrefix(absl::string_view prefix) {
  const std::vector<absl::string_view> parts = absl::StrSplit(prefix, '/', absl::SkipEmpty());
  if (parts.empty()) return false;
  const auto goes_on = [](absl::string_view part) {
    return NamesResource(part) || absl::StrContains(part, '.');
  };
  if (NamesResource(parts.back())) return true;
  for (const std::string& usual : ReadRange().prefixes) {
    if (parts.size() > 1 && absl::StartsWith(prefix, usual) && goes_on(parts[1])) return true;
  }
  return false;
}

// The resource of an object is what comes after the prefix: below a wrong one it is another, and a
// rule of a policy finds none.
absl::Status CheckPrefixes(const std::vector<std::string>& prefixes) {
  for (const std::string& prefix : prefixes) {
    if (NamesMoreThanPrefix(prefix)) {
      return absl::InvalidArgumentError(
          absl::StrCat(kPrefix, " ", prefix,
                       " goes on with a resource: give only what all keys begin with "
                       "(kube-apiserver's --etcd-prefix, such as /registry)"));
    }
    for (const std::string& other : prefixes) {
      if (&other == &prefix || !absl::StartsWith(prefix, other)) continue;
      return absl::InvalidArgumentError(absl::StrCat(kPrefix, " ", prefix, " lies below ", kPrefix,
                                                     " ", other, ": give only one of them"));
    }
  }
  return absl::OkStatus();
}

std::vector<OptionDescription> EndpointOptions() {
  return {
      {.name = kEndpoints,
       .value = "LIST",
       .help = "read a running etcd at these addresses, with commas between"},
      {.name = kCacert,
       .value = "FILE",
       .help = "the certificate authority of etcd's servers",
       .kind = ValueKind::kFile},
      {.name = kCert,
       .value = "FILE",
       .help = "the client certificate for etcd",
       .kind = ValueKind::kFile},
      {.name = kKey, .value = "FILE", .help = "its private key", .kind = ValueKind::kFile},
  };
}

OptionDescription PrefixOption() {
  return {.name = kPrefix,
          .value = "PREFIX",
          .help =
              "what the keys begin with, if not with /registry/, /kubernetes.io/ or "
              "/openshift.io/; once for each",
          .repeatable = true};
}

// What is said of a running etcd beside its endpoints, and of keys.
absl::Status ReadEndpoints(const VerbArguments& given, EtcdPlace& place) {
  KEKD_RETURN_IF_ERROR(CheckTls(given));
  if (given.Has(kEndpoints)) place.endpoints = absl::StrSplit(given.Text(kEndpoints), ',');
  place.cacert = given.Text(kCacert);
  place.cert = given.Text(kCert);
  place.key = given.Text(kKey);
  for (const std::string& prefix : given.All(kPrefix)) {
    if (prefix.empty() || prefix.front() != '/') {
      return absl::InvalidArgumentError(absl::StrCat(
          kPrefix, " must begin with a slash, such as /registry, and is \"", prefix, "\""));
    }
    place.prefixes.push_back(prefix.back() == '/' ? prefix : absl::StrCat(prefix, "/"));
  }
  return CheckPrefixes(place.prefixes);
}

}  // namespace

std::vector<OptionDescription> WithEtcdOptions(std::vector<OptionDescription> first) {
  std::vector<OptionDescription> all = EndpointOptions();
  for (OptionDescription& option :
       std::vector<OptionDescription>{{.name = kSnapshot,
       .value = "FILE",
       .help = "read a snapshot, or a copy of etcd's database file",
       .kind = ValueKind::kFile},
                                      {.name = kDataDir,
                                      .value = "DIR",
                                      .help = "read the data folder of an etcd that is stopped",
                                      .kind = ValueKind::kFolder},
                                      PrefixOption()}) {
    all.push_back(std::move(option));
  }
  for (OptionDescription& option : first) all.push_back(std::move(option));
  return all;
}

std::vector<OptionDescription> WithLiveEtcdOptions(std::vector<OptionDescription> first) {
  for (OptionDescription& option : EndpointOptions()) first.push_back(std::move(option));
  first.push_back(PrefixOption());
  return first;
}

absl::StatusOr<EtcdPlace> ReadEtcdPlace(const VerbArguments& given) {
  int places = 0;
  for (const char* const name : {kEndpoints, kSnapshot, kDataDir})
    places += given.Has(name) ? 1 : 0;
  if (places != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        places == 0 ? "which etcd is meant is missing: give one of " : "give only one of ",
        kEndpoints, ", ", kSnapshot, " or ", kDataDir));
  }
  EtcdPlace place;
  KEKD_RETURN_IF_ERROR(ReadEndpoints(given, place));
  place.snapshot = given.Text(kSnapshot);
  place.data_folder = given.Text(kDataDir);
  return place;
}

absl::StatusOr<std::optional<EtcdPlace>> ReadLiveEtcdPlace(const VerbArguments& given) {
  EtcdPlace place;
  KEKD_RETURN_IF_ERROR(ReadEndpoints(given, place));
  if (place.endpoints.empty()) return std::nullopt;
  return place;
}

namespace {

absl::StatusOr<std::unique_ptr<EtcdClient>> OpenLiveEtcd(FileSystem& fs, const EtcdPlace& place) {
  return EtcdClient::Create({.endpoints = place.endpoints,
                             .tls = {.cacert = place.cacert, .cert = place.cert, .key = place.key}},
                            fs);
}

}  // namespace

absl::StatusOr<bool> IsCompacted(FileSystem& fs, const EtcdPlace& place, int64_t revision) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<EtcdClient> client, OpenLiveEtcd(fs, place));
  const absl::StatusOr<EtcdPage> page = client->Range(
      {.range = KeyRange::Of("/"), .revision = revision, .content = PageContent::kCountOnly});
  if (absl::IsAborted(page.status())) return true;
  if (!page.ok()) return page.status();
  return false;
}

absl::StatusOr<std::unique_ptr<EtcdSource>> OpenEtcd(FileSystem& fs, const EtcdPlace& place) {
  if (place.endpoints.empty()) {
    const bool wants_folder = place.snapshot.empty();
    const std::string& path = wants_folder ? place.data_folder : place.snapshot;
    KEKD_ASSIGN_OR_RETURN(const FileInfo info, fs.GetInfo(path));
    if (wants_folder != (info.type == FileType::kDirectory)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, wants_folder ? " is no folder; --snapshot reads a file"
                                          : " is a folder; --data-dir reads that of a member"));
    }
    return OpenEtcdFiles(path);
  }
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<EtcdClient> client, OpenLiveEtcd(fs, place));
  return CreateLiveEtcdSource(std::move(client));
}

}  // namespace kekd
