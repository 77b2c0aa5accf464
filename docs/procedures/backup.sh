#!/usr/bin/env bash
# Backs the keyring up, verifies a backup, restores one.
#
#   backup.sh make [BACKUP]     makes a new file, by default of this moment in /var/backups/kekd; kekd may run
#   backup.sh verify BACKUP     proves it, and that it holds every key of the keyring that is here
#   backup.sh restore BACKUP    puts its keyring where there is none, and starts kekd on it
#
# Run "make" after each new key version, before it is promoted, and "verify" now and then on every copy. Run "restore" now
# and then on another host, beside etcd's own restore, as a drill.
#
# In the environment:
#   OPENED_BY               what opens it: '--passphrase-prompt' if not given; for "make" '--shares 3/5 --share-dir DIR', and
#                           then '--share FILE --share FILE ...' for the others
#   ACCEPT_GENERATION=N     restores a backup although a later generation was here; docs/backup.md says what is lost then
#   BACKUP                  instead of the argument
#   KEKCTL, STOP, START     kekctl with its options, and what stops and starts kekd (common.sh has what they are if not given)

set -euo pipefail
# shellcheck source=docs/procedures/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

: "${OPENED_BY:=--passphrase-prompt}"
: "${ACCEPT_GENERATION:=}"

read -r -a opened_by <<<"$OPENED_BY"
how=${1:-}
BACKUP=${2:-${BACKUP:-}}
if [[ $how == make && -z $BACKUP ]]; then
  BACKUP=/var/backups/kekd/keyring-$(date --utc +%Y%m%dT%H%M%SZ).backup
  install --directory --mode 0700 /var/backups/kekd
fi
if [[ ($how == verify || $how == restore) && -z $BACKUP ]]; then
  say "$how needs the backup: backup.sh $how BACKUP"
  exit 2
fi

case "$how" in
  make) run "$KEKCTL" keyring backup --out "$BACKUP" "${opened_by[@]}" ;;
  verify)
    report=$(run "$KEKCTL" -o json keyring verify --backup "$BACKUP" "${opened_by[@]}")
    if [[ $report == *'"covered": false'* ]]; then
      fail "$BACKUP is good, but does not hold every key of the keyring here; 'backup.sh make' makes a new one"
    fi
    if [[ $report != *'"covered": true'* ]]; then
      fail "$BACKUP is good, but there is no keyring here that it could be compared with; 'kekctl keyring verify' does without"
    fi
    say "$BACKUP is good"
    ;;
  restore)
    bash -c "$STOP"
    if [[ -n $ACCEPT_GENERATION ]]; then
      opened_by+=(--accept-generation "$ACCEPT_GENERATION")
    fi
    run "$KEKCTL" keyring restore --backup "$BACKUP" "${opened_by[@]}"
    bash -c "$START"
    run "$KEKCTL" status
    ;;
  *)
    usage_of >&2
    exit 2
    ;;
esac
