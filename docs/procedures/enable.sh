#!/usr/bin/env bash
# Turns encryption on in two phases, so that no API server ever meets data that it can't read.
#
#   enable.sh read       phase 1: this node's API server learns to read through kekd; writes stay plain
#   enable.sh write      phase 2: this node's API server writes through kekd
#   enable.sh rewrite    writes everything that is stored once more
#   enable.sh check      everything in etcd is encrypted by kekd
#
# Run "read" on every control plane node, one after the other; then "write" on every one; then "rewrite" and "check" on
# one of them. common.sh lists what can be set in the environment.

set -euo pipefail
# shellcheck source=docs/procedures/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case "${1:-}" in
  read)
    # Once more is fine; another provider, or phase 2, is not to be overwritten.
    if config_has 'aescbc|aesgcm|secretbox|kms' && ! compose identity kekd | cmp --silent - "$CONFIG"; then
      fail "$CONFIG encrypts already; migrate.sh leads away from another provider"
    fi
    run "$KEKCTL" status >/dev/null
    install_config identity kekd
    apply_config
    ;;
  write)
    config_has kms || fail "$CONFIG does not read through kekd yet; run 'enable.sh read' on every node first"
    install_config kekd identity
    apply_config
    ;;
  rewrite) rewrite ;;
  check) expect_stored YES "$KMS_PREFIX" ;;
  *)
    usage_of >&2
    exit 2
    ;;
esac
