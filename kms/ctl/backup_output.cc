#include "kms/ctl/backup_output.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "kms/ctl/table.h"

namespace kekd {
namespace {

std::vector<uint32_t> Versions(const BackupReport& report, VersionProof::Result result) {
  std::vector<uint32_t> versions;
  for (const VersionProof& proof : report.proofs) {
    if (proof.result == result) versions.push_back(proof.version);
  }
  return versions;
}

// The lines that all have in common.
std::string Facts(const BackupReport& report) {
  const BackupHeader& header = report.header;
  std::string text =
      absl::StrCat("  backup id    ", header.backup_id.ToString(), "\n",  //
                   "  made         ", FormatMillis(absl::ToUnixMillis(header.creation_time)),
                   " by kekd ", Printable(header.kekd_version), "\n",  //
                   "  generation   ", header.generation, "\n",         //
                   "  opened by    ", DescribeProtection(header), "\n");
  const std::vector<uint32_t> proven = Versions(report, VersionProof::Result::kProven);
  if (!proven.empty()) {
    absl::StrAppend(&text, "  keys         ", absl::StrJoin(proven, ", "),
                    ": opened, and each decrypts its canary\n");
  }
  for (const VersionProof& proof : report.proofs) {
    if (proof.result == VersionProof::Result::kProven) continue;
    absl::StrAppend(&text, "  key          ", proof.version, ": ",
                    proof.result == VersionProof::Result::kElsewhere
                        ? (proof.custody == Custody::kDevice
                               ? "on its device, not in the backup, and not asked for"
                               : "in the backup as its device has wrapped it; not asked for")
                        : absl::StrCat("CAN'T BE OPENED: ", Printable(proof.status.message())),
                    "\n");
  }
  return text;
}

std::string WhatToDo(const BackupReport& report) {
  const std::vector<uint32_t> elsewhere = Versions(report, VersionProof::Result::kElsewhere);
  std::string text = "\n";
  if (!elsewhere.empty()) {
    absl::StrAppend(&text, "Of what a device holds or wraps (key version ",
                    absl::StrJoin(elsewhere, ", "),
                    ") it has nothing that opens without the device: back\nthat up by its own "
                    "means, or what is encrypted under those keys is lost with it.\n");
  }
  const bool all = elsewhere.size() == report.proofs.size() && !report.proofs.empty();
  absl::StrAppend(&text, all ? "It holds what opens the keyring" : "It holds the keys themselves");
  if (!report.header.HasShares()) {
    return absl::StrCat(text,
                        ": who has it and the passphrase has them. Store the two apart\nfrom each "
                        "other and from etcd's backups.\n");
  }
  return absl::StrCat(text,
                      ". Give each share to another person or place, and store the\nbackup apart "
                      "from them and from etcd's backups.\n");
}

// Removing a wrap makes a new ring key. A backup from before has the old one, with the wrap.
std::string WrapsThatOpen(const admin::v1::Keyring& keyring) {
  std::string text =
      "\nEach of these opens it now, also what was removed after the backup was made:\n";
  for (const admin::v1::Wrap& wrap : keyring.ring_key_wraps()) {
    absl::StrAppend(&text, absl::StrFormat("  wrap %-8u", wrap.number()), wrap.type(), " ",
                    Printable(wrap.reference()), wrap.node().empty() ? "" : " on ",
                    Printable(wrap.node()), "\n");
  }
  return absl::StrCat(text,
                      "Remove those that are no longer to open it ('kekctl keyring wrap remove'), "
                      "and make a\nnew backup.\n");
}

std::string DescribeOverruled(const Overruled& overruled) {
  if (overruled.generation.has_value()) {
    return absl::StrCat("  given up     generation ", *overruled.generation,
                        ", which was committed here: '--accept-generation' overruled it\n");
  }
  return "  given up     what the high-water file said, which can't be checked:\n"
         "               '--accept-generation' overruled it\n";
}

}  // namespace

std::string BackupText(const BackupReport& report) {
  std::string text = absl::StrCat("made backup ", Printable(report.path), " of keyring ",
                                  report.header.ring.name, "\n", Facts(report));
  for (const std::string& path : report.share_files) {
    absl::StrAppend(&text, "  share        ", Printable(path), "\n");
  }
  if (report.showed_words) {
    absl::StrAppend(&text, "  shares       shown as words, and kept nowhere\n");
  }
  return text + WhatToDo(report);
}

std::string VerifiedBackupText(const BackupReport& report) {
  std::string text = absl::StrCat("backup ", Printable(report.path), " of keyring ",
                                  report.header.ring.name, "\n", Facts(report));
  if (!CheckProofs(report.proofs).ok()) return text;
  if (!report.current.has_value() && report.compares) {
    absl::StrAppend(&text, "\nIt is good. It was not compared with the keyring here.\n");
  } else if (!report.other_ring.empty()) {
    absl::StrAppend(&text,
                    "\nIt is good. The keyring here is another one: ", Printable(report.other_ring),
                    ".\n");
  } else if (!report.current.has_value()) {
    absl::StrAppend(&text, "\nIt is good. Its keyring is not here to be compared with.\n");
  } else if (report.current->missing.empty()) {
    absl::StrAppend(&text, "\nIt is good, and holds every key of the keyring here (generation ",
                    report.current->generation, ").\n");
  } else {
    absl::StrAppend(&text, "\nIt is good, but it does NOT hold key version ",
                    absl::StrJoin(report.current->missing, ", "),
                    " of the keyring here (generation ", report.current->generation,
                    "):\nmake a new one with 'kekctl keyring backup'.\n");
  }
  return text;
}

std::string RestoredText(const RestoreReport& report) {
  const BackupHeader& header = report.backup.header;
  std::string text =
      absl::StrCat("restored keyring ", header.ring.name, " in ", report.directory, " from ",
                   Printable(report.backup.path), "\n", Facts(report.backup));
  if (report.generation != header.generation) {
    absl::StrAppend(&text, "  here now     generation ", report.generation, "\n");
  }
  for (const std::string& wrap : report.new_wraps) {
    absl::StrAppend(&text, "  opened by    ", Printable(wrap), ", from now on\n");
  }
  for (const std::string& path : report.new_key_files) {
    absl::StrAppend(&text, "  key file     ", Printable(path), " (new)\n");
  }
  if (report.overruled.has_value()) absl::StrAppend(&text, DescribeOverruled(*report.overruled));
  return absl::StrCat(text, WrapsThatOpen(report.keyring),
                      "\nStart kekd now, and look at 'kekctl status'. What was encrypted by key "
                      "versions made after\nthe backup can't be read.\n");
}

void NoteUnrecorded(const BackupReport& report, CommandResult& result) {
  if (!report.recorded.has_value() || report.recorded->ok()) return;
  result.note = absl::StrCat(
      "the backup is good, but could not be ",
      report.compares && !report.current.has_value() ? "compared with the keyring here, nor " : "",
      "written down, so that 'kekctl status' does not know of it: ", report.recorded->message());
  result.exit_code = ExitCodeOf(*report.recorded);
}

}  // namespace kekd
