// How FileKeyringStore puts a keyring from a backup into an empty folder.
#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/durable_file.h"
#include "base/status_macros.h"
#include "keystore/file_keyring_store.h"
#include "keystore/ring_folder.h"

namespace kekd {

using namespace ring_folder;  // NOLINT(google-build-using-namespace): the other half of this class

namespace {

using RestoreRequest = FileKeyringStore::RestoreRequest;

// What is there instead of nothing, for the refusal: "of generation 7".
std::string DescribeRingThere(const Options& options, const Keyring& restored) {
  absl::StatusOr<std::string> bytes = options.fs->ReadFile(RecordPath(options), kMaxRecordBytes);
  if (!bytes.ok()) return "older copies of one, or one that can't be read";
  const absl::StatusOr<UnverifiedRecord> there = UnverifiedRecord::Parse(*std::move(bytes));
  if (!there.ok()) return "a damaged one";
  return absl::StrCat(there->identity() == restored.identity() ? "the same one" : "another one",
                      ", of generation ", there->generation());
}

// Whether another process has the ring's lock. Without making the lock file, nor writing into it.
bool IsInUse(const Options& options) {
  const std::string path = JoinPath(options.directory, "keyring.lock");
  if (!options.fs->GetInfo(path).ok()) return false;
  return absl::IsUnavailable(options.fs->Lock(path, 0600).status());
}

// AlreadyExists if there is a ring, or what is left of one. Writes nothing.
absl::Status ExpectNoRing(const Options& options, const Keyring& restored) {
  const absl::StatusOr<std::vector<uint64_t>> kept = KeptGenerations(options);
  if (!kept.ok() && !absl::IsNotFound(kept.status())) return kept.status();
  absl::Status found = options.fs->GetInfo(RecordPath(options)).status();
  if (!found.ok() && !absl::IsNotFound(found)) return found;
  const bool has_copies = kept.ok() && !kept->empty();
  if (!found.ok() && !has_copies) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(
      "there is a keyring in ", options.directory, " already (",
      DescribeRingThere(options, restored), "); the backup is of generation ",
      restored.generation(), ". Nothing was changed. ",
      IsInUse(options) ? "kekd, or another kekctl, is using it: stop that first. " : "",
      "To put the backup in its place, move the folder ", options.directory,
      " away and run this again"));
}

struct Mark {
  bool was_there = false;
  uint64_t highest = 0;  // of it and of the backup
};

// What the high-water file says to a keyring of this generation.
absl::StatusOr<Mark> CheckMark(const RestoreRequest& request, const std::string& path,
                               const absl::StatusOr<HighWater>& high_water) {
  const uint64_t generation = request.keyring->generation();
  const bool accepted = request.accepted_generation.has_value();
  if (accepted && *request.accepted_generation != generation) {
    return absl::FailedPreconditionError(absl::StrCat("the backup is of generation ", generation,
                                                      ", not ", *request.accepted_generation,
                                                      "; nothing was restored"));
  }
  const std::string cure = absl::StrCat(
      "If there is no newer backup, '--accept-generation ", generation,
      "' restores this one; key versions that only later generations had are gone then");
  if (absl::IsNotFound(high_water.status())) return Mark{false, generation};
  if (absl::IsDataLoss(high_water.status())) {
    if (accepted) return Mark{true, generation};
    return absl::FailedPreconditionError(absl::StrCat(
        "the high-water file ", path,
        " can't be checked with the ring key of this backup: it is damaged, or the ring key was "
        "changed after the backup was made. ",
        cure));
  }
  KEKD_RETURN_IF_ERROR(high_water.status());
  if (generation < high_water->accepted && !accepted) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the backup is of generation ", generation, ", but generation ", high_water->highest,
        " was committed here (", path, "). Restore a newer backup. ", cure));
  }
  return Mark{true, std::max(generation, high_water->highest)};
}

absl::StatusOr<Mark> ReadMark(const Options& options, const RestoreRequest& request) {
  const Uuid& uuid = request.keyring->identity().ring_uuid;
  const std::string path = HighWaterPath(options.state_directory, uuid);
  return CheckMark(request, path, ReadHighWater(*options.fs, path, uuid, *request.ring_key));
}

// Whether one of the wraps holds this ring key for this secret.
absl::StatusOr<bool> Opens(const RingKeyWrapper& wrapper, const std::vector<Wrap>& wraps,
                           const RestoreRequest& request, const RandomSource& random) {
  for (const Wrap& wrap : wraps) {
    if (wrap.type != wrapper.type()) continue;
    const absl::StatusOr<std::shared_ptr<const RingKey>> opened =
        wrapper.UnwrapRingKey(wrap, request.keyring->identity(), random);
    if (absl::IsDataLoss(opened.status())) continue;
    KEKD_RETURN_IF_ERROR(opened.status());
    if (SecretBytes::ConstantTimeEquals((*opened)->secret(), request.ring_key->secret())) {
      return true;
    }
  }
  return false;
}

// In format 1 there are key files only, and a wrap's number is its place.
absl::Status NumberByPlace(Keyring::Parts& parts) {
  parts.next_wrap_number = 1;
  for (Wrap& wrap : parts.ring_key_wraps) {
    if (wrap.type != WrapType::kKeyFile) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the keyring of the backup has record format 1, in which only key files open "
          "a keyring, not a ",
          ToString(wrap.type),
          ": restore it with a key file under \"unlock\", and go on with 'kekctl "
          "keyring upgrade'"));
    }
    wrap.number = parts.next_wrap_number++;
    wrap.creation_time = absl::InfiniteFuture();
  }
  return absl::OkStatus();
}

