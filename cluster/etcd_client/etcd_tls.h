// The files with which a client of etcd proves who it is and knows who answers.
#ifndef KEKD_CLUSTER_ETCD_CLIENT_ETCD_TLS_H_
#define KEKD_CLUSTER_ETCD_CLIENT_ETCD_TLS_H_

#include <openssl/x509.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "base/secret_bytes.h"

namespace kekd {

// The paths, named as etcdctl's options are; empty if there is none.
struct EtcdTlsPaths {
  std::string cacert;
  std::string cert;
  std::string key;

  bool Any() const { return !cacert.empty() || !cert.empty() || !key.empty(); }
};

// EtcdTls is the content of those files, looked through so that what is wrong with them is told by
// file before any connection. Thread-compatible.
class EtcdTls final {
 public:
  // InvalidArgument for files that are no certificates or no key, for a certificate without its key
  // and for two that don't belong together; FailedPrecondition if the certificate is not valid at
  // `now`; PermissionDenied if others than its owner have rights on the key's file.
  static absl::StatusOr<EtcdTls> Load(FileSystem& fs, const EtcdTlsPaths& paths, absl::Time now);

  const EtcdTlsPaths& paths() const { return paths_; }
  const std::string& ca_pem() const { return ca_pem_; }
  const std::string& cert_pem() const { return cert_pem_; }  // empty without a client certificate
  const SecretBytes& key_pem() const { return key_pem_; }

 private:
  EtcdTls() = default;

  EtcdTlsPaths paths_;
  std::string ca_pem_;
  std::string cert_pem_;
  SecretBytes key_pem_;
};

// "2026-11-21 18:00 UTC", or "?" if the certificate has none.
std::string NotAfterText(const X509* certificate);
// The names and addresses it is for: "etcd-0, localhost, 127.0.0.1"; "nobody" if there are none.
std::string NamesText(const X509* certificate);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_CLIENT_ETCD_TLS_H_
