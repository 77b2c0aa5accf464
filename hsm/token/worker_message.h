// What kekd and its HSM worker say to each other.
//
// kekd starts "kekd-hsm-worker CHANNELS". Channel i is the connected socket at descriptor
// kFirstChannel + i; stdin and stdout are /dev/null, stderr is kekd's, and no other descriptor
// is open. The first request is kStart on channel 0; no channel has another before that
// is answered. Every channel then answers one request at a time, each with one frame. A channel
// whose other end is closed ends the worker.
#ifndef KEKD_HSM_TOKEN_WORKER_MESSAGE_H_
#define KEKD_HSM_TOKEN_WORKER_MESSAGE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "hsm/token/key_reference.h"
#include "hsm/token/token_uri.h"

namespace kekd {

inline constexpr int kFirstChannel = 3;
inline constexpr uint32_t kMaxChannels = 65;

// How the worker is to use its module. Sent once, before anything else.
struct WorkerConfig {
  std::string module_path;     // absolute
  std::string init_arguments;  // CK_C_INITIALIZE_ARGS.pReserved (NSS softokn); empty for none
  TokenSelector token;
  std::string pin_file;             // absolute; empty: no login (a token without one)
  bool pin_is_credential = false;   // a file as systemd makes it: its group's mode bits say nothing
  std::optional<uid_t> file_owner;  // who may own it besides root and the worker's user
  // The folder of what is remembered about PINs that failed (pin_log.h); absolute.
  std::string pin_log_directory;
  uint32_t sessions = 4;      // at most, besides the one that keeps the login
  bool session_copy = false;  // work with a copy of the key in the session where the token lets us
};

enum class WorkerVerb : uint8_t {
  kStart = 1,  // config -> token
  kEncrypt,    // key, associated_data, secret (plaintext) -> bytes (nonce || ciphertext || tag)
  kDecrypt,    // key, associated_data, bytes -> secret (plaintext)
  kGenerate,   // new_key -> keys[0], reference
  kAdopt,      // new_key (its selector and what is allowed) -> keys[0], reference
  kDestroy,    // key -> ; OK if it is gone
  kList,       // -> keys
  kDescribe,   // -> token; reads CK_TOKEN_INFO anew
  kProbe,      // -> ; a session answers and, if key is given, its round trip works
  kMeasure,    // key, count -> measurements
  kTry,        // -> trials: each mechanism with keys of the session, which leave nothing behind
  kAttest,  // key -> keys: its one or two objects (an HMAC key second), as the token has them now
};

// A key that is to be made or adopted.
struct NewKey {
  KeySelector selector;            // kGenerate: label and id of the new key
  bool allow_extractable = false;  // kAdopt: take a key that could leave the token
  bool modifiable = false;         // kGenerate: CKA_MODIFIABLE and CKA_COPYABLE, for session copies
};

// CK_TOKEN_INFO and what goes with it, for people and for `kekctl hsm`.
struct TokenDescription {
  TokenSelector token;
  std::string module;         // CK_INFO: "library description version"
  std::string cryptoki;       // "2.40"
  std::string hardware;       // versions
  uint64_t flags = 0;         // CKF_… of CK_TOKEN_INFO
  int64_t max_sessions = -1;  // -1: not told; 0: no limit
  int64_t open_sessions = -1;
  std::string pin_state;  // "ok", "count low", "final try", "locked", "to be changed", "none"
  // Why kekd does not log in, if it does not: a PIN that failed and has not changed since.
  std::string pin_problem;
  std::vector<std::string> mechanisms;  // those of interest, by name, as the module lists them
};

// What a token says of a key by itself; nothing where it does not say.
struct KeyClaims {
  std::optional<bool> local, sensitive, always_sensitive, extractable, never_extractable,
      modifiable;
  // CKA_KEY_GEN_MECHANISM by its name; empty: no mechanism of the token has made it.
  std::optional<std::string> generated_by;
  std::vector<std::string> allowed_mechanisms;  // CKA_ALLOWED_MECHANISMS; empty: not told, or any
  std::optional<uint32_t> bits;                 // of the key, or of an RSA key's modulus
};

// One secret or private key on the token.
struct KeyDescription {
  KeySelector selector;
  std::string type;  // "AES-256", "RSA-3072", "HMAC-256", …
  bool token = false, is_private = false, sensitive = false, always_sensitive = false,
       extractable = false, never_extractable = false, modifiable = false, local = false,
       encrypt = false, decrypt = false, wrap = false, unwrap = false, sign = false, verify = false;
  // The label of the key that this one is the HMAC key of; empty for all others.
  std::string belongs_to;
  // Empty, or why kekd would not use it: "it can be read out (CKA_EXTRACTABLE)", …
  std::string problem;
  // Of kList and kAttest.
  KeyClaims claims;
};

struct WorkerRequest {
  WorkerVerb verb = WorkerVerb::kDescribe;
  // After that nobody waits for the answer; infinite for no limit. In nanoseconds on the wire.
  absl::Duration timeout = absl::InfiniteDuration();
  WorkerConfig config;
  KeyReference key;
  NewKey new_key;
  uint32_t count = 0;
  std::string associated_data;
  std::string bytes;
  SecretBytes secret;
};

// Median and 99th percentile of one function of the module, in nanoseconds.
struct Measurement {
  std::string what;  // "C_EncryptInit + C_Encrypt, 32 bytes"
  uint64_t p50 = 0;
  uint64_t p99 = 0;
};

// What came of a mechanism that was tried.
struct MechanismTrial {
  KeyMechanism mechanism = KeyMechanism::kGcmCallerIv;
  bool listed = false;  // by the module
  std::string problem;  // empty: it works
};

struct WorkerResponse {
  // OK; InvalidArgument: what was asked for is wrong (a ciphertext that does not authenticate);
  // NotFound: no such key; FailedPrecondition: an operator has to do something (PIN,
  // configuration); Unavailable: the token does not work now. The message names function and CK_RV.
  absl::Status status;
  // The module needs a fresh process: only a restart of the worker can help.
  bool restart = false;
  TokenDescription token;
  std::vector<KeyDescription> keys;
  KeyReference reference;  // what opens keys[0] again, without made_for
  std::vector<Measurement> measurements;
  std::vector<MechanismTrial> trials;
  std::string bytes;
  SecretBytes secret;
};

// A frame on the socket: the lengths of its public and of its secret part (u32 each, big-endian),
// then both. The secret part never lies outside locked memory in either process.
struct WorkerFrame {
  static constexpr size_t kMaxFieldBytes = size_t{8} << 20;
  static constexpr size_t kMaxSecretBytes = 4096;

