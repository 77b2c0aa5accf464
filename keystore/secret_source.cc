#include "keystore/secret_source.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/private_file.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr absl::string_view kUnitCredentials = "/run/credentials/kekd.service";

// Editors and shells add a line end that nobody meant.
absl::StatusOr<SecretBytes> WithoutLineEnd(SecretBytes secret, absl::string_view what) {
  absl::string_view text = AsText(secret.Reveal(SecretAccessToken()));
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
  if (text.empty()) return absl::DataLossError(absl::StrCat(what, " is empty"));
  secret.Truncate(text.size());
  return secret;
}

// Room for the line end.
constexpr size_t kMaxFileBytes = SecretSource::kMaxSecretBytes + 2;

class FileSecretSource final : public SecretSource {
 public:
  FileSecretSource(FileSystem& fs, absl::string_view what, absl::string_view path,
                   std::optional<uid_t> other_owner)
      : fs_(fs), what_(what), path_(path), other_owner_(other_owner) {}

  std::string Describe() const override { return absl::StrCat(what_, " ", path_); }

  absl::StatusOr<SecretBytes> Read() const override {
    absl::StatusOr<SecretBytes> content =
        ReadPrivateFile(fs_, what_, path_, kMaxFileBytes, other_owner_);
    if (absl::IsNotFound(content.status())) {
      return absl::NotFoundError(
          absl::StrCat(Describe(), " does not exist: put your copy of it back"));
    }
    if (!content.ok()) return content.status();
    return WithoutLineEnd(*std::move(content), Describe());
  }

 private:
  FileSystem& fs_;
  const std::string what_;
  const std::string path_;
  const std::optional<uid_t> other_owner_;
};

class CredentialSecretSource final : public SecretSource {
 public:
  CredentialSecretSource(FileSystem& fs, absl::string_view name, std::optional<uid_t> other_owner)
      : fs_(fs), name_(name), other_owner_(other_owner) {}

  std::string Describe() const override { return absl::StrCat("credential ", name_); }

  absl::StatusOr<SecretBytes> Read() const override {
    const std::string path = CredentialPath(name_);
    FileInfo info;
    absl::StatusOr<SecretBytes> content = fs_.ReadSecretFile(path, kMaxFileBytes, &info);
    if (absl::IsNotFound(content.status())) {
      return absl::NotFoundError(absl::StrCat(
          Describe(), " is not there (", path, "): the unit needs LoadCredential=", name_,
          ":FILE or LoadCredentialEncrypted=", name_,
          ":FILE, and what runs outside of it CREDENTIALS_DIRECTORY"));
    }
    if (!content.ok()) return content.status();
    const bool owned = info.owner == 0 || info.owner == geteuid() || info.owner == other_owner_;
    if (!owned || (info.mode & 027) != 0) {
      return absl::PermissionDeniedError(
          absl::StrFormat("%s (%s, uid %d, mode %04o) is not as systemd makes it: others could "
                          "have read or replaced it",
                          Describe(), path, info.owner, info.mode));
    }
    return WithoutLineEnd(*std::move(content), Describe());
  }

 private:
  FileSystem& fs_;
  const std::string name_;
  const std::optional<uid_t> other_owner_;
};

}  // namespace

std::string CredentialPath(absl::string_view name) {
  const char* const folder = getenv("CREDENTIALS_DIRECTORY");
  return JoinPath(folder != nullptr ? absl::string_view(folder) : kUnitCredentials, name);
}

std::unique_ptr<SecretSource> CreateFileSecretSource(FileSystem& fs, absl::string_view what,
                                                     absl::string_view path,
                                                     std::optional<uid_t> other_owner) {
  return std::make_unique<FileSecretSource>(fs, what, path, other_owner);
}

std::unique_ptr<SecretSource> CreateCredentialSecretSource(FileSystem& fs, absl::string_view name,
                                                           std::optional<uid_t> other_owner) {
  return std::make_unique<CredentialSecretSource>(fs, name, other_owner);
}

}  // namespace kekd
