#include "cluster/etcd_client/etcd_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/pem.h"
#include "base/private_file.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

// A bundle of every public CA is a fifth of that.
constexpr size_t kMaxPemBytes = 1 << 20;
constexpr size_t kMaxKeyBytes = 32 << 10;

// The first certificate of a file.
absl::StatusOr<OpenSslPtr<X509>> FirstCertificate(absl::string_view pem, absl::string_view what) {
  const OpenSslPtr<BIO> bio = OpenPem(pem);
  OpenSslPtr<X509> certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(what, " holds no PEM certificate"));
  }
  return certificate;
}

absl::Status CheckTime(const X509* certificate, absl::Time now, absl::string_view path) {
  time_t at = absl::ToTimeT(now);
  if (X509_cmp_time(X509_get0_notAfter(certificate), &at) < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("client certificate ", path, " expired at ", NotAfterText(certificate),
                     ": give a new one (kubeadm certs renew, for kubeadm's)"));
  }
  if (X509_cmp_time(X509_get0_notBefore(certificate), &at) > 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "client certificate ", path, " is not valid yet: is the clock of this machine right?"));
  }
  return absl::OkStatus();
}

std::string AddressText(const ASN1_OCTET_STRING* address) {
  char text[INET6_ADDRSTRLEN];
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(address) != 16) return "?";
  if (inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof text) == nullptr) return "?";
  return text;
}

struct NamesDeleter {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

}  // namespace

absl::StatusOr<EtcdTls> EtcdTls::Load(FileSystem& fs, const EtcdTlsPaths& paths, absl::Time now) {
  EtcdTls tls;
  tls.paths_ = paths;
  if (paths.cacert.empty()) {
    return absl::InvalidArgumentError(
        "no CA file for etcd's certificate: give --cacert (kubeadm's is "
        "/etc/kubernetes/pki/etcd/ca.crt)");
  }
  if (paths.cert.empty() != paths.key.empty()) {
    return absl::InvalidArgumentError(
        paths.cert.empty() ? "a key file is given without its certificate: give both "
                             "--cert and --key, or neither"
                           : "a client certificate is given without its key: give "
                             "both --cert and --key, or neither");
  }
  KEKD_ASSIGN_OR_RETURN(tls.ca_pem_, fs.ReadFile(paths.cacert, kMaxPemBytes));
  KEKD_RETURN_IF_ERROR(
      FirstCertificate(tls.ca_pem_, absl::StrCat("CA file ", paths.cacert)).status());
  if (paths.cert.empty()) return tls;

  KEKD_ASSIGN_OR_RETURN(tls.cert_pem_, fs.ReadFile(paths.cert, kMaxPemBytes));
  KEKD_ASSIGN_OR_RETURN(const OpenSslPtr<X509> certificate,
                        FirstCertificate(tls.cert_pem_, absl::StrCat("cert file ", paths.cert)));
  KEKD_RETURN_IF_ERROR(CheckTime(certificate.get(), now, paths.cert));
  KEKD_ASSIGN_OR_RETURN(tls.key_pem_,
                        ReadPrivateFile(fs, "key file", paths.key, kMaxKeyBytes, std::nullopt));
  KEKD_ASSIGN_OR_RETURN(const OpenSslPtr<EVP_PKEY> key,
                        ParsePrivateKey(tls.key_pem_, absl::StrCat("key file ", paths.key)));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat("key file ", paths.key, " is not the key of certificate ", paths.cert));
  }
  return tls;
}

std::string NotAfterText(const X509* certificate) {
  tm time = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) return "?";
  return absl::StrFormat("%04d-%02d-%02d %02d:%02d UTC", time.tm_year + 1900, time.tm_mon + 1,
                         time.tm_mday, time.tm_hour, time.tm_min);
}

std::string NamesText(const X509* certificate) {
  const std::unique_ptr<GENERAL_NAMES, NamesDeleter> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> texts;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      texts.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                         static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      texts.push_back(AddressText(name->d.iPAddress));
    }
  }
  // From a peer that is not trusted yet: no control characters of its reach a terminal.
  return texts.empty() ? "nobody" : absl::CHexEscape(absl::StrJoin(texts, ", "));
}

}  // namespace kekd
