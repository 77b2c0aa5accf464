// Decrypts as many seeds at once as it is told, as API servers do that all start cold, with one
// call after the other beside them; or only the latter, while somebody else means harm. Says in one
// line of JSON what became of the calls.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "kms/v2/api.pb.h"
#include "tests/hostile/storm_connection.h"

namespace kekd::testing {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kTimeout(3000);   // kube-apiserver's
constexpr milliseconds kPatience(6000);  // until a call counts as never answered
constexpr milliseconds kWitnessPause(2);
constexpr char kService[] = "/v2.KeyManagementService/";

double Millis(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// Percentiles of what took how long.
class Times final {
 public:
  void Add(Clock::duration duration) { millis_.push_back(Millis(duration)); }
  std::string ToJson() {
    std::sort(millis_.begin(), millis_.end());
    char text[160];
    snprintf(text, sizeof(text), "{\"n\": %zu, \"p50\": %.2f, \"p99\": %.2f, \"max\": %.2f}",
             millis_.size(), At(50), At(99), At(100));
    return text;
  }

 private:
  double At(size_t percent) const {
    if (millis_.empty()) return 0;
    return millis_[std::min(millis_.size() - 1, millis_.size() * percent / 100)];
  }
  std::vector<double> millis_;
};

void Run(const std::vector<StormConnection*>& connections, Clock::time_point until) {
  std::vector<pollfd> fds;
  while (Clock::now() < until) {
    fds.clear();
    for (StormConnection* connection : connections) {
      connection->Advance();
      if (connection->idle()) continue;
      const short events = connection->WantsWrite() ? POLLIN | POLLOUT : POLLIN;
      fds.push_back({connection->fd(), events, 0});
    }
    if (fds.empty()) return;
    poll(fds.data(), fds.size(), 10);
  }
  for (StormConnection* connection : connections) connection->GiveUp();
}

template <typename Message>
StormCall MakeCall(const char* method, const Message& message) {
  StormCall call;
  call.path = std::string(kService) + method;
  call.request = message.SerializeAsString();
  call.start = Clock::now();
  return call;
}

template <typename Message>
Message ResponseOf(const StormCall& call) {
  Message message;
  if (call.response.size() < 5 || !message.ParseFromString(call.response.substr(5))) {
    fprintf(stderr, "kms_storm: an answer with code %d is none\n", call.code);
    exit(1);
  }
  return message;
}

std::string SeedOf(size_t number) {
  char seed[33];
  snprintf(seed, sizeof(seed), "%032zu", number);
  return seed;
}

// The requests to decrypt `count` seeds.
std::vector<std::string> Prepare(const std::string& socket, size_t count) {
  StormConnection connection(socket, milliseconds(60000));
  std::vector<std::string> requests;
  while (requests.size() < count) {
    std::vector<StormCall> calls;
    for (size_t i = requests.size(); i < std::min(count, requests.size() + 500); ++i) {
      ::v2::EncryptRequest request;
      request.set_plaintext(SeedOf(i));
      request.set_uid("prepare");
      calls.push_back(MakeCall("Encrypt", request));
    }
    for (StormCall& call : calls) connection.Add(&call);
    Run({&connection}, Clock::now() + std::chrono::seconds(60));
    for (const StormCall& call : calls) {
      const auto encrypted = ResponseOf<::v2::EncryptResponse>(call);
      ::v2::DecryptRequest request;
      request.set_ciphertext(encrypted.ciphertext());
      request.set_key_id(encrypted.key_id());
      request.set_uid("01234567-89ab-cdef-0123-456789abcdef");
      requests.push_back(request.SerializeAsString());
    }
  }
  return requests;
}

// Status and Encrypt in turns on a connection of its own, one after the other.
class Witness final {
 public:
  explicit Witness(const std::string& socket) : connection_(socket, kTimeout) {
    StormCall first = MakeCall("Status", ::v2::StatusRequest());
    Call(first, status_);  // from now on the connection is there
    thread_ = std::thread([this] { CallUntilStopped(); });
  }
  ~Witness() {
    stop_ = true;
    thread_.join();
    printf("\"status\": %s, \"encrypt\": %s, \"witness_failed\": %zu, ", status_.ToJson().c_str(),
           encrypt_.ToJson().c_str(), failed_);
  }

 private:
  void CallUntilStopped() {
    ::v2::EncryptRequest request;
    request.set_plaintext(SeedOf(1));
    request.set_uid("witness");
    while (!stop_ && failed_ < 10) {
      StormCall status = MakeCall("Status", ::v2::StatusRequest());
      Call(status, status_);
      StormCall encrypt = MakeCall("Encrypt", request);
      Call(encrypt, encrypt_);
      std::this_thread::sleep_for(kWitnessPause);
    }
  }

  void Call(StormCall& call, Times& times) {
    connection_.Add(&call);
    Run({&connection_}, Clock::now() + kPatience);
    times.Add((call.over ? call.end : Clock::now()) - call.start);
    if (call.code != 0) {
      ++failed_;
      fprintf(stderr, "kms_storm: %s beside the storm: code %d\n", call.path.c_str(), call.code);
    }
  }

  StormConnection connection_;
  Times status_;
  Times encrypt_;
  size_t failed_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

int Storm(const std::string& socket, size_t connection_count, size_t calls, size_t seeds,
          bool wait) {
  const std::vector<std::string> requests = Prepare(socket, seeds);
  if (wait) {
    printf("ready\n");
    fflush(stdout);
    char byte;
    (void)!read(STDIN_FILENO, &byte, 1);
  }
  std::vector<std::unique_ptr<StormConnection>> connections;
  std::vector<StormConnection*> all;
  for (size_t i = 0; i < connection_count; ++i) {
    connections.push_back(std::make_unique<StormConnection>(socket, kTimeout));
    all.push_back(connections.back().get());
    all.back()->Advance();  // kekd waits for the preface no longer than for 2 s
  }
  std::vector<StormCall> storm(calls);
  printf("{");
  const Clock::time_point start = Clock::now();
  {
    Witness witness(socket);
    for (size_t i = 0; i < calls; ++i) {
      storm[i].path = std::string(kService) + "Decrypt";
      storm[i].request = requests[i % seeds];
      storm[i].start = start;
      all[i % connection_count]->Add(&storm[i]);
    }
    Run(all, start + kPatience);
  }
  Times answered;
  Times refused;
  size_t late = 0;
  size_t wrong = 0;
  std::map<int, size_t> codes;
  for (size_t i = 0; i < calls; ++i) {
    const StormCall& call = storm[i];
    ++codes[call.over ? call.code : StormCall::kLost];
    if (call.code == 0 && call.end - call.start > kTimeout) ++late;
    if (call.code == 0) {
      answered.Add(call.end - call.start);
      if (ResponseOf<::v2::DecryptResponse>(call).plaintext() != SeedOf(i % seeds)) ++wrong;
    } else if (call.over) {
      refused.Add(call.end - call.start);
    }
  }
  printf("\"answered\": %s, \"refused\": %s, \"late\": %zu, \"wrong\": %zu, \"codes\": {",
         answered.ToJson().c_str(), refused.ToJson().c_str(), late, wrong);
  const char* comma = "";
  for (const auto& [code, count] : codes) {
    printf("%s\"%d\": %zu", comma, code, count);
    comma = ", ";
  }
  printf("}}\n");
  return 0;
}

// Only the calls one after the other, until the standard input ends.
int Watch(const std::string& socket) {
  {
    Witness witness(socket);
    printf("ready\n");
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    printf("{");
  }
  printf("\"calls\": 0}\n");
  return 0;
}

}  // namespace
}  // namespace kekd::testing

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[2]) == "watch") return kekd::testing::Watch(argv[1]);
  if (argc != 6) {
    fprintf(stderr,
            "usage: kms_storm SOCKET CONNECTIONS CALLS SEEDS now|wait\n"
            "       kms_storm SOCKET watch\n"
            "  SEEDS  how many distinct ones are decrypted\n"
            "  wait   says \"ready\" and waits for a byte before the calls begin\n");
    return 2;
  }
  return kekd::testing::Storm(argv[1], strtoul(argv[2], nullptr, 10), strtoul(argv[3], nullptr, 10),
                              strtoul(argv[4], nullptr, 10), std::string(argv[5]) == "wait");
}
