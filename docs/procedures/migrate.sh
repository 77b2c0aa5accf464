#!/usr/bin/env bash
# Moves from another provider (aescbc, aesgcm, secretbox, another KMS) to kekd, and back.
#
#   migrate.sh to-kekd read      this node's API server learns to read through kekd
#   migrate.sh to-kekd write     this node's API server writes through kekd, and still reads the other
#   migrate.sh to-kekd rewrite   writes everything that is stored once more
#   migrate.sh to-kekd finish    this node's API server forgets the other; refused while something in etcd needs it
#   migrate.sh to-other read|write|rewrite|finish    the same in the other direction
#
# OTHER is a file with the other provider, copied from the present configuration: its element of the list of providers,
# moved to the left so that its "- " begins the line. Its keys are secret: mode 0600.
#
#   - aescbc:
#       keys:
#       - name: key1
#         secret: …
#
# Run "read" on every control plane node, one after the other; then "write" on every one; then "rewrite" on one of them;
# then "finish" on every one. common.sh lists what else can be set in the environment.

set -euo pipefail
# shellcheck source=docs/procedures/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case "${1:-}" in
  to-kekd) new=kekd former=other ;;
  to-other) new=other former=kekd ;;
  *)
    usage_of >&2
    exit 2
    ;;
esac
[[ -n ${OTHER:-} && -r $OTHER ]] || fail "set OTHER to the file with the other provider"
[[ $(head -c 2 "$OTHER") == "- " ]] || fail "$OTHER must begin with '- ', as an element of a list"

# What values that need the former provider begin with.
case $former$(sed -n '1s/^- *\([a-z]*\):.*/ \1/p' "$OTHER") in
  kekd*) former_prefix=$KMS_PREFIX ;;
  "other kms") former_prefix=k8s:enc:kms:v2:$(sed -n 's/^ *name: *"\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$OTHER"): ;;
  "other "*) former_prefix=k8s:enc:$(sed -n '1s/^- *\([a-z]*\):.*/\1/p' "$OTHER"):v1: ;;
  *) fail "$OTHER names no provider in its first line" ;;
esac

case "${2:-}" in
  read)
    run "$KEKCTL" status >/dev/null
    install_config "$former" "$new" identity
    apply_config
    ;;
  write)
    install_config "$new" "$former" identity
    apply_config
    ;;
  rewrite) rewrite ;;
  finish)
    expect_stored NO "$former_prefix"
    install_config "$new" identity
    apply_config
    ;;
  *)
    usage_of >&2
    exit 2
    ;;
esac
