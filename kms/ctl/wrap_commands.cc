#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/posix_error.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "hsm/token/key_reference.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/backup_log.h"
#include "keystore/file_keyring_store.h"
#include "keystore/key_file.h"
#include "keystore/key_state.h"
#include "keystore/ring_key_wrapper.h"
#include "kms/admin_view/keyring_view.h"
#include "kms/config/exit_code.h"
#include "kms/ctl/apply_transition.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/keyring_reader.h"
#include "kms/ctl/table.h"
#include "kms/ctl/table_output.h"
#include "kms/ctl/wrap_text.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

using admin::v1::ApplyResponse;

// A keyring with its ring key, from the files. kekd, if it runs, changes nothing meanwhile that the
// generation would not tell.
struct RingWithKey {
  const KeyringConfig* config = nullptr;
  std::shared_ptr<const Keyring> keyring;
  std::shared_ptr<const RingKey> ring_key;
  std::vector<BackupLogEntry> backups;  // those that are known here
};

absl::StatusOr<RingWithKey> ReadRing(const CommandContext& context) {
  RingWithKey ring;
  KEKD_ASSIGN_OR_RETURN(ring.config, context.config->FindKeyring(context.keyring));
  KEKD_ASSIGN_OR_RETURN(
      const std::unique_ptr<FileKeyringStore> store,
      FileKeyringStore::Open(StoreOptions(*context.fs, *context.config, *ring.config),
                             FileKeyringStore::Access::kReadOnly));
  KEKD_ASSIGN_OR_RETURN(ring.keyring, store->Load());
  KEKD_RETURN_IF_ERROR(CheckName(*ring.keyring, *ring.config));
  ring.ring_key = store->ring_key()->Get();
  absl::StatusOr<std::vector<BackupLogEntry>> backups = store->Backups();
  if (backups.ok()) ring.backups = *std::move(backups);
  return ring;
}

// Opens a new wrap again: one that would not open must not be relied upon.
absl::Status TryWrap(const Wrap& wrap, const RingKeyWrapper& wrapper, const RingKey& ring_key,
                     const RingIdentity& identity) {
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const RingKey> opened,
                        wrapper.UnwrapRingKey(wrap, identity, RandomSource::System()));
  if (SecretBytes::ConstantTimeEquals(opened->secret(), ring_key.secret())) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(wrapper.Describe(), " does not open what it has wrapped; nothing was changed"));
}

std::string NameOf(const Wrap& wrap) {
  const std::string reference = WrapReferenceText(ToString(wrap.type), wrap.reference);
  return absl::StrCat("wrap ", wrap.number, " (", ToString(wrap.type), reference.empty() ? "" : " ",
                      Printable(reference), ")");
}

// The wrappers of the configuration and of the command line.
std::vector<std::unique_ptr<RingKeyWrapper>> AllWrappers(const CommandContext& context,
                                                         const KeyringConfig& config,
                                                         const std::vector<UnlockConfig>& also,
                                                         const NewWrap& new_wrap) {
  KeyringConfig all = config;
  for (const UnlockConfig& unlock : also) {
    if (std::find(all.unlock.begin(), all.unlock.end(), unlock) == all.unlock.end()) {
      all.unlock.push_back(unlock);
    }
  }
  return MakeWrappers(*context.fs, context.config->state_directory, all, new_wrap);
}

// The first wrapper that opens the wrap; null if none does. `unread` tells then why it is not known
// of one whether it would: what it needs could not be read.
const RingKeyWrapper* FindOpener(const Wrap& wrap,
                                 const std::vector<std::unique_ptr<RingKeyWrapper>>& wrappers,
                                 const RingIdentity& identity, absl::Status& unread) {
  for (const std::unique_ptr<RingKeyWrapper>& wrapper : wrappers) {
    if (wrapper->type() != wrap.type) continue;
    const absl::Status opened =
        wrapper->UnwrapRingKey(wrap, identity, RandomSource::System()).status();
    if (opened.ok()) return wrapper.get();
    const ExitCode code = ExitCodeOf(opened);
    const bool token_refuses = wrap.type == WrapType::kPkcs11 && code == kExitRefused;
    if (code == kExitFailure || code == kExitPermission || code == kExitUnreachable ||
        token_refuses) {
      unread.Update(opened);
    }
  }
  return nullptr;
}

