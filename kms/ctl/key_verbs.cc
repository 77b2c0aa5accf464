#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "keystore/software_key_backend.h"
#include "kms/ctl/command_tree.h"

namespace kekd {
namespace {

OptionDescription GenerationOption() {
  return {.name = "--generation",
          .value = "N",
          .help =
              "change nothing unless the keyring still is of this generation, as 'key list' "
              "showed it"};
}

absl::StatusOr<std::optional<uint64_t>> ReadGeneration(const VerbArguments& given) {
  if (!given.Has("--generation")) return std::nullopt;
  return given.ReadNumber<uint64_t>("--generation", 1, UINT64_MAX);
}

absl::StatusOr<Verb> ReadShow(const VerbArguments& given) {
  KeyShowVerb verb;
  KEKD_ASSIGN_OR_RETURN(verb.version, given.ReadNumber<uint32_t>("VERSION", 1, UINT32_MAX));
  return verb;
}

absl::StatusOr<Verb> ReadCreate(const VerbArguments& given) {
  KeyCreateVerb verb{.backend = given.Text("--backend"),
                     .custody = CustodyFromText(given.Text("--custody"))};
  KEKD_ASSIGN_OR_RETURN(verb.generation, ReadGeneration(given));
  return verb;
}

absl::StatusOr<Verb> ReadAdopt(const VerbArguments& given) {
  KeyAdoptVerb verb{.backend = given.Text("--backend"),
                    .object = given.Text("--object"),
                    .allow_extractable = given.Has("--allow-extractable")};
  if (verb.object.empty()) return absl::InvalidArgumentError("--object names no key");
  KEKD_ASSIGN_OR_RETURN(verb.generation, ReadGeneration(given));
  return verb;
}

absl::StatusOr<Verb> ReadPromote(const VerbArguments& given) {
  KeyPromoteVerb verb;
  KEKD_ASSIGN_OR_RETURN(verb.version, given.ReadNumber<uint32_t>("VERSION", 1, UINT32_MAX));
  KEKD_ASSIGN_OR_RETURN(verb.generation, ReadGeneration(given));
  return verb;
}

}  // namespace

VerbSection KeyVerbs() {
  return {
      .title = "Keys",
      .groups = {{.path = "key", .summary = "look at keys, make, adopt and promote them"}},
      .verbs = {
          {
              .path = "key list",
              .summary = "the key versions of a keyring",
              .description = "Lists the key versions of a keyring with their states and times.",
              .examples = {"key list"},
              .read = ReadNothing<KeyListVerb>,
          },
          {
              .path = "key show",
              .summary = "all about one key version, and what its token says of the key now",
              .description =
                  "Shows all that the keyring's record says of a key version, whether its key "
                  "decrypts its canary now, and of a key on a token what the token says of it when "
                  "it is asked: whether it was made there, could ever be read out or leave, and by "
                  "which mechanism it was made. That is the token's word; what the token does not "
                  "say is told as that. Of several tokens, each one's word. If a token is away, "
                  "the rest is shown all the same.",
              .arguments = {{.name = "VERSION", .help = "the number of the key version"}},
              .examples = {"key show 3", "key show 3 -o json"},
              .read = ReadShow,
          },
          {
              .path = "key create",
              .summary = "make the next key version; nothing is encrypted with it yet",
              .description =
                  "Makes the next key version: generated, proved by decrypting what it encrypted, "
                  "and stored. Nothing is encrypted with it before 'kekctl key promote'.",
              .options = {{.name = "--backend",
                           .value = "NAME",
                           .help = "where the key is kept: software, or pkcs11 for the token "
                                   "that the configuration names; where the primary's is, if not "
                                   "given"},
                          {.name = "--custody",
                           .value = "CUSTODY",
                           .help = "device: every operation is done by the token; envelope: the "
                                   "token unwraps the key at the start and kekd works with it. As "
                                   "the primary's, if not given, or where that is in another "
                                   "backend, device on a token",
                           .choices = {"device", "envelope"}},
                          GenerationOption()},
              .examples = {"key create", "key create --generation 7", "key create --backend pkcs11",
                           "key create --backend pkcs11 --custody envelope"},
              .read = ReadCreate,
          },
          {
              .path = "key adopt",
              .summary = "make the next key version of a key that a device has already",
              .description =
                  "Makes the next key version of a key that was made elsewhere and lies in the "
                  "backend already: proved by decrypting what it encrypted, and stored by its "
                  "name. The key itself is not changed. One that could leave its device is "
                  "refused unless --allow-extractable is given. Nothing is encrypted with it "
                  "before 'kekctl key promote'.",
              .options = {{.name = "--backend",
                           .value = "NAME",
                           .help = "where the key is",
                           .required = true},
                          {.name = "--object",
                           .value = "URI",
                           .help = "which key, in the backend's words: a PKCS#11 URI",
                           .required = true},
                          {.name = "--allow-extractable",
                           .help = "take a key that could leave its device, too"},
                          GenerationOption()},
              .examples =
                  {"key adopt --backend pkcs11 --object 'pkcs11:token=prod;object=kek-2026'"},
              .read = ReadAdopt,
          },
          {
              .path = "key promote",
              .summary = "make it the primary: new data is encrypted with it",
              .description =
                  "Makes a key version the primary: new data is encrypted with it, and the former "
                  "primary decrypts only. API servers notice it within a minute or so. What is "
                  "stored already stays under the former key until it is written again. Refused "
                  "unless the key decrypts its canary, on each of several tokens.",
              .arguments = {{.name = "VERSION", .help = "the number of the key version"}},
              .options = {GenerationOption()},
              .examples = {"key promote 2", "key promote 2 --generation 8"},
              .read = ReadPromote,
          },
      }};
}

}  // namespace kekd
