// THE backend interface: what can make, open and use a key-encryption key.
#ifndef KEKD_KEYSTORE_KEY_BACKEND_H_
#define KEKD_KEYSTORE_KEY_BACKEND_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "keystore/aead.h"
#include "keystore/key_id.h"
#include "keystore/key_version.h"

namespace kekd {

// A key that is open for use: a held handle, so that nothing is looked up on the encrypt path.
// Thread-safe. Every call returns by `deadline` (DeadlineExceeded) and leaves its arguments as they
// are, so that it can be repeated. Errors: InvalidArgument for what the caller sent, Unavailable
// where a repetition may help, anything else where it won't.
class BackendKey {
 public:
  virtual ~BackendKey() = default;
  virtual Algorithm algorithm() const = 0;
  // Whether Encrypt and Decrypt may wait for something outside this process: a device, a remote.
  // Such calls are never made on a thread that others wait for. Always the same answer.
  virtual bool MayBlock() const = 0;
  // What follows the header of a Ciphertext of algorithm(), with a nonce that is new each time; a
  // wrapped key before it is of another one-time key each time. There is always associated
  // data: a backend may refuse to go without (SoftHSM 2.6 ends its process).
  virtual absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext,
                                              ByteView associated_data,
                                              absl::Time deadline) const = 0;
  // InvalidArgument if `sealed` was not made under this key with this associated data.
  virtual absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data,
                                              absl::Time deadline) const = 0;
  // Of a key that is to be held in several places, any of which serves: OK if each of them holds
  // it, proved by what it decrypts now; else which do not, and why. To be called once the key has
  // decrypted something. Of a key in one place there is nothing to prove.
  virtual absl::Status ProveEverywhere(absl::Time /*deadline*/) const { return absl::OkStatus(); }
};

// One of the places that a backend keeps its keys in, where any of them serves: a token of several.
struct KeyPlace {
  // The gravest last.
  enum class State {
    kUp,
    kNotAsked,  // nothing is known of it yet
    kUnfit,     // it works, but not with one of the keys
    kLacksKey,  // it has not one of the keys
    kOtherKey,  // it has another key than the one that is meant
    kDown,
  };
  std::string name;  // for people
  State state = State::kUp;
  absl::Time since;        // of the state
  std::string problem;     // why it is not used, or not for which key; empty of the first two
  std::string last_error;  // why it was down last; empty if it never was
};

// "up", "down", "lacks a key", …
absl::string_view ToString(KeyPlace::State state);

// KeyAdopter is the ability of a backend to take over a key that was made elsewhere. Thread-safe.
class KeyAdopter {
 public:
  virtual ~KeyAdopter() = default;
  // The material for the key that `reference` names in the backend's own words (a PKCS#11 URI, a
  // key's name), such as OpenKey takes it for this spec. Nothing of the key is changed.
  // InvalidArgument if the reference can't be read; NotFound if there is no such key;
  // FailedPrecondition if there are several, or if the key is not fit: for another use, of another
  // kind, or one that could leave the device unless `allow_extractable`.
  virtual absl::StatusOr<KeyMaterial> AdoptKey(const KeySpec& spec, absl::string_view reference,
                                               bool allow_extractable, absl::Time deadline) = 0;
  // Whether two materials of this type of backend, made for any specs, may be of one and the same
  // key. Asks nobody: in doubt they may.
  virtual bool IsSameKey(const KeyMaterial& a, const KeyMaterial& b) const = 0;
};

// What one of the places that may hold a key says of it when it is asked: its word, which nobody
// else can check, and no certificate.
struct KeyAttestation {
  struct Statement {
    std::string name;     // in the words of its standard: "CKA_LOCAL"
    std::string meaning;  // for people: "made in the token"
    std::string says;     // "yes", "no" or what it is; empty if the place does not say
  };
  // A key may be of several objects.
  struct Object {
    std::string type;  // "AES-256"
    std::string label;
    std::string id;  // raw bytes
    std::vector<Statement> statements;
  };
  std::string place;    // for people; may be empty if there is one place only
  absl::Status status;  // why the place has said nothing, if it has not
  std::vector<Object> objects;
  std::string verdict;  // what follows from it, in one sentence
};

