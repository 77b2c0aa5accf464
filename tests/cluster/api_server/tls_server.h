// A small HTTPS server on loopback that answers as a test says.
#ifndef KEKD_TESTS_CLUSTER_API_SERVER_TLS_SERVER_H_
#define KEKD_TESTS_CLUSTER_API_SERVER_TLS_SERVER_H_

#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "base/mutex.h"
#include "base/openssl.h"
#include "base/unique_fd.h"

namespace kekd::testing {

// A certificate that signs itself, hence its own authority, with its key; both as PEM.
struct TestCertificate {
  std::string certificate_pem;
  std::string key_pem;
};
TestCertificate MakeCertificate(const std::string& name, absl::Time not_after);

// TlsServer has one thread and serves one connection after the other.
class TlsServer final {
 public:
  // The bytes that a request (its head and body) is answered with; nullopt: the connection is cut.
  using Handler = std::function<std::optional<std::string>(const std::string& request)>;

  TlsServer(const TestCertificate& certificate, Handler handler);
  ~TlsServer();

  int port() const { return port_; }
  int connections() const;
  std::vector<std::string> requests() const;
  // The names in the certificates that clients gave, one for each connection; "" for none.
  std::vector<std::string> client_names() const;

 private:
  struct ContextDeleter {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };

  void Serve();
  void ServeConnection(SSL* ssl);

  std::unique_ptr<SSL_CTX, ContextDeleter> context_;
  const Handler handler_;
  UniqueFd listener_;
  int port_ = 0;
  mutable Mutex mu_;
  int connections_ ABSL_GUARDED_BY(mu_) = 0;
  int open_ ABSL_GUARDED_BY(mu_) = -1;  // the connection that is served
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::string> requests_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> client_names_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

// "HTTP/1.1 200 …" with these headers ("Name: value\r\n" each) and this body.
std::string HttpText(int status, const std::string& body, const std::string& headers = "");

}  // namespace kekd::testing

#endif  // KEKD_TESTS_CLUSTER_API_SERVER_TLS_SERVER_H_
