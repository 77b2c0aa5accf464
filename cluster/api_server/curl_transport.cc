#include "cluster/api_server/curl_transport.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "cluster/api_server/credential_source.h"
#include "cluster/api_server/url_text.h"

namespace kekd {
namespace {

struct CurlDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  void operator()(char* text) const { curl_free(text); }
};
using CurlHandle = std::unique_ptr<CURL, CurlDeleter>;
using CurlUrl = std::unique_ptr<CURLU, CurlDeleter>;
using CurlText = std::unique_ptr<char, CurlDeleter>;

// A list of texts as libcurl has it; each is a copy.
class TextList final {
 public:
  void Add(const std::string& text) {
    // A null list is an empty one to curl_slist_append, and a null result leaves it as it was.
    if (curl_slist* const longer = curl_slist_append(list_.get(), text.c_str());
        longer != nullptr) {
      list_.release();  // NOLINT(bugprone-unused-return-value): the same list, or its first
      list_.reset(longer);
    }
  }
  curl_slist* get() const { return list_.get(); }

 private:
  std::unique_ptr<curl_slist, CurlDeleter> list_;
};

std::string UrlPart(CURLU* url, CURLUPart part, unsigned int flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  const CurlText owned(text);
  return owned.get();
}

// A server of a kubeconfig, taken apart.
struct ServerUrl {
  std::string base;        // what paths are appended to, with the name that its certificate is for
  std::string connect_to;  // libcurl's "NAME:PORT:HOST:PORT" where these differ
};

// A name that begins with "127." may be anybody's.
bool IsLoopback(const std::string& host) {
  in_addr address;
  return host == "localhost" || host == "[::1]" ||
         (inet_pton(AF_INET, host.c_str(), &address) == 1 && absl::StartsWith(host, "127."));
}

absl::StatusOr<ServerUrl> ReadServer(const ApiServerAccess& access) {
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("the server \"", access.server, "\" of the kubeconfig ", why));
  };
  const CurlUrl url(curl_url());
  // A password in it must come into no error.
  if (absl::StrContains(access.server, '@') || absl::StrContains(access.server, '?')) {
    return absl::InvalidArgumentError(
        "the server of the kubeconfig may have no user, password or query");
  }
  if (curl_url_set(url.get(), CURLUPART_URL, access.server.c_str(), 0) != CURLUE_OK) {
    return wrong("is no URL such as https://10.0.0.1:6443");
  }
  const std::string scheme = UrlPart(url.get(), CURLUPART_SCHEME);
  const std::string host = UrlPart(url.get(), CURLUPART_HOST);
  if (scheme != "https" && !(scheme == "http" && IsLoopback(host))) {
    return wrong("must be https: everything, the credentials too, would be sent in clear");
  }
  ServerUrl server;
  if (!access.tls_server_name.empty()) {
    const std::string port = UrlPart(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
    server.connect_to = absl::StrCat(access.tls_server_name, ":", port, ":", host, ":", port);
    if (curl_url_set(url.get(), CURLUPART_HOST, access.tls_server_name.c_str(), 0) != CURLUE_OK) {
      return absl::InvalidArgumentError(absl::StrCat("tls-server-name \"", access.tls_server_name,
                                                     "\" of the kubeconfig is no host name"));
    }
  }
  server.base = UrlPart(url.get(), CURLUPART_URL);
  while (absl::EndsWith(server.base, "/")) server.base.pop_back();
  return server;
}

