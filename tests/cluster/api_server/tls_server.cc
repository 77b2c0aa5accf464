#include "tests/cluster/api_server/tls_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace kekd::testing {
namespace {

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

void AddExtension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// The whole request, or empty when the client has gone.
std::string ReadRequest(SSL* ssl) {
  std::string request;
  char buffer[4096];
  while (true) {
    const size_t head = request.find("\r\n\r\n");
    if (head != std::string::npos) {
      size_t body = 0;
      const std::string lower = absl::AsciiStrToLower(request.substr(0, head));
      const size_t at = lower.find("content-length: ");
      if (at != std::string::npos) {
        const size_t begin = at + 16;
        if (!absl::SimpleAtoi(lower.substr(begin, lower.find("\r\n", begin) - begin), &body))
          abort();
      }
      if (request.size() >= head + 4 + body) return request;
    }
    const int got = SSL_read(ssl, buffer, sizeof buffer);
    if (got <= 0) return "";
    request.append(buffer, static_cast<size_t>(got));
  }
}

}  // namespace

TestCertificate MakeCertificate(const std::string& name, absl::Time not_after) {
  const OpenSslPtr<EVP_PKEY> key(EVP_EC_gen("P-256"));
  const OpenSslPtr<X509> certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()),
                absl::ToTimeT(std::min(absl::Now(), not_after) - absl::Hours(24)));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(not_after));
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  AddExtension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(certificate.get(), NID_subject_alt_name,
               name == "127.0.0.1" ? "IP:127.0.0.1" : absl::StrCat("DNS:", name));
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  const OpenSslPtr<BIO> certificate_pem(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(certificate_pem.get(), certificate.get());
  const OpenSslPtr<BIO> key_pem(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return {Text(certificate_pem.get()), Text(key_pem.get())};
}

TlsServer::TlsServer(const TestCertificate& certificate, Handler handler)
    : context_(SSL_CTX_new(TLS_server_method())), handler_(std::move(handler)) {
  // A client that has gone is no end of the test.
  signal(SIGPIPE, SIG_IGN);
  const OpenSslPtr<BIO> pem(BIO_new_mem_buf(certificate.certificate_pem.data(),
                                            static_cast<int>(certificate.certificate_pem.size())));
  const OpenSslPtr<X509> x509(PEM_read_bio_X509(pem.get(), nullptr, nullptr, nullptr));
  const OpenSslPtr<BIO> key_pem(
      BIO_new_mem_buf(certificate.key_pem.data(), static_cast<int>(certificate.key_pem.size())));
  const OpenSslPtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(key_pem.get(), nullptr, nullptr, nullptr));
  SSL_CTX_use_certificate(context_.get(), x509.get());
  SSL_CTX_use_PrivateKey(context_.get(), key.get());
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(
      context_.get(), [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
  listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener_.get(), 16) != 0 ||
      ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    abort();
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Serve(); });
}

TlsServer::~TlsServer() {
  {
    const MutexLock lock(&mu_);
    stopping_ = true;
    if (open_ >= 0) ::shutdown(open_, SHUT_RDWR);
  }
  ::shutdown(listener_.get(), SHUT_RDWR);
  thread_.join();
}

int TlsServer::connections() const {
  const MutexLock lock(&mu_);
  return connections_;
}

std::vector<std::string> TlsServer::requests() const {
  const MutexLock lock(&mu_);
  return requests_;
}

std::vector<std::string> TlsServer::client_names() const {
  const MutexLock lock(&mu_);
  return client_names_;
}

void TlsServer::Serve() {
  while (true) {
    const UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    {
      const MutexLock lock(&mu_);
      if (stopping_ || !connection.valid()) return;
      open_ = connection.get();
    }
    SSL* const ssl = SSL_new(context_.get());
    SSL_set_fd(ssl, connection.get());
    if (SSL_accept(ssl) == 1) ServeConnection(ssl);
    SSL_free(ssl);
    const MutexLock lock(&mu_);
    open_ = -1;
  }
}

void TlsServer::ServeConnection(SSL* ssl) {
  char name[256] = "";
  const OpenSslPtr<X509> client(SSL_get1_peer_certificate(ssl));
  if (client != nullptr) {
    X509_NAME_get_text_by_NID(X509_get_subject_name(client.get()), NID_commonName, name,
                              sizeof name);
  }
  {
    const MutexLock lock(&mu_);
    ++connections_;
    client_names_.emplace_back(name);
  }
  while (true) {
    const std::string request = ReadRequest(ssl);
    if (request.empty()) return;
    {
      const MutexLock lock(&mu_);
      requests_.push_back(request);
    }
    const std::optional<std::string> answer = handler_(request);
    if (!answer.has_value()) return;
    if (SSL_write(ssl, answer->data(), static_cast<int>(answer->size())) <= 0) return;
  }
}

std::string HttpText(int status, const std::string& body, const std::string& headers) {
  return absl::StrCat("HTTP/1.1 ", status, " X\r\nContent-Type: application/json\r\n", headers,
                      "Content-Length: ", body.size(), "\r\n\r\n", body);
}

}  // namespace kekd::testing
