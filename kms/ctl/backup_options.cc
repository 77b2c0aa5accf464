#include "kms/ctl/backup_options.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file_system.h"
#include "base/status_macros.h"
#include "keystore/shamir.h"
#include "kms/ctl/unlock_options.h"

namespace kekd {
namespace {

constexpr char kShares[] = "--shares";
constexpr char kShareDir[] = "--share-dir";
constexpr char kShareWords[] = "--share-words";
constexpr char kShare[] = "--share";

// The passphrase's options, and the one that stands for shares.
std::vector<std::string> Ways(const char* shares) {
  std::vector<std::string> ways = UnlockOptionNames(UnlockWays::kPassphrase);
  ways.emplace_back(shares);
  return ways;
}

void AddPassphraseOptions(std::vector<OptionDescription>& options) {
  for (OptionDescription& option : UnlockOptions("opens the backup", UnlockWays::kPassphrase)) {
    options.push_back(std::move(option));
  }
}

// Once ExpectOneWay was content; it may have been shares.
UnlockConfig ReadPassphrase(const VerbArguments& given) {
  std::vector<UnlockConfig> unlocks = ReadUnlockOptions(given, UnlockWays::kPassphrase);
  return unlocks.empty() ? UnlockConfig{} : std::move(unlocks.front());
}

bool HasOneOf(const VerbArguments& given, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return given.Has(name); });
}

absl::Status ExpectOneWay(const VerbArguments& given, const std::vector<std::string>& ways) {
  const auto count = std::count_if(ways.begin(), ways.end(),
                                   [&](const std::string& way) { return given.Has(way); });
  if (count == 1) return absl::OkStatus();
  std::string names;
  for (size_t i = 0; i < ways.size(); ++i) {
    absl::StrAppend(&names, i == 0 ? "" : i + 1 == ways.size() ? " or " : ", ", ways[i]);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      count == 0 ? "what opens the backup is missing: give one of " : "give only one of ", names));
}

absl::StatusOr<ShareNumbers> ReadShareNumbers(const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('/', 1));
  ShareNumbers numbers;
  const bool digits = text.find_first_not_of("0123456789/") == std::string::npos;
  if (!digits || !absl::SimpleAtoi(parts.first, &numbers.threshold) ||
      !absl::SimpleAtoi(parts.second, &numbers.total)) {
    return absl::InvalidArgumentError(absl::StrCat(
        kShares, " must be K/N, such as 3/5: any 3 of 5 shares open the backup; it is \"", text,
        "\""));
  }
  KEKD_RETURN_IF_ERROR(WithContext(CheckShareNumbers(numbers.threshold, numbers.total), kShares));
  return numbers;
}

}  // namespace

std::vector<OptionDescription> WithMakingOptions(std::vector<OptionDescription> first) {
  AddPassphraseOptions(first);
  first.push_back({.name = kShares,
                   .value = "K/N",
                   .help = "instead of a passphrase, any K of N shares open the backup"});
  first.push_back({.name = kShareDir,
                   .value = "DIR",
                   .help = "write each share to a file in this folder",
                   .kind = ValueKind::kFolder});
  first.push_back({.name = kShareWords,
                   .value = "WHERE",
                   .help = "show each share as 24 words, once: on the terminal, one after another, "
                           "or on stdout",
                   .choices = {"terminal", "stdout"}});
  return first;
}

absl::StatusOr<BackupMaking> ReadBackupMaking(const VerbArguments& given, const std::string& out) {
  KEKD_RETURN_IF_ERROR(ExpectOneWay(given, Ways(kShares)));
  BackupMaking making;
  making.out = out;
  making.passphrase = ReadPassphrase(given);
  const bool has_place = given.Has(kShareDir) || given.Has(kShareWords);
  if (!given.Has(kShares)) {
    if (!has_place) return making;
    return absl::InvalidArgumentError(
        absl::StrCat(given.Has(kShareDir) ? kShareDir : kShareWords, " goes with ", kShares));
  }
  KEKD_ASSIGN_OR_RETURN(making.shares, ReadShareNumbers(given.Text(kShares)));
  if (!has_place || (given.Has(kShareDir) && given.Has(kShareWords))) {
    return absl::InvalidArgumentError(absl::StrCat("with ", kShares, " give either ", kShareDir,
                                                   " or ", kShareWords,
                                                   ": where the shares are to go"));
  }
  making.share_dir = given.Path(kShareDir);
  if (given.Has(kShareWords)) {
    making.share_words = given.Text(kShareWords) == "stdout" ? BackupMaking::Words::kStdout
                                                             : BackupMaking::Words::kTerminal;
  }
  return making;
}

bool HasMakingOptions(const VerbArguments& given) {
  return HasOneOf(given, Ways(kShares)) || given.Has(kShareDir) || given.Has(kShareWords);
}

std::vector<OptionDescription> WithOpeningOptions(std::vector<OptionDescription> first) {
  AddPassphraseOptions(first);
  first.push_back({.name = kShare,
                   .value = "FILE",
                   .help = "a file with one share, or with its words; once for each share",
                   .kind = ValueKind::kFile,
                   .repeatable = true});
  return first;
}

absl::StatusOr<BackupOpening> ReadBackupOpening(const VerbArguments& given) {
  KEKD_RETURN_IF_ERROR(ExpectOneWay(given, Ways(kShare)));
  BackupOpening opening{.passphrase = ReadPassphrase(given), .shares = {}};
  for (const std::string& share : given.All(kShare)) opening.shares.push_back(AbsolutePath(share));
  return opening;
}

bool HasOpeningOptions(const VerbArguments& given) { return HasOneOf(given, Ways(kShare)); }

}  // namespace kekd