absl::Status CheckProxy(const std::string& proxy) {
  if (proxy.empty()) return absl::OkStatus();
  const CurlUrl url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, proxy.c_str(), CURLU_NON_SUPPORT_SCHEME) ==
      CURLUE_OK) {
    const std::string scheme = UrlPart(url.get(), CURLUPART_SCHEME);
    for (const absl::string_view known : {"http", "https", "socks5", "socks5h"}) {
      if (scheme == known) return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(
      "the proxy-url of the kubeconfig must be an http, https or socks5 URL");
}

// What a transfer fills.
struct Reception {
  std::string body;
  size_t limit = 0;
  bool too_large = false;
};

size_t Receive(char* data, size_t size, size_t count, void* reception_pointer) {
  auto& reception = *static_cast<Reception*>(reception_pointer);
  const size_t bytes = size * count;
  if (bytes > reception.limit - reception.body.size()) {
    reception.too_large = true;
    return 0;
  }
  reception.body.append(data, bytes);
  return bytes;
}

class CurlTransport final : public HttpTransport {
 public:
  CurlTransport(FileSystem& fs, ApiServerAccess access, ServerUrl server,
                CurlTransportOptions options)
      : access_(std::move(access)),
        url_(std::move(server)),
        options_(std::move(options)),
        credentials_(fs, access_) {}

  const std::string& server() const override { return access_.server; }

  absl::StatusOr<HttpResponse> Send(const HttpRequest& request, absl::Time deadline) override {
    for (bool again = false;; again = true) {
      KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Credential> credential,
                            credentials_.Get(deadline));
      KEKD_ASSIGN_OR_RETURN(HttpResponse response, SendOnce(request, *credential, deadline));
      if (response.status != 401 || again || !credentials_.NoteRefused(credential)) {
        return response;
      }
    }
  }

 private:
  absl::StatusOr<HttpResponse> SendOnce(const HttpRequest& request, const Credential& credential,
                                        absl::Time deadline) {
    CurlHandle handle = TakeHandle();
    if (handle == nullptr) return absl::ResourceExhaustedError("libcurl has no handle to give");
    Reception reception = {.body = "", .limit = options_.max_answer_bytes};
    std::array<char, CURL_ERROR_SIZE> reason = {};
    TextList headers = Headers(request);
    TextList connect_to;
    SetUp(handle.get(), request, credential);
    if (!url_.connect_to.empty()) {
      connect_to.Add(url_.connect_to);
      curl_easy_setopt(handle.get(), CURLOPT_CONNECT_TO, connect_to.get());
    }
    curl_easy_setopt(handle.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(handle.get(), CURLOPT_WRITEFUNCTION, &Receive);
    curl_easy_setopt(handle.get(), CURLOPT_WRITEDATA, &reception);
    curl_easy_setopt(handle.get(), CURLOPT_ERRORBUFFER, reason.data());
    const absl::Duration left = std::min(deadline - absl::Now(), absl::Hours(24));
    if (left <= absl::ZeroDuration()) return absl::DeadlineExceededError("the time is up");
    curl_easy_setopt(handle.get(), CURLOPT_TIMEOUT_MS,
                     static_cast<long>(absl::ToInt64Milliseconds(left)) + 1);
    const CURLcode code = curl_easy_perform(handle.get());
    if (code != CURLE_OK) {
      absl::Status failed = Failure(handle.get(), code, reason.data(), reception.too_large);
      return failed;  // the handle goes, with a connection that nobody knows the state of
    }
    HttpResponse response = ReadResponse(handle.get(), std::move(reception.body));
    // Its connection stays; what it was told, and pointers to what goes now, does not.
    curl_easy_reset(handle.get());
    PutBack(std::move(handle));
    return response;
  }

  void SetUp(CURL* handle, const HttpRequest& request, const Credential& credential) const {
    curl_easy_setopt(handle, CURLOPT_URL, absl::StrCat(url_.base, request.path).c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(handle, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, options_.user_agent.c_str());
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(absl::ToInt64Milliseconds(options_.connect_timeout)));
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, std::string(ToString(request.method)).c_str());
    if (!request.body.empty()) {
      curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
      curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.data());
    }
    if (!access_.proxy_url.empty()) {
      curl_easy_setopt(handle, CURLOPT_PROXY, access_.proxy_url.c_str());
    }
    SetUpTls(handle);
    SetUpCredential(handle, credential);
  }

  void SetUpTls(CURL* handle) const {
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (access_.insecure_skip_tls_verify) {
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 0L);
      return;
    }
    if (access_.ca_pem.empty()) return;
    // This authority alone: libcurl would add the system's.
    curl_easy_setopt(handle, CURLOPT_CAINFO, nullptr);
    curl_easy_setopt(handle, CURLOPT_CAPATH, nullptr);
    curl_blob ca = Blob(AsBytes(access_.ca_pem));
    curl_easy_setopt(handle, CURLOPT_CAINFO_BLOB, &ca);
  }

  static void SetUpCredential(CURL* handle, const Credential& credential) {
    if (!credential.token.empty()) {
      // libcurl takes a text that ends, and copies it to its heap, which is wiped as it is freed.
      SecretBytes token(credential.token.size() + 1);
      const ByteView from = credential.token.Reveal(SecretAccessToken());
      std::copy(from.begin(), from.end(), token.RevealMutable(SecretAccessToken()).begin());
      curl_easy_setopt(handle, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
      curl_easy_setopt(handle, CURLOPT_XOAUTH2_BEARER,
                       AsText(token.Reveal(SecretAccessToken())).data());
    }
    if (credential.key_pem.empty()) return;
    curl_blob certificate = Blob(AsBytes(credential.certificate_pem));
    curl_blob key = Blob(credential.key_pem.Reveal(SecretAccessToken()));
    curl_easy_setopt(handle, CURLOPT_SSLCERT_BLOB, &certificate);
    curl_easy_setopt(handle, CURLOPT_SSLKEY_BLOB, &key);
  }

  // Not copied: it outlives the transfer, and a key keeps its locked memory.
  static curl_blob Blob(ByteView bytes) {
    return {.data = const_cast<uint8_t*>(bytes.data()),  // libcurl only reads it
            .len = bytes.size(),
            .flags = CURL_BLOB_NOCOPY};
  }

  TextList Headers(const HttpRequest& request) const {
    TextList headers;
    headers.Add(absl::StrCat("Accept: ", request.accept));
    if (!request.content_type.empty()) {
      headers.Add(absl::StrCat("Content-Type: ", request.content_type));
    }
    headers.Add("Expect:");  // no waiting for leave to send a body
    if (!access_.as_user.empty()) {
      headers.Add(absl::StrCat("Impersonate-User: ", access_.as_user));
    }
    if (!access_.as_uid.empty()) headers.Add(absl::StrCat("Impersonate-Uid: ", access_.as_uid));
    for (const std::string& group : access_.as_groups) {
      headers.Add(absl::StrCat("Impersonate-Group: ", group));
    }
    for (const auto& [key, values] : access_.as_extra) {
      for (const std::string& value : values) {
        headers.Add(absl::StrCat("Impersonate-Extra-", EscapeUrlPart(key), ": ", value));
      }
    }
    return headers;
  }

  static HttpResponse ReadResponse(CURL* handle, std::string body) {
    HttpResponse response;
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
    const char* type = nullptr;
    curl_easy_getinfo(handle, CURLINFO_CONTENT_TYPE, &type);
    if (type != nullptr) response.content_type = type;
    curl_off_t seconds = 0;
    curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds > 0) response.retry_after = absl::Seconds(seconds);
    response.body = std::move(body);
    return response;
  }

  absl::Status Failure(CURL* handle, CURLcode code, const char* reason, bool too_large) const {
    const std::string why = *reason != '\0' ? reason : curl_easy_strerror(code);
    const auto at = [&](absl::string_view what) {
      return absl::StrCat("API server ", access_.server, ": ", what);
    };
    switch (code) {
      case CURLE_OPERATION_TIMEDOUT:
        return absl::DeadlineExceededError(at(absl::StrCat("no answer in time (", why, ")")));
      case CURLE_WRITE_ERROR:
        if (!too_large) break;
        return absl::ResourceExhaustedError(
            at(absl::StrCat("the answer is larger than ", options_.max_answer_bytes, " bytes")));
      case CURLE_PEER_FAILED_VERIFICATION:
        return absl::FailedPreconditionError(at(Distrust(handle, why)));
      case CURLE_SSL_CERTPROBLEM:
        return absl::InvalidArgumentError(
            at(absl::StrCat("the client certificate or its key can't be used (", why, ")")));
      case CURLE_SSL_CACERT_BADFILE:
        return absl::InvalidArgumentError(
            at(absl::StrCat("the certificate authority ", access_.ca_source,
                            " of the kubeconfig can't be used (", why, ")")));
      default:
        break;
    }
    return absl::UnavailableError(at(absl::StrCat("it can't be reached (", why, ")")));
  }

  // Why the server's certificate is not taken, and what to do.
  std::string Distrust(CURL* handle, absl::string_view why) const {
    // libcurl compares names by itself, after libssl was content.
    if (absl::StrContains(why, "subject name")) {
      return absl::StrCat("its certificate is for another name (", why,
                          "): tls-server-name in the kubeconfig says which to expect");
    }
    long result = X509_V_OK;
    curl_easy_getinfo(handle, CURLINFO_SSL_VERIFYRESULT, &result);
    switch (result) {
      case X509_V_ERR_CERT_HAS_EXPIRED:
        return absl::StrCat("its certificate has expired: renew it (", why, ")");
      case X509_V_ERR_CERT_NOT_YET_VALID:
        return absl::StrCat("its certificate is not valid yet: is this machine's clock right? (",
                            why, ")");
      default:
        return absl::StrCat(
            "its certificate is not of ",
            access_.ca_source.empty() ? "an authority that this system trusts"
                                      : absl::StrCat("the authority in ", access_.ca_source),
            ": is this the kubeconfig of another cluster, or an old one? (", why, ")");
    }
  }

  CurlHandle TakeHandle() {
    {
      const MutexLock lock(&mu_);
      if (!idle_.empty()) {
        CurlHandle handle = std::move(idle_.back());
        idle_.pop_back();
        return handle;
      }
    }
    return CurlHandle(curl_easy_init());
  }

  void PutBack(CurlHandle handle) {
    const MutexLock lock(&mu_);
    idle_.push_back(std::move(handle));
  }

  const ApiServerAccess access_;
  const ServerUrl url_;
  const CurlTransportOptions options_;
  CredentialSource credentials_;
  Mutex mu_;
  std::vector<CurlHandle> idle_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpTransport>> CreateCurlTransport(
    FileSystem& fs, ApiServerAccess access, const CurlTransportOptions& options) {
  // Once for the process; never undone, as others may use it.
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return absl::InternalError("libcurl can't be used here");
  KEKD_ASSIGN_OR_RETURN(ServerUrl server, ReadServer(access));
  KEKD_RETURN_IF_ERROR(CheckProxy(access.proxy_url));
  if (access.insecure_skip_tls_verify && !options.allow_insecure) {
    return absl::InvalidArgumentError(
        "the kubeconfig has insecure-skip-tls-verify, by which anybody on the way could read and "
        "change all: give the certificate-authority of the cluster there instead, or say "
        "--insecure-skip-tls-verify too");
  }
  return std::make_unique<CurlTransport>(fs, std::move(access), std::move(server), options);
}

}  // namespace kekd
