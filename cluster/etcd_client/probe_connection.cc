#include "cluster/etcd_client/probe_connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/pem.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"

namespace kekd {
namespace {

struct AddressesDeleter {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, AddressesDeleter>;

absl::StatusOr<Addresses> Resolve(const EtcdEndpoint& endpoint) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(endpoint.host.c_str(), endpoint.port.c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("its name ", endpoint.host, " can't be resolved: ", gai_strerror(error)));
  }
  return Addresses(found);
}

absl::Status WaitOn(int fd, short events, absl::Time deadline) {
  pollfd watched = {.fd = fd, .events = events, .revents = 0};
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    const int ready = poll(&watched, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30)));
    if (ready > 0) return absl::OkStatus();
    if (ready == 0) return absl::UnavailableError("it did not answer in time");
    if (errno != EINTR) return PosixError(errno, "poll");
  }
}

absl::Status ConnectError(int error, const EtcdEndpoint& endpoint) {
  if (error == ECONNREFUSED || (error == ENOENT && !endpoint.socket_path.empty())) {
    return absl::UnavailableError("nobody listens there: is etcd running?");
  }
  if (error == EACCES) {
    return absl::UnavailableError("this user has no right to connect to the socket");
  }
  return absl::UnavailableError(
      absl::StrCat("it can't be connected to: ", PosixError(error, "connect").message()));
}

absl::StatusOr<UniqueFd> ConnectTo(const sockaddr* address, socklen_t size, int family,
                                   const EtcdEndpoint& endpoint, absl::Time deadline) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return PosixError(errno, "socket");
  if (connect(fd.get(), address, size) == 0) return fd;
  if (errno != EINPROGRESS) return ConnectError(errno, endpoint);
  KEKD_RETURN_IF_ERROR(WaitOn(fd.get(), POLLOUT, deadline));
  int error = 0;
  socklen_t error_size = sizeof error;
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &error_size);
  if (error != 0) return ConnectError(error, endpoint);
  return fd;
}

void AddAuthorities(SSL_CTX* context, const EtcdTls& tls) {
  const OpenSslPtr<BIO> bio = OpenPem(tls.ca_pem());
  while (OpenSslPtr<X509> ca =
             OpenSslPtr<X509>(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get());
  }
}

void AddClientCertificate(SSL_CTX* context, const EtcdTls& tls) {
  if (tls.cert_pem().empty()) return;
  const OpenSslPtr<BIO> certificates = OpenPem(tls.cert_pem());
  const OpenSslPtr<X509> leaf(PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr));
  SSL_CTX_use_certificate(context, leaf.get());
  while (OpenSslPtr<X509> next =
             OpenSslPtr<X509>(PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr))) {
    SSL_CTX_add1_chain_cert(context, next.get());
  }
  // Load has parsed it once already.
  const absl::StatusOr<OpenSslPtr<EVP_PKEY>> key = ParsePrivateKey(tls.key_pem(), "key");
  if (key.ok()) SSL_CTX_use_PrivateKey(context, key->get());
}

bool IsAddress(const std::string& host) {
  in6_addr parsed;
  return inet_pton(AF_INET, host.c_str(), &parsed) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &parsed) == 1;
}

// Why our side does not trust the other.
std::string DistrustText(int result, const X509* certificate, const EtcdEndpoint& endpoint,
                         const EtcdTls& tls) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return absl::StrCat("its certificate expired at ", NotAfterText(certificate),
                          ": renew it on etcd's machine (is the clock of this one right?)");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "its certificate is not valid yet: is the clock of this machine right?";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return absl::StrCat("its certificate is not for ", endpoint.host, " but for ",
                          NamesText(certificate), ": give the endpoint by one of those");
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return absl::StrCat("its certificate is not signed by the CA in ", tls.paths().cacert,
                          ": give the CA of etcd itself, which is not that of the API server");
    default:
      return absl::StrCat("its certificate is refused: ", X509_verify_cert_error_string(result));
  }
}

// Why the other side does not trust ours, or "" if that is not what happened.
std::string RefusedText(int reason, const EtcdTls& tls) {
  switch (reason) {
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
      break;
    default:
      return "";
  }
  if (tls.cert_pem().empty()) {
    return "it asks for a client certificate: give --cert and --key (kubeadm's are "
           "/etc/kubernetes/pki/apiserver-etcd-client.crt and .key)";
  }
  return absl::StrCat("it refuses the client certificate ", tls.paths().cert, " (",
                      ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason)),
                      "): give one that is signed by the CA that etcd trusts "
                      "(its --trusted-ca-file) and is made for clients");
}

}  // namespace

absl::StatusOr<ProbeConnection> ProbeConnection::Connect(const EtcdEndpoint& endpoint,
                                                         absl::Time deadline) {
  if (!endpoint.socket_path.empty()) {
    KEKD_ASSIGN_OR_RETURN(const UnixAddress address, UnixAddress::FromText(endpoint.socket_path));
    KEKD_ASSIGN_OR_RETURN(UniqueFd fd,
                          ConnectTo(address.get(), address.size(), AF_UNIX, endpoint, deadline));
    return ProbeConnection(std::move(fd), deadline);
  }
  KEKD_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(endpoint));
  absl::Status last = absl::UnavailableError("its name has no address");
  for (const addrinfo* next = addresses.get(); next != nullptr; next = next->ai_next) {
    absl::StatusOr<UniqueFd> fd =
        ConnectTo(next->ai_addr, next->ai_addrlen, next->ai_family, endpoint, deadline);
    if (fd.ok()) return ProbeConnection(*std::move(fd), deadline);
    last = fd.status();
  }
  return last;
}