// The keyring with a wrap for each secret of the configuration that opened none. The others stay,
// but for one of a key file at the same place, which is not there any more.
absl::StatusOr<Keyring> WithWrapsFor(const Options& options, const RestoreRequest& request,
                                     NewWraps& wraps, std::vector<std::string>& made) {
  Keyring::Parts parts = request.keyring->parts();
  for (const std::unique_ptr<RingKeyWrapper>& wrapper : options.wrappers) {
    KEKD_ASSIGN_OR_RETURN(const bool opens,
                          Opens(*wrapper, parts.ring_key_wraps, request, *options.random));
    if (opens) continue;
    if (wrapper->type() == WrapType::kPkcs11) {
      // Before a key is made on a token for nothing.
      const absl::Status fits =
          request.keyring->ExpectFormat(3, "a wrap of the ring key by a token");
      if (!fits.ok()) {
        return absl::FailedPreconditionError(
            absl::StrCat("restore it with another element under \"unlock\" first, such as a key "
                         "file: ",
                         fits.message()));
      }
    }
    KEKD_ASSIGN_OR_RETURN(Wrap wrap, wraps.Make(*wrapper, *request.ring_key));
    std::erase_if(parts.ring_key_wraps, [&](const Wrap& old) {
      return old.type == WrapType::kKeyFile && wrap.type == WrapType::kKeyFile &&
             old.reference == wrap.reference;
    });
    wrap.number = parts.next_wrap_number++;
    wrap.creation_time = absl::FromUnixMillis(absl::ToUnixMillis(request.now));
    parts.ring_key_wraps.push_back(std::move(wrap));
    made.push_back(wrapper->Describe());
  }
  if (parts.format == 1) KEKD_RETURN_IF_ERROR(NumberByPlace(parts));
  return Keyring::Create(std::move(parts));
}

}  // namespace

absl::Status FileKeyringStore::CheckCanRestore(const Options& options,
                                               const RestoreRequest& request) {
  KEKD_RETURN_IF_ERROR(ExpectNoRing(options, *request.keyring));
  return ReadMark(options, request).status();
}

absl::StatusOr<FileKeyringStore::Restored> FileKeyringStore::Restore(
    Options options, const RestoreRequest& request) {
  FileSystem& fs = *options.fs;
  const Keyring& keyring = *request.keyring;
  const Uuid& uuid = keyring.identity().ring_uuid;
  // Before a folder is made for nothing.
  KEKD_RETURN_IF_ERROR(CheckCanRestore(options, request));
  KEKD_RETURN_IF_ERROR(MakeFolders(options));
  KEKD_RETURN_IF_ERROR(CheckFolders(options));
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock, LockFolder(options));
  KEKD_RETURN_IF_ERROR(ExpectNoRing(options, keyring));
  KEKD_ASSIGN_OR_RETURN(const Mark mark, ReadMark(options, request));

  Restored restored;
  NewWraps wraps(keyring.identity());
  KEKD_ASSIGN_OR_RETURN(const Keyring rewrapped,
                        WithWrapsFor(options, request, wraps, restored.new_wraps));
  restored.generation = keyring.generation();
  std::string bytes(request.record);
  if (!restored.new_wraps.empty()) {
    if (mark.highest == std::numeric_limits<uint64_t>::max()) {
      return absl::FailedPreconditionError("no generation can follow the highest there is");
    }
    restored.generation = mark.highest + 1;
    KEKD_ASSIGN_OR_RETURN(
        bytes, EncodeRecord(rewrapped.WithGeneration(restored.generation), *request.ring_key));
  }

  // The high-water file first, as in Create: it lets the record in that follows, and goes on to let
  // the backup in if the record does not come to be, so that the same can be tried again.
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options));
  const std::string high_water_path = HighWaterPath(options.state_directory, uuid);
  KEKD_RETURN_IF_ERROR(RemoveTemporary(fs, RecordPath(options)));
  absl::Status made = WriteHighWater(fs, high_water_path, uuid, *request.ring_key,
                                     {mark.highest, keyring.generation()}, file_options);
  if (made.ok()) {
    made = CreateFileDurably(fs, RecordPath(options), AsBytes(bytes), file_options);
  }
  if (!made.ok()) {
    // Where there surely is no ring its high-water file is of no use to anybody.
    const bool no_ring = absl::IsNotFound(fs.GetInfo(RecordPath(options)).status());
    if (no_ring && !mark.was_there) (void)fs.Remove(high_water_path);
    if (!no_ring) wraps.Keep();
    return made;
  }
  wraps.Keep();
  WriteCopy(options, restored.generation, bytes, file_options);
  restored.store.reset(new FileKeyringStore(std::move(options), Access::kExclusive, std::move(lock),
                                            uuid, request.ring_key));
  {
    MutexLock making(&restored.store->mu_);
    restored.store->durable_generation_ = restored.generation;
  }
  KEKD_RETURN_IF_ERROR(restored.store->Load().status());
  return restored;
}

}  // namespace kekd
