#include "base/status_macros.h"
#include "kms/ctl/command_tree.h"

namespace kekd {
namespace {

absl::StatusOr<Verb> ReadBench(const VerbArguments& given) {
  HsmBenchVerb verb;
  KEKD_ASSIGN_OR_RETURN(verb.count, given.ReadNumber<uint32_t>("--count", 1, 100000));
  if (given.Has("--key")) {
    KEKD_ASSIGN_OR_RETURN(verb.version, given.ReadNumber<uint32_t>("--key", 1, UINT32_MAX));
  }
  return verb;
}

}  // namespace

VerbSection HsmVerbs() {
  return {
      .title = "The HSM",
      .groups = {{.path = "hsm", .summary = "look at a keyring's PKCS#11 tokens"}},
      .verbs = {
          {
              .path = "hsm list",
              .summary = "the keys on the token, and which versions of the keyring they are",
              .description =
                  "Lists the secret keys on the token that the configuration names for the "
                  "keyring: which version each is, whether it was made on the token, and what is "
                  "wrong with it. Logs in by itself, beside a running kekd. Of several tokens, one "
                  "after "
                  "the other.",
              .examples = {"hsm list", "hsm list -o json"},
              .read = ReadNothing<HsmListVerb>,
          },
          {
              .path = "hsm doctor",
              .summary = "does the token do what kekd needs, and what is to be mended",
              .description =
                  "Asks the token all that kekd relies on: the module, the one token that is "
                  "meant, "
                  "the state of the PIN before any login, sessions, mechanisms, and of each key "
                  "version on it that there is exactly one such key, its attributes, and that it "
                  "still decrypts its canary. Each of several tokens is examined by itself. A PIN "
                  "that "
                  "has failed is not sent again until its file changes. Ends with 1 if something "
                  "failed.",
              .examples = {"hsm doctor", "hsm doctor -o json"},
              .read = ReadNothing<HsmDoctorVerb>,
          },
          {
              .path = "hsm bench",
              .summary = "how long the token takes",
              .description = "Measures encryption and decryption of 32 bytes with a key of the "
                             "keyring: in the "
                             "module alone, and as kekd calls it, in its process.",
              .options = {{.name = "--count",
                           .value = "N",
                           .help = "calls of each kind, 1 to 100000",
                           .default_value = "1000"},
                          {.name = "--key",
                           .value = "VERSION",
                           .help = "the key version to use; the newest on the token if not given"}},
              .examples = {"hsm bench", "hsm bench --count 10000"},
              .read = ReadBench,
          },
      }};
}

}  // namespace kekd