// Each of the configuration's ways on each wrap: some open several.
UnlockTrial TryUnlocks(const CommandContext& context, const RingWithKey& ring) {
  UnlockTrial trial;
  for (const auto& wrapper :
       MakeWrappers(*context.fs, context.config->state_directory, *ring.config)) {
    absl::Status failure;
    bool opens = false;
    for (const Wrap& wrap : ring.keyring->ring_key_wraps()) {
      const absl::Status tried = OpenRingKeyWith(absl::MakeConstSpan(&wrap, 1), *wrapper,
                                                 ring.keyring->identity(), RandomSource::System())
                                     .status();
      if (tried.ok()) {
        opens = true;
        trial.opened.emplace(wrap.number, wrapper->Describe());
      } else if (failure.ok() || wrap.type == wrapper->type()) {
        failure = tried;
      }
    }
    if (!opens) trial.failed.push_back({wrapper->Describe(), wrapper->type(), failure});
  }
  return trial;
}

// The wraps that stay, made anew for `ring_key` under their numbers.
absl::StatusOr<std::vector<Wrap>> Rewrap(const CommandContext& context, const RingWithKey& ring,
                                         const WrapRemoveVerb& verb, const RingKey& ring_key) {
  const Keyring& keyring = *ring.keyring;
  const std::vector<uint32_t>& removed = verb.numbers;
  std::vector<Wrap> wraps;
  std::vector<std::string> closed;
  absl::Status failure;
  for (const Wrap& wrap : keyring.ring_key_wraps()) {
    if (std::find(removed.begin(), removed.end(), wrap.number) != removed.end()) continue;
    NewWrap same;  // a passphrase stays under the function that was chosen for it
    if (wrap.kdf.has_value()) same.kdf = wrap.kdf->function;
    const auto wrappers = AllWrappers(context, *ring.config, verb.also, same);
    absl::Status unread;
    const RingKeyWrapper* const opener = FindOpener(wrap, wrappers, keyring.identity(), unread);
    if (opener == nullptr) {
      failure.Update(unread);
      closed.push_back(NameOf(wrap));
      continue;
    }
    KEKD_ASSIGN_OR_RETURN(wraps.emplace_back(),
                          opener->WrapRingKeyAgain(wrap, ring_key, keyring.identity()));
    KEKD_RETURN_IF_ERROR(TryWrap(wraps.back(), *opener, ring_key, keyring.identity()));
  }
  if (closed.empty()) return wraps;
  const std::string refusal = absl::StrCat(
      "nothing was changed: ", absl::StrJoin(closed, ", "),
      closed.size() == 1 ? " stays and would have" : " stay and would have",
      " to be made anew, and nothing that was given opens it; give what does (--key-file, "
      "--passphrase-prompt, …), or remove it too");
  if (!failure.ok()) return WithContext(failure, refusal);
  return absl::FailedPreconditionError(refusal);
}

absl::Status CheckRemovable(const Keyring& keyring, const std::vector<uint32_t>& numbers) {
  for (const uint32_t number : numbers) {
    if (keyring.FindWrap(number) != nullptr) continue;
    return absl::NotFoundError(absl::StrCat("keyring ", keyring.identity().name, " has no wrap ",
                                            number,
                                            "; 'kekctl keyring wrap list' shows those it has"));
  }
  if (numbers.size() < keyring.ring_key_wraps().size()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the last wrap can't be removed: nothing would open the keyring; add another first");
}

// The backups that the change of the ring key leaves as they are.
std::string BackupsLeftReadable(const std::vector<BackupLogEntry>& backups) {
  if (backups.empty()) return "";
  std::string text =
      "So does each of these backups, for whoever has what opens it: it holds the keys and the "
      "former ring key.\n";
  for (const BackupLogEntry& backup : backups) {
    absl::StrAppend(&text, "  ", Printable(backup.path), "  generation ", backup.generation, ", ",
                    FormatMillis(absl::ToUnixMillis(backup.creation_time)), ", opened by ",
                    backup.shares.has_value() ? absl::StrCat(backup.shares->threshold, " of ",
                                                             backup.shares->total, " shares")
                                              : "a passphrase",
                    "\n");
  }
  return text;
}

// Copies of the keyring that a commit should have removed and has not: what was removed opens them.
absl::StatusOr<std::vector<std::string>> CopiesLeft(const CommandContext& context,
                                                    const RingWithKey& ring) {
  std::vector<std::string> left;
  KEKD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        context.fs->ListDirectory(ring.config->directory));
  for (const std::string& name : names) {
    absl::string_view digits = name;
    uint64_t generation = 0;
    if (absl::ConsumePrefix(&digits, "keyring.") && absl::SimpleAtoi(digits, &generation) &&
        generation <= ring.keyring->generation()) {
      left.push_back(JoinPath(ring.config->directory, name));
    }
  }
  return left;
}

