// What kekd does with a token, on command: a command a line on stdin, an answer a line (JSON) on
// stdout. Keys, plaintexts and ciphertexts are made up here; nothing is secret.
//
//   token_driver WORKER MODULE TOKEN_LABEL PIN_FILE PIN_LOG_FOLDER CALL_TIMEOUT_MS [OPTION …]
//
// OPTION: session-copy, or init-arguments=TEXT.
#include <signal.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/secret_bytes.h"
#include "hsm/token_client.h"

namespace kekd {
namespace {

constexpr char kPlaintext[] = "thirty-two bytes of made-up seed";
static_assert(sizeof(kPlaintext) - 1 == kOneTimeKeyBytes);
constexpr char kAssociatedData[] = "associated data";
constexpr absl::Duration kDeadline = absl::Seconds(10);
// RSA keys are made by trial, and more than one where a token's answers are unclear.
constexpr absl::Duration kDeadlineToMake = absl::Seconds(30);

// Driver answers the commands with one token and, once there is one, one key.
class Driver final {
 public:
  explicit Driver(WorkerProcess::Options options)
      : token_(std::make_unique<TokenClient>(std::move(options))) {}

  nlohmann::json Run(const std::string& line) {
    std::istringstream words(line);
    std::string command, argument;
    words >> command >> argument;
    nlohmann::json answer;
    const absl::Time begin = absl::Now();
    const absl::Status status = Do(command, argument, answer);
    answer["ms"] = absl::ToInt64Milliseconds(absl::Now() - begin);
    answer["code"] = absl::StatusCodeToString(status.code());
    answer["message"] = std::string(status.message());
    const TokenClient::Stats stats = token_->GetStats();
    answer["starts"] = stats.starts;
    answer["last_end"] = stats.last_end;
    return answer;
  }

 private:
  absl::Status Do(const std::string& command, const std::string& argument, nlohmann::json& answer) {
    const bool makes = command == "generate" || command == "make-and-destroy";
    const absl::Time deadline = absl::Now() + (makes ? kDeadlineToMake : kDeadline);
    if (command == "generate") return Generate(argument, answer, deadline);
    if (command == "encrypt") return Encrypt(deadline);
    if (command == "decrypt") return Decrypt(sealed_, deadline);
    if (command == "decrypt-damaged") {
      std::string damaged = sealed_;
      if (!damaged.empty()) damaged.back() = static_cast<char>(damaged.back() ^ 1);
      return Decrypt(damaged, deadline);
    }
    if (command == "probe") return token_->Probe(deadline);
    if (command == "probe-key") return token_->Probe(key_, deadline);
    if (command == "describe") return Describe(answer, deadline);
    if (command == "list") {
      const auto keys = token_->List(deadline);
      if (keys.ok()) answer["keys"] = keys->size();
      return keys.status();
    }
    if (command == "make-and-destroy") return MakeAndDestroy(argument, deadline);
    if (command == "kill-worker") {
      const pid_t pid = token_->GetStats().pid;
      if (pid > 0) kill(pid, SIGKILL);
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat("no such command: ", command));
  }

  absl::Status Generate(const std::string& label, nlohmann::json& answer, absl::Time deadline) {
    NewKey key;
    key.selector = {.label = label, .id = label};
    absl::StatusOr<KeyReference> reference = token_->Generate(key, deadline);
    if (!reference.ok()) return reference.status();
    key_ = *std::move(reference);
    answer["mechanism"] = static_cast<int>(key_.mechanism);
    return absl::OkStatus();
  }

  absl::Status MakeAndDestroy(const std::string& label, absl::Time deadline) {
    NewKey key;
    key.selector = {.label = label, .id = label};
    const absl::StatusOr<KeyReference> reference = token_->Generate(key, deadline);
    return reference.ok() ? token_->Destroy(*reference, deadline) : reference.status();
  }

  absl::Status Encrypt(absl::Time deadline) {
    absl::StatusOr<std::string> sealed = token_->Encrypt(
        key_, SecretBytes::CopyOf(AsBytes(kPlaintext)), AsBytes(AssociatedData()), deadline);
    if (!sealed.ok()) return sealed.status();
    // What a token says is right may be wrong: each of them is to open again.
    sealed_ = *std::move(sealed);
    return absl::OkStatus();
  }

  absl::Status Decrypt(const std::string& sealed, absl::Time deadline) {
    const absl::StatusOr<SecretBytes> plaintext =
        token_->Decrypt(key_, AsBytes(sealed), AsBytes(AssociatedData()), deadline);
    if (!plaintext.ok()) return plaintext.status();
    if (AsText(plaintext->Reveal(SecretAccessToken())) != kPlaintext) {
      return absl::DataLossError("it decrypted to something else");
    }
    return absl::OkStatus();
  }

  // A mechanism that takes none wraps one-time keys.
  absl::string_view AssociatedData() const {
    return BindsAssociatedData(key_.mechanism) ? kAssociatedData : "";
  }

  absl::Status Describe(nlohmann::json& answer, absl::Time deadline) {
    const absl::StatusOr<TokenDescription> token = token_->Describe(deadline);
    if (!token.ok()) return token.status();
    answer["pin_state"] = token->pin_state;
    answer["pin_problem"] = token->pin_problem;
    answer["max_sessions"] = token->max_sessions;
    return absl::OkStatus();
  }

  const std::unique_ptr<TokenClient> token_;
  KeyReference key_;
  std::string sealed_;
};

int Main(int argc, char** argv) {
  int timeout_ms = 0;
  if (argc < 7 || !absl::SimpleAtoi(argv[6], &timeout_ms)) {
    std::cerr << "usage: token_driver WORKER MODULE TOKEN PIN_FILE PIN_LOG_FOLDER CALL_TIMEOUT_MS "
                 "[OPTION ...]\n";
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  WorkerProcess::Options options;
  options.program = argv[1];
  options.config.module_path = argv[2];
  options.config.token.label = argv[3];
  options.config.pin_file = argv[4];
  options.config.pin_log_directory = argv[5];
  for (const absl::string_view option : absl::MakeSpan(argv + 7, argv + argc)) {
    absl::string_view text = option;
    if (option == "session-copy") {
      options.config.session_copy = true;
    } else if (absl::ConsumePrefix(&text, "init-arguments=")) {
      options.config.init_arguments = std::string(text);
    } else {
      std::cerr << "token_driver: no such option: " << option << "\n";
      return 2;
    }
  }
  options.call_timeout = absl::Milliseconds(timeout_ms);
  options.start_timeout = absl::Milliseconds(timeout_ms);
  Driver driver(std::move(options));
  for (std::string line; std::getline(std::cin, line);) {
    // Bytes of a module's own text may be anything.
    std::cout << driver.Run(line).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
              << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace kekd

int main(int argc, char** argv) { return kekd::Main(argc, argv); }
