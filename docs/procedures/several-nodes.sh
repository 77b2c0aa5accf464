#!/usr/bin/env bash
# Brings the keyring of the node where changes are made to this node. kekd 0.1 does not do that by itself.
#
#   several-nodes.sh join    the first time: this node has no keyring yet
#   several-nodes.sh take    after every change: this node has an older copy of it
#
# FROM_KEYRING and FROM_KEY_FILE are the files on the node where changes are made, as FETCH takes them, for example
# root@cp1:/var/lib/kekd/prod/keyring and root@cp1:/etc/kekd/prod.key. KEYRING and KEY_FILE are their places here, OWNER
# kekd's user: "kekd" where the system has it, else root.
#
# A rotation: "kekctl key create" there; "take" on every other node, so that each can decrypt under the new version;
# "kekctl key promote" there; "take" on every other node again.

set -euo pipefail
# shellcheck source=docs/procedures/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

: "${FETCH:=scp -q}"
: "${KEYRING:=/var/lib/kekd/prod/keyring}"
: "${KEY_FILE:=/etc/kekd/prod.key}"
# The user of kekd's systemd unit, where there is one.
: "${OWNER:=$(id --user --name kekd 2>/dev/null || echo root)}"

how=${1:-}
if [[ $how != join && $how != take ]]; then
  usage_of >&2
  exit 2
fi
: "${FROM_KEYRING:?the keyring on the node where changes are made}"
: "${FROM_KEY_FILE:?the key file on the node where changes are made}"
if [[ $how == join && -e $KEYRING ]]; then fail "$KEYRING is there already; 'take' brings a newer copy of it"; fi
if [[ $how == take && ! -e $KEYRING ]]; then fail "$KEYRING is not there; 'join' brings the first copy"; fi

serves() { run "$KEKCTL" check --count 0 >/dev/null 2>&1; }

wait_until_serves() {
  local deadline=$((SECONDS + WAIT))
  until serves; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}

# put FILE PLACE: there whole or not at all.
put() {
  install --mode 0600 --owner "$OWNER" "$1" "$2.new"
  sync "$2.new"
  mv "$2.new" "$2"
}

# The copies lie where only this user sees them.
work=$(mktemp -d)
clean_up() {
  if [[ -e $work/before ]]; then
    rm -f "$work/keyring" "$work/key"
    say "the keyring that was here before is kept as $work/before"
  else
    rm -rf "$work"
  fi
}
trap clean_up EXIT
run "$FETCH" "$FROM_KEYRING" "$work/keyring"
run "$FETCH" "$FROM_KEY_FILE" "$work/key"

if [[ $how == take ]]; then
  cmp --silent "$work/key" "$KEY_FILE" || fail "the key files differ: is that the same keyring? Nothing was changed"
  # Two copies that were changed apart from each other have other key_ids for the same version: never throw one away whose
  # key_ids are in use. They stand in clear in the record.
  listed=$(run "$KEKCTL" --output json key list) || fail "kekctl could not list the keys of this node's keyring. Nothing was changed"
  key_ids=$(sed -n 's/.*"keyId": "\(.*\)".*/\1/p' <<<"$listed")
  [[ -n $key_ids ]] || fail "kekctl listed no keys of this node's keyring. Nothing was changed"
  while read -r key_id; do
    grep --quiet --text --fixed-strings "$key_id" "$work/keyring" ||
      fail "the other node's keyring has no $key_id, which this node's has: they were changed apart from each other. Nothing was changed"
  done <<<"$key_ids"
fi

# A keyring is not exchanged under a kekd that runs.
say "stopping kekd ..."
bash -c "$STOP"
if [[ $how == take ]]; then cp "$KEYRING" "$work/before"; fi
put "$work/keyring" "$KEYRING"
if [[ $how == join ]]; then
  put "$work/key" "$KEY_FILE"
  # This node has seen no generation yet: kekd wants an operator's word that this one is the newest.
  generation=$({ run "$KEKCTL" --output json keyring verify 2>/dev/null || true; } | sed -n 's/.*"generation": \([0-9]*\).*/\1/p' | head -n 1)
  run "$KEKCTL" keyring accept-rollback --generation "${generation:?}" >/dev/null
fi
say "starting kekd ..."
bash -c "$START" || say "it did not start"
if ! wait_until_serves; then
  if [[ $how == take ]]; then
    bash -c "$STOP" || true
    put "$work/before" "$KEYRING"
    bash -c "$START" || true
    fail "kekd did not serve the new copy within $WAIT s, and has the former again; its log tells why"
  fi
  fail "kekd does not serve it after $WAIT s; its log tells why"
fi
say "kekd serves this keyring:"
run "$KEKCTL" key list
rm -f "$work/before"