// Whether the record may hold the wrap after a change that failed, or come to hold it: what it
// needs must stay then.
bool MayHold(const CommandContext& context, const Wrap& wrap, const absl::Status& failure) {
  // kekd has said no. Of anything else it is not known whether it is still at it.
  const bool refused = absl::IsAborted(failure) || absl::IsFailedPrecondition(failure) ||
                       absl::IsInvalidArgument(failure) || absl::IsNotFound(failure) ||
                       absl::IsPermissionDenied(failure);
  if (!refused) return true;
  const absl::StatusOr<RingWithKey> now = ReadRing(context);
  if (!now.ok()) return true;
  const std::vector<Wrap>& wraps = now->keyring->ring_key_wraps();
  return std::any_of(wraps.begin(), wraps.end(), [&](const Wrap& each) {
    return each.type == wrap.type && each.reference == wrap.reference;
  });
}

// Whether the key of a removed wrap has another use in the keyring as it is now.
bool IsUsed(const Wrap& removed, const admin::v1::Keyring& now) {
  const absl::StatusOr<KeyReference> key = KeyReference::Parse(removed.reference);
  if (!key.ok()) return false;
  const auto is_it = [&](const std::string& text) {
    const absl::StatusOr<KeyReference> other = KeyReference::Parse(text);
    return other.ok() && other->key == key->key;
  };
  return std::any_of(now.ring_key_wraps().begin(), now.ring_key_wraps().end(),
                     [&](const admin::v1::Wrap& each) {
                       return each.type() == ToString(removed.type) && is_it(each.reference());
                     }) ||
         std::any_of(
             now.versions().begin(), now.versions().end(), [&](const admin::v1::KeyVersion& each) {
               return each.state() != ToString(KeyState::kDestroyed) && is_it(each.key_reference());
             });
}

// Destroys the keys on the token that wraps were under which are removed now, and adds a line on
// each to `text`. What could not be destroyed, and why, is returned.
std::string DestroyKeysOf(const CommandContext& context, const RingWithKey& ring,
                          const std::vector<uint32_t>& removed, const admin::v1::Keyring& now,
                          std::string& text) {
  std::vector<std::string> left;
  const std::unique_ptr<RingKeyWrapper> token =
      MakeWrapper(*context.fs, context.config->state_directory, *ring.config,
                  {.kind = UnlockConfig::Kind::kPkcs11}, {});
  for (const uint32_t number : removed) {
    const Wrap& wrap = *ring.keyring->FindWrap(number);
    if (wrap.type != token->type()) continue;
    const std::string key = WrapReferenceText(ToString(wrap.type), wrap.reference);
    if (IsUsed(wrap, now)) {
      absl::StrAppend(&text,
                      "Its key on the token stays, since the keyring has another use for it: ",
                      Printable(key), "\n");
      continue;
    }
    const absl::Status destroyed = token->Discard(wrap, ring.keyring->identity());
    if (destroyed.ok()) {
      absl::StrAppend(&text, "Its key on the token was destroyed: ", Printable(key), "\n");
    } else {
      left.push_back(absl::StrCat(Printable(key), " (", destroyed.message(), ")"));
    }
  }
  if (left.empty()) return "";
  return absl::StrCat("the wrap is removed, but its key was not destroyed on the token: ",
                      absl::StrJoin(left, "; "),
                      ". With that token and an older copy of the keyring it opens that copy; "
                      "'kekctl hsm list' shows "
                      "it as a key of no use, to be destroyed with the token's own tool");
}

void AddNote(absl::string_view note, CommandResult& result) {
  absl::StrAppend(&result.note, result.note.empty() ? "" : "; ", note);
  result.exit_code = kExitFailure;
}

CommandResult WrapsResult(const CommandContext& context, const admin::v1::Keyring& keyring,
                          std::string text) {
  CommandResult result;
  result.output =
      context.format == OutputFormat::kJson ? WrapListJson(keyring, nullptr) : std::move(text);
  return result;
}

}  // namespace

