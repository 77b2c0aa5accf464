#!/usr/bin/env bash
# Turns encryption off: the two phases backwards.
#
#   disable.sh plain     this node's API server writes plain again, and still reads through kekd
#   disable.sh rewrite   writes everything that is stored once more
#   disable.sh check     nothing in etcd needs kekd any more
#   disable.sh remove    this node's API server no longer asks kekd; refused while something in etcd needs it
#
# Run "plain" on every control plane node, one after the other; then "rewrite" and "check" on one of them; then "remove"
# on every one. Keep the keyring and its key file as long as any backup of etcd from before is kept. common.sh lists what
# can be set in the environment.

set -euo pipefail
# shellcheck source=docs/procedures/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case "${1:-}" in
  plain)
    install_config identity kekd
    apply_config
    ;;
  rewrite) rewrite ;;
  check) expect_stored NO "$KMS_PREFIX" ;;
  remove)
    expect_stored NO "$KMS_PREFIX"
    install_config identity
    apply_config
    ;;
  *)
    usage_of >&2
    exit 2
    ;;
esac
