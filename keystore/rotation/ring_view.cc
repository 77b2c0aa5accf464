#include "keystore/rotation/ring_view.h"

namespace kekd {

const RingView::Version* RingView::Primary() const {
  for (const Version& version : versions) {
    if (version.state == KeyState::kActive) return &version;
  }
  return nullptr;
}

const RingView::Version* RingView::Find(uint32_t number) const {
  if (number == 0 || number > versions.size()) return nullptr;
  return &versions[number - 1];
}

RingView ViewOf(const Keyring& keyring, const std::vector<BackupLogEntry>& backups) {
  RingView view;
  view.name = keyring.identity().name;
  view.generation = keyring.generation();
  for (const KeyVersion& version : keyring.versions()) {
    view.versions.push_back({.number = version.number,
                             .key_id = std::string(version.key_id.text()),
                             .backend = version.backend,
                             .custody = version.material.custody,
                             .state = version.state,
                             .compromised = version.IsCompromised(),
                             .creation_time = version.creation_time,
                             .activation_time = version.activation_time});
  }
  view.rotation = keyring.rotation();
  const BackupCoverage coverage = CoverageOf(keyring, backups);
  view.without_backup = coverage.missing;
  if (coverage.newest != nullptr) view.newest_backup = coverage.newest->creation_time;
  return view;
}

}  // namespace kekd
