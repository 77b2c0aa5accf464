#!/usr/bin/env bash
# Brings a lost control plane's secrets back on a new host: from a snapshot of etcd and a backup of the keyring.
#
#   site.sh prove     proves that SNAPSHOT and BACKUP belong together and that every object opens; touches nothing
#   site.sh restore   proves it again, puts the keyring of BACKUP where there is none, starts kekd on it, and
#                     restores etcd's data from SNAPSHOT into DATA_DIR
#
# After "restore": start etcd on DATA_DIR, then the API server with the EncryptionConfiguration it had. SNAPSHOT, BACKUP and
# OPENED_BY (such as '--share FILE --share FILE', or --passphrase-prompt) say what there is; ETCD_RESTORE is the command
# that restores etcd, with the snapshot and the folder after it. common.sh lists what else can be set in the environment.

set -euo pipefail
# shellcheck source=docs/procedures/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

: "${SNAPSHOT:?set SNAPSHOT to the snapshot of etcd}"
: "${BACKUP:?set BACKUP to the backup of the keyring}"
: "${OPENED_BY:=--passphrase-prompt}"
: "${DATA_DIR:=/var/lib/etcd}"
: "${ETCD_RESTORE:=etcdutl snapshot restore --data-dir}"

read -r -a opened_by <<<"$OPENED_BY"

prove() {
  say "opening every object of $SNAPSHOT with the keys of $BACKUP ..."
  run "$KEKCTL" scan --snapshot "$SNAPSHOT" --decrypt --keyring-backup "$BACKUP" "${opened_by[@]}" ||
    fail "this snapshot and this backup don't make a cluster (the reason is above); nothing was changed"
  say "they belong together, and every object opens"
}

case "${1:-}" in
  prove) prove ;;
  restore)
    prove
    [[ ! -e $DATA_DIR ]] || fail "$DATA_DIR is there already: move it away, or set DATA_DIR; nothing was changed"
    run "$KEKCTL" keyring restore --backup "$BACKUP" "${opened_by[@]}"
    bash -c "$START"
    run "$ETCD_RESTORE" "$DATA_DIR" "$SNAPSHOT"
    say "etcd's data are in $DATA_DIR; start etcd on it, and then the API server"
    ;;
  *)
    usage_of >&2
    exit 2
    ;;
esac