absl::StatusOr<CommandResult> WrapList(const CommandContext& context, const WrapListVerb& verb) {
  admin::v1::Keyring view;
  UnlockTrial trial;
  if (verb.check) {
    KEKD_ASSIGN_OR_RETURN(const RingWithKey ring, ReadRing(context));
    view = KeyringToView(*ring.keyring, nullptr);
    trial = TryUnlocks(context, ring);
  } else {
    KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                          context.config->FindKeyring(context.keyring));
    KEKD_ASSIGN_OR_RETURN(
        view, ReadKeyring(*context.fs, *context.config, *keyring, context.now + kVerbTime));
  }
  const UnlockTrial* const checked = verb.check ? &trial : nullptr;
  CommandResult result;
  result.output = context.format == OutputFormat::kJson
                      ? WrapListJson(view, checked)
                      : WrapListTable(view, checked, context.now, context.colors);
  return result;
}

absl::StatusOr<CommandResult> WrapAdd(const CommandContext& context, const WrapAddVerb& verb) {
  if (Printable(verb.label) != verb.label) {
    return absl::InvalidArgumentError(
        "--label must be text without control characters, as it is shown to people");
  }
  KEKD_ASSIGN_OR_RETURN(const RingWithKey ring, ReadRing(context));
  const std::unique_ptr<RingKeyWrapper> wrapper =
      MakeWrapper(*context.fs, context.config->state_directory, *ring.config, verb.unlock,
                  {.label = verb.label, .kdf = verb.kdf, .ask = AskTwice::kYes});
  if (verb.unlock.kind == UnlockConfig::Kind::kKeyFile &&
      absl::IsNotFound(context.fs->GetInfo(verb.unlock.value).status())) {
    return absl::NotFoundError(absl::StrCat("key file ", verb.unlock.value,
                                            " does not exist; 'kekctl keyring new-key-file ",
                                            verb.unlock.value, "' makes one"));
  }
  const RingIdentity& identity = ring.keyring->identity();
  if (verb.unlock.kind == UnlockConfig::Kind::kPkcs11) {
    // Before a key is made on the token for nothing.
    KEKD_RETURN_IF_ERROR(ring.keyring->ExpectFormat(3, "a wrap of the ring key by a token"));
  }
  for (const Wrap& there : ring.keyring->ring_key_wraps()) {
    // Each try of a passphrase costs as much as making a wrap; two of the same do no harm.
    if (there.type != wrapper->type() || there.type == WrapType::kPassphrase) continue;
    if (wrapper->UnwrapRingKey(there, identity, RandomSource::System()).ok()) {
      return absl::AlreadyExistsError(
          absl::StrCat(wrapper->Describe(), " opens ", NameOf(there), " already"));
    }
  }
  NewWraps made(identity);
  KEKD_ASSIGN_OR_RETURN(Wrap wrap, made.Make(*wrapper, *ring.ring_key));
  KEKD_RETURN_IF_ERROR(TryWrap(wrap, *wrapper, *ring.ring_key, identity));
  wrap.number = ring.keyring->next_wrap_number();
  const absl::StatusOr<ApplyResponse> response =
      ApplyTransition(context, AddWrap{wrap}, ring.keyring->generation());
  if (!response.ok()) {
    if (wrap.type != WrapType::kPkcs11 || !MayHold(context, wrap, response.status())) {
      return response.status();
    }
    made.Keep();
    return absl::Status(
        response.status().code(),
        absl::StrCat(response.status().message(), ". The key that was made for the wrap, ",
                     WrapReferenceText(ToString(wrap.type), wrap.reference),
                     ", stays there: 'kekctl hsm list' tells whether a wrap is under it"));
  }
  made.Keep();
  std::string text =
      absl::StrCat("added wrap ", wrap.number, " of keyring ", ring.config->name, ": ",
                   verb.unlock.kind == UnlockConfig::Kind::kPkcs11
                       ? WrapReferenceText(ToString(wrap.type), wrap.reference)
                       : Describe(verb.unlock),
                   "\n");
  const auto& unlock = ring.config->unlock;
  if (std::find(unlock.begin(), unlock.end(), verb.unlock) == unlock.end()) {
    absl::StrAppend(
        &text,
        "kekd does not use it: it is not under \"unlock\" in the configuration. Keep it "
        "where it survives what the others do not.\n");
  }
  return WrapsResult(context, response->keyring(), std::move(text));
}

