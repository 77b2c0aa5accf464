#!/usr/bin/env bash
# Backs the keyring up, verifies a backup, restores one.
#
#   backup.sh make      makes BACKUP, a new file; kekd may run
#   backup.sh verify    proves BACKUP, and that it holds every key of the keyring that is here
#   backup.sh restore   puts the keyring of BACKUP where there is none, and starts kekd on it
#
# Run "make" after each new key version, before it is promoted, and "verify" now and then on every copy. Run "restore" now
# and then on another host, beside etcd's own restore, as a drill. ACCEPT_GENERATION=N restores a backup although a later
# generation was here; docs/backup.md says what is lost then. common.sh lists what else can be set in the environment.

set -euo pipefail
# shellcheck source=docs/procedures/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

: "${BACKUP:=/var/backups/kekd/keyring.backup}"
# What opens it: a passphrase, or for "make" '--shares 3/5 --share-dir DIR' and else '--share FILE --share FILE ...'.
: "${OPENED_BY:=--passphrase-prompt}"
: "${ACCEPT_GENERATION:=}"

read -r -a opened_by <<<"$OPENED_BY"

case "${1:-}" in
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
