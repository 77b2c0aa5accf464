#!/usr/bin/env bash
# Upgrades kekd on this node, and goes no further than the first step that fails.
#
#   upgrade.sh          checks keyring and backups, installs, restarts, checks again
#   upgrade.sh format   then, once every node runs the new kekd: writes the keyring in its newest format
#
# After "format" an older kekd can't read the keyring any more; before it, going back is installing the older kekd and
# restarting. common.sh lists what else can be set in the environment.

set -euo pipefail
# shellcheck source=docs/procedures/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

: "${INSTALL:=apt-get install --yes kekd}"        # puts the new kekd and kekctl in place
: "${RESTART_KEKD:=systemctl restart kekd}"       # and returns when it is ready

check_backups() {
  local status
  status=$(run "$KEKCTL" -o json status) || fail "kekctl can't tell whether the backups hold every key"
  if [[ $status == *'verified backup'* ]]; then
    fail "a key of the keyring is in no verified backup ('kekctl status' says which); run 'backup.sh make' first"
  fi
}

case "${1:-}" in
  "")
    run "$KEKCTL" keyring verify >/dev/null
    check_backups
    bash -c "$INSTALL"
    bash -c "$RESTART_KEKD"
    run "$KEKCTL" check --count 0 >/dev/null
    run "$KEKCTL" status
    say "done; if something is wrong with it, install the former kekd and restart: the keyring is as it was"
    ;;
  format)
    check_backups
    run "$KEKCTL" keyring upgrade
    run "$KEKCTL" check --count 0 >/dev/null
    ;;
  *)
    usage_of >&2
    exit 2
    ;;
esac