  std::string fields;
  SecretBytes secret;
};

// Fields that the verb does not name are not sent; of a response that is not OK only its status and
// `restart`, and `token` for kStart and kDescribe. A request can be sent again, so its secret is
// copied; that of a response is moved. Messages of a status are cut to kMaxMessageBytes.
inline constexpr size_t kMaxMessageBytes = 4096;
WorkerFrame Encode(const WorkerRequest& request);
WorkerFrame Encode(WorkerVerb verb, WorkerResponse response);
// InvalidArgument for what Encode would not have made: the other side is not trusted to be sane (a
// module may have overwritten its memory). FailedPrecondition if the other side is of another
// release of kekd and speaks another version of this protocol.
absl::StatusOr<WorkerRequest> DecodeRequest(WorkerFrame frame);
absl::StatusOr<WorkerResponse> DecodeResponse(WorkerVerb verb, WorkerFrame frame);

// On a connected SOCK_STREAM of the unix domain. Deadlines are by MonotonicNow(). DeadlineExceeded
// after the deadline, by which a frame may have been sent or received in part: the connection is of
// no more use. Unavailable if the other side is gone, InvalidArgument for a frame that is too
// large. With absl::InfiniteFuture() they block.
absl::Status SendFrame(int fd, const WorkerFrame& frame, absl::Time deadline);
absl::StatusOr<WorkerFrame> ReceiveFrame(int fd, absl::Time deadline);
// Waits until there is something to receive, be it the end. DeadlineExceeded after the deadline:
// nothing was taken, so that the connection is as good as before.
absl::Status AwaitFrame(int fd, absl::Time deadline);

}  // namespace kekd

#endif  // KEKD_HSM_TOKEN_WORKER_MESSAGE_H_