// KeyAttester is the ability of a backend of devices to ask them what they know of a key.
// Thread-safe.
class KeyAttester {
 public:
  virtual ~KeyAttester() = default;
  // Asks each place about the key that KeyMaterial::key_reference of a version names, all at once;
  // one entry a place, in order of preference. Changes nothing and uses no key. DataLoss if the
  // reference is damaged or was made for another spec.
  virtual absl::StatusOr<std::vector<KeyAttestation>> AttestKey(const KeySpec& spec,
                                                                absl::string_view reference,
                                                                absl::Time deadline) = 0;
};

// EnvelopeMaker is the ability of a backend of devices to keep keys in custody `envelope`: kekd
// makes the key, the device wraps it. Thread-safe.
class EnvelopeMaker {
 public:
  virtual ~EnvelopeMaker() = default;
  // Makes a new key and, on the device, one that wraps it; proved by unwrapping. Else as
  // KeyBackend::GenerateKey.
  virtual absl::StatusOr<KeyMaterial> GenerateEnvelopeKey(const KeySpec& spec,
                                                          absl::Time deadline) = 0;
};

// KeyBackend is a place where keys are kept: software, a PKCS#11 token, a cloud KMS. Thread-safe.
// Every call that may block takes a deadline.
class KeyBackend {
 public:
  struct Description {
    std::string type;    // as in the record: "software", …
    std::string detail;  // for people: module and token, region and key ring; no secret
    Custody custody = Custody::kDevice;  // of the keys that GenerateKey makes
  };

  virtual ~KeyBackend() = default;
  virtual Description Describe() const = 0;
  // Makes a new key. Nothing refers to it until a record that holds the material is committed.
  virtual absl::StatusOr<KeyMaterial> GenerateKey(const KeySpec& spec, absl::Time deadline) = 0;
  // Opens a key that GenerateKey or AdoptKey of this type of backend made for this spec. DataLoss
  // if the material is damaged or was made for another spec; NotFound if the key is gone.
  virtual absl::StatusOr<std::shared_ptr<const BackendKey>> OpenKey(const KeySpec& spec,
                                                                    const KeyMaterial& material,
                                                                    absl::Time deadline) = 0;
  // Destroys what lies outside the record. OK if it is gone already. The material may be that of a
  // destroyed version, without its wraps.
  virtual absl::Status DestroyKey(const KeySpec& spec, const KeyMaterial& material,
                                  absl::Time deadline) = 0;
  // Whether the backend can be reached and would work.
  virtual absl::Status Probe(absl::Time deadline) = 0;
  // If there are several, in order of preference; as they are known at the moment.
  virtual std::vector<KeyPlace> Places() const { return {}; }
  // Null if the backend has not this ability. They live as long as the backend.
  virtual KeyAdopter* adopter() { return nullptr; }
  virtual EnvelopeMaker* envelope_maker() { return nullptr; }
  virtual KeyAttester* attester() { return nullptr; }
};

// Makes a new key in this custody, or in the backend's own. FailedPrecondition if the backend keeps
// no keys in it.
absl::StatusOr<KeyMaterial> GenerateKeyIn(std::optional<Custody> custody, KeyBackend& backend,
                                          const KeySpec& spec, absl::Time deadline);

// The backends of one ring by type.
class BackendSet final {
 public:
  void Add(std::unique_ptr<KeyBackend> backend);
  // FailedPrecondition, naming those there are, if there is none of this type.
  absl::StatusOr<KeyBackend*> Find(absl::string_view type) const;
  // Of all of them.
  std::vector<KeyPlace> Places() const;

 private:
  std::vector<std::unique_ptr<KeyBackend>> backends_;
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_KEY_BACKEND_H_
