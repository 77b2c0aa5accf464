#!/usr/bin/env bash
# Brings a lost control plane's secrets back on a new host: from a snapshot of etcd and a backup of the keyring.
#
#   site.sh prove     proves that SNAPSHOT and BACKUP belong together and that every object opens; touches nothing
#   site.sh restore   proves it, and then does the next two
#   site.sh etcd      restores etcd's data from SNAPSHOT into DATA_DIR, a new folder
#   site.sh keyring   puts the keyring of BACKUP where there is none, and starts kekd on it
#
# After them: start etcd on DATA_DIR, then the API server with the EncryptionConfiguration it had. If one of the two steps
# fails, mend what it says and run that step and what follows it. OPENED_BY (such as '--share FILE --share FILE') says what
# opens the backup, POLICY what must be under its keys. If the proof lists damaged objects and the pair is right, "etcd" and
# "keyring" restore all the same: everything but those objects is readable then. common.sh lists what else can be set.

set -euo pipefail
# shellcheck source=docs/procedures/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

: "${SNAPSHOT:=}"
: "${BACKUP:=}"
: "${OPENED_BY:=--passphrase-prompt}"
: "${DATA_DIR:=/var/lib/etcd}"
# RESOURCE=LEVEL of kekctl scan, with blanks between: of each there has to be an object, and all under keys of the backup.
: "${POLICY:=secrets=ours}"
# Restores etcd, with the folder and the snapshot after it. etcd 3.5 and newer have etcdutl for it.
: "${ETCD_RESTORE:=$(command -v etcdutl >/dev/null && echo etcdutl || echo env ETCDCTL_API=3 etcdctl) snapshot restore --data-dir}"

read -r -a opened_by <<<"$OPENED_BY"
read -r -a rules <<<"$POLICY"

need() { [[ -n ${!1} ]] || fail "set $1 to the path of the $2"; }

prove() {
  local rule policy=()
  for rule in "${rules[@]}"; do policy+=(--policy "$rule"); done
  say "opening every object of $SNAPSHOT with the keys of $BACKUP ..."
  run "$KEKCTL" scan --snapshot "$SNAPSHOT" --decrypt --keyring-backup "$BACKUP" "${opened_by[@]}" "${policy[@]}" ||
    fail "it is not proven that this snapshot and this backup make a cluster (the reason is above); nothing was changed"
  say "they belong together, and every object that kekd encrypted opens"
}

restore_etcd() {
  [[ ! -e $DATA_DIR ]] || fail "$DATA_DIR is there already: move it away, or set DATA_DIR; nothing was changed"
  run "$ETCD_RESTORE" "$DATA_DIR" "$SNAPSHOT"
  say "etcd's data are in $DATA_DIR"
}

restore_keyring() {
  run "$KEKCTL" keyring restore --backup "$BACKUP" "${opened_by[@]}"
  bash -c "$START"
  say "kekd serves the keyring; start etcd on $DATA_DIR, and then the API server"
}

case "${1:-}" in
  prove | restore | etcd | keyring) ;;
  *)
    usage_of >&2
    exit 2
    ;;
esac
if [[ $1 != keyring ]]; then need SNAPSHOT "snapshot of etcd"; fi
if [[ $1 != etcd ]]; then need BACKUP "backup of the keyring"; fi

case "$1" in
  prove) prove ;;
  restore)
    prove
    restore_etcd
    restore_keyring
    ;;
  etcd) restore_etcd ;;
  keyring) restore_keyring ;;
esac