// libssl forgets a certificate that it refused: what is to be told of it is taken down here.
int ProbeConnection::NoteDistrust(int trusted, X509_STORE_CTX* context) {
  if (trusted == 1) return 1;
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* probe = static_cast<ProbeConnection*>(SSL_get_app_data(ssl));
  probe->distrust_ =
      DistrustText(X509_STORE_CTX_get_error(context), X509_STORE_CTX_get_current_cert(context),
                   *probe->endpoint_, *probe->tls_);
  return 0;
}

absl::Status ProbeConnection::StartTls(const EtcdEndpoint& endpoint, const EtcdTls& tls) {
  endpoint_ = &endpoint;
  tls_ = &tls;
  ERR_clear_error();
  const std::unique_ptr<SSL_CTX, SslDeleter> context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return absl::InternalError("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, NoteDistrust);
  AddAuthorities(context.get(), tls);
  AddClientCertificate(context.get(), tls);
  ssl_.reset(SSL_new(context.get()));
  if (ssl_ == nullptr) return absl::InternalError("SSL_new");
  SSL_set_app_data(ssl_.get(), this);
  // gRPC takes any certificate in the file as an anchor, a root or not.
  X509_VERIFY_PARAM_set_flags(SSL_get0_param(ssl_.get()), X509_V_FLAG_PARTIAL_CHAIN);
  if (IsAddress(endpoint.host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), endpoint.host.c_str());
  } else {
    SSL_set1_host(ssl_.get(), endpoint.host.c_str());
    SSL_set_tlsext_host_name(ssl_.get(), endpoint.host.c_str());
  }
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl_.get(), kHttp2, sizeof kHttp2);
  SSL_set_fd(ssl_.get(), fd_.get());
  // What the files hold was looked through before; an old error must not be told as this one's.
  ERR_clear_error();
  while (true) {
    const int result = SSL_connect(ssl_.get());
    if (result == 1) break;
    KEKD_RETURN_IF_ERROR(WaitForTls(result));
  }
  const unsigned char* protocol = nullptr;
  unsigned protocol_size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &protocol_size);
  if (protocol_size == 0) {
    return absl::FailedPreconditionError(
        "it speaks no HTTP/2, so it is no etcd: give etcd's client port, usually 2379");
  }
  return absl::OkStatus();
}

absl::Status ProbeConnection::WaitForTls(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return WaitOn(fd_.get(), POLLIN, deadline_);
    case SSL_ERROR_WANT_WRITE:
      return WaitOn(fd_.get(), POLLOUT, deadline_);
    default:
      return TlsError();
  }
}

absl::Status ProbeConnection::TlsError() {
  const unsigned long error = ERR_peek_error();
  const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
  ERR_clear_error();
  if (!distrust_.empty()) return absl::UnauthenticatedError(distrust_);
  if (const std::string refused = RefusedText(reason, *tls_); !refused.empty()) {
    return absl::UnauthenticatedError(refused);
  }
  if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
      reason == SSL_R_PACKET_LENGTH_TOO_LONG || reason == SSL_R_UNKNOWN_PROTOCOL) {
    return absl::FailedPreconditionError(
        "it speaks no TLS: write http:// if that is etcd and the way to it is safe");
  }
  const bool closed = reason == SSL_R_UNEXPECTED_EOF_WHILE_READING || error == 0;
  if (closed && SSL_is_init_finished(ssl_.get())) {
    return absl::UnavailableError("it closed the connection after the TLS handshake");
  }
  if (closed) {
    return absl::UnavailableError(
        "it closed the connection during the TLS handshake: if it speaks no TLS, write http://");
  }
  return absl::UnavailableError(
      absl::StrCat("the TLS handshake failed: ", ERR_reason_error_string(error)));
}

absl::Status ProbeConnection::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    if (ssl_ != nullptr) {
      const int written = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
      if (written > 0) {
        bytes.remove_prefix(static_cast<size_t>(written));
      } else {
        KEKD_RETURN_IF_ERROR(WaitForTls(written));
      }
      continue;
    }
    const ssize_t written = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      KEKD_RETURN_IF_ERROR(WaitOn(fd_.get(), POLLOUT, deadline_));
    } else if (errno != EINTR) {
      return absl::UnavailableError("it closed the connection");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ProbeConnection::Read(size_t max) {
  std::string bytes(max, '\0');
  while (true) {
    if (ssl_ != nullptr) {
      const int got = SSL_read(ssl_.get(), bytes.data(), static_cast<int>(max));
      if (got > 0) return bytes.substr(0, static_cast<size_t>(got));
      if (SSL_get_error(ssl_.get(), got) == SSL_ERROR_ZERO_RETURN) return std::string();
      KEKD_RETURN_IF_ERROR(WaitForTls(got));
      continue;
    }
    const ssize_t got = recv(fd_.get(), bytes.data(), max, 0);
    if (got >= 0) return bytes.substr(0, static_cast<size_t>(got));
    if (errno == EAGAIN) {
      KEKD_RETURN_IF_ERROR(WaitOn(fd_.get(), POLLIN, deadline_));
    } else if (errno != EINTR) {
      return absl::UnavailableError("it closed the connection");
    }
  }
}

}  // namespace kekd
