#!/usr/bin/env bash
# Moves from another provider (aescbc, aesgcm, secretbox, another KMS) to kekd, and back.
#
#   migrate.sh to-kekd read      this node's API server learns to read through kekd
#   migrate.sh to-kekd write     this node's API server writes through kekd, and still reads the other
#   migrate.sh to-kekd rewrite   writes everything that is stored once more
#   migrate.sh to-kekd finish    this node's API server forgets the other; refused while not all is written again
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

kind=$(sed -n '1s/^- *\([a-z]*\):.*/\1/p' "$OTHER")
[[ -n $kind ]] || fail "$OTHER names no provider in its first line"

# other_field NAME: that field of a KMS provider in OTHER.
other_field() { sed -n "s/^\(.*[^[:alnum:]]\)\{0,1\}$1[\"']\{0,1\}: *[\"']\{0,1\}\([[:alnum:]._-]*\).*/\2/p" "$OTHER" | head -n 1; }

# What values begin with that the new provider wrote: one line for each of its names. What is wrong here finds too few of
# them; looking for the former's would take what it does not find for written again.
new_prefixes() {
  local names version select
  if [[ $new == kekd ]]; then
    read -r -a select <<<"$SELECT"
    names=$(run "$KEKCTL" encryption-config --phase 2 "${select[@]}" | sed -n 's/^ *name: *"\{0,1\}\([^ "]*\)"\{0,1\}$/\1/p')
    version=v2
  elif [[ $kind == kms ]]; then
    names=$(other_field name)
    version=$(other_field apiVersion)
  else
    printf 'k8s:enc:%s:v1:\n' "$kind"
    return
  fi
  [[ -n $names ]] || fail "the name of the new provider is not to be found"
  # shellcheck disable=SC2086  # a word each
  printf "k8s:enc:kms:${version:-v1}:%s:\n" $names
}

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
    prefixes=$(new_prefixes)
    mapfile -t beginnings <<<"$prefixes"
    expect_stored YES "${beginnings[@]}"
    install_config "$new" identity
    apply_config
    ;;
  *)
    usage_of >&2
    exit 2
    ;;
esac