absl::StatusOr<CommandResult> WrapRemove(const CommandContext& context,
                                         const WrapRemoveVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(const RingWithKey ring, ReadRing(context));
  KEKD_RETURN_IF_ERROR(CheckRemovable(*ring.keyring, verb.numbers));
  const RingIdentity& identity = ring.keyring->identity();
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const RingKey> ring_key,
                        RingKey::Generate(identity.ring_uuid, RandomSource::System()));
  ReplaceRingKey replace{.removed = verb.numbers, .wraps = {}};
  KEKD_ASSIGN_OR_RETURN(replace.wraps, Rewrap(context, ring, verb, *ring_key));
  KEKD_ASSIGN_OR_RETURN(const ApplyResponse response,
                        ApplyTransition(context, replace, ring.keyring->generation()));
  std::vector<std::string> names;
  names.reserve(verb.numbers.size());
  for (const uint32_t number : verb.numbers)
    names.push_back(NameOf(*ring.keyring->FindWrap(number)));
  std::string text = absl::StrCat(
      "removed ", absl::StrJoin(names, ", "), " of keyring ", ring.config->name,
      ", which has a new ring key now (number ", response.keyring().ring_key_number(), ")\n",
      "What was removed still opens every copy of the keyring that was made before, with the keys "
      "in it: generation ",
      ring.keyring->generation(),
      " and older. If it may be known to others,\nmake and promote a new key version and destroy "
      "those copies.\n");
  absl::StrAppend(&text, BackupsLeftReadable(ring.backups));
  const std::string keys_left =
      DestroyKeysOf(context, ring, verb.numbers, response.keyring(), text);
  CommandResult result = WrapsResult(context, response.keyring(), std::move(text));
  if (!keys_left.empty()) AddNote(keys_left, result);
  const absl::StatusOr<std::vector<std::string>> left = CopiesLeft(context, ring);
  if (!left.ok()) {
    AddNote(absl::StrCat("what was removed still opens older copies, if they are not gone, which "
                         "could not be looked at: ",
                         left.status().message()),
            result);
  } else if (!left->empty()) {
    AddNote(absl::StrCat("what was removed still opens these copies, which should be gone: look "
                         "what they are, and remove them: ",
                         absl::StrJoin(*left, ", ")),
            result);
  }
  return result;
}

absl::StatusOr<CommandResult> KeyringNewKeyFile(const CommandContext& context,
                                                const KeyringNewKeyFileVerb& verb) {
  if (verb.path != "-") {
    KEKD_RETURN_IF_ERROR(
        CreateKeyFile(*context.fs, verb.path, std::nullopt, std::nullopt, RandomSource::System()));
    return CommandResult{.output = absl::StrCat("made key file ", verb.path, "\n")};
  }
  if (isatty(STDOUT_FILENO) == 1) {
    return absl::FailedPreconditionError(
        "a key must not be shown on a terminal: pipe it to where it is to be, such as "
        "'systemd-creds encrypt --name=NAME - FILE'");
  }
  KEKD_ASSIGN_OR_RETURN(const SecretBytes line, NewKeyFileLine(RandomSource::System()));
  // Straight from locked memory: a result's text would leave a copy behind.
  const ByteView bytes = line.Reveal(SecretAccessToken());
  const ssize_t written = write(STDOUT_FILENO, bytes.data(), bytes.size());
  if (written == static_cast<ssize_t>(bytes.size())) return CommandResult{};
  return PosixError(written < 0 ? errno : EIO, "writing to standard output");
}

absl::StatusOr<CommandResult> KeyringUpgrade(const CommandContext& context,
                                             const KeyringUpgradeVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(const RingWithKey ring, ReadRing(context));
  const uint16_t before = ring.keyring->format();
  const BackupCoverage coverage = CoverageOf(*ring.keyring, ring.backups);
  const bool backed_up = coverage.newest != nullptr && coverage.missing.empty();
  if (before < Keyring::kFormat && !backed_up && !verb.without_backup) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no verified backup holds all keys of keyring ", ring.config->name,
        ", and the former format can't be had back without one: 'kekctl keyring backup' makes one; "
        "--without-backup upgrades all the same"));
  }
  KEKD_ASSIGN_OR_RETURN(const ApplyResponse response,
                        ApplyTransition(context, UpgradeFormat{}, ring.keyring->generation()));
  CommandResult result;
  result.output =
      context.format == OutputFormat::kJson
          ? KeyringJson(response.keyring())
          : absl::StrCat("keyring ", ring.config->name, " has record format ",
                         response.keyring().format(), " now (was ", before,
                         "); a kekd that knows only the former can't read it any more\n");
  return result;
}

}  // namespace kekd
