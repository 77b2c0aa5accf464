#!/usr/bin/env bash
# What the procedures beside this file share. It is sourced by them and does nothing by itself.
#
# Each of these may be set in the environment, to a command with its arguments or to a path:
: "${KUBECTL:=kubectl}"                                 # must reach the API server of this very node
: "${KEKCTL:=kekctl --config /etc/kekd/kekd.yaml}"
: "${MIGRATE:=$KEKCTL migrate --kubeconfig ${KUBECONFIG:-/etc/kubernetes/admin.conf}}"   # has this API server write objects anew
: "${ETCDCTL:=etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/apiserver-etcd-client.crt --key /etc/kubernetes/pki/apiserver-etcd-client.key}"
: "${CONFIG:=/etc/kubernetes/encryption/config.yaml}"   # the file of kube-apiserver's --encryption-provider-config
: "${RESOURCES:=secrets}"                               # what is written again and checked, with commas between
: "${SELECT:=--resources $RESOURCES}"                   # options of kekctl encryption-config, which may have wildcards
# Restarts the API server of this node and returns when the old one has ended. "reload": it runs with
# --encryption-provider-config-automatic-reload=true and takes the file by itself, within a minute (Kubernetes 1.34
# and newer tell when it has). ":" does nothing: somebody else restarts it within WAIT.
: "${RESTART:=crictl ps --quiet --name kube-apiserver | xargs --no-run-if-empty crictl stop}"
: "${WAIT:=180}"                                        # seconds until an API server has to be ready with a new file
# Where the resources lie in etcd, with blanks between; made from RESOURCES if not given.
: "${ETCD_KEYS:=}"
# Stop and start kekd on this node. Its socket units go first both times: while one listens, the next call of an API server
# or of kekctl starts kekd again. They are named kekd*.socket; none need be there, and those that are enabled are started.
: "${STOP:=systemctl stop 'kekd*.socket' kekd.service}"
: "${START:=systemctl list-unit-files --state=enabled --no-legend 'kekd*.socket' | cut -d ' ' -f 1 | xargs --no-run-if-empty systemctl start; systemctl start kekd.service}"

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

# run COMMAND [ARGUMENTS...]: runs a command of the environment, which may have arguments and quotes of its own.
run() {
  local command=$1
  shift
  bash -c "$command \"\$@\"" -- "$@"
}

# usage_of: the comment at the top of the script, as its help.
usage_of() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

# install_config ELEMENT...: puts what compose makes of them into the place of CONFIG, whole or not at all.
install_config() {
  local text new
  text=$(compose "$@")
  [[ $text == *"kind: EncryptionConfiguration"* ]] || fail "kekctl printed no configuration; $CONFIG is as it was"
  mkdir -p "$(dirname "$CONFIG")"
  new=$(mktemp "$CONFIG.XXXXXX")
  printf '%s\n' "$text" >"$new"
  chmod 0600 "$new"
  if [[ -e $CONFIG ]]; then
    chown --reference="$CONFIG" "$new"
  fi
  sync "$new"
  mv "$new" "$CONFIG"
  say "wrote $CONFIG"
}

# Makes the API server of this node take CONFIG, and waits until it is ready with it.
apply_config() {
  local deadline=$((SECONDS + WAIT)) hash
  if [[ $RESTART == reload ]]; then
    tells_its_config ||
      fail "an API server before 1.34 does not tell which file it has. It takes $CONFIG within a minute or two: go on when" \
        'apiserver_encryption_config_controller_automatic_reloads_total{status="success"} has grown'
    hash=sha256:$(sha256sum "$CONFIG" | cut -d ' ' -f 1)
    say "waiting until the API server has taken the file by itself ..."
    until run "$KUBECTL" get --raw /metrics 2>/dev/null |
      grep '^apiserver_encryption_config_controller_last_config_info{' | grep --quiet --fixed-strings "$hash"; do
      ((SECONDS < deadline)) || fail "not within $WAIT s: does it say why in its log? It goes on with the file it had"
      sleep 1
    done
  else
    say "restarting the API server ..."
    bash -c "$RESTART"
  fi
  until run "$KUBECTL" get --raw /readyz >/dev/null 2>&1 && has_taken_config; do
    ((SECONDS < deadline)) || fail "after $WAIT s the API server is not ready with $CONFIG: $(why_not_ready)"
    sleep 0.2
  done
  say "the API server of this node is ready with it"
}

# Whether the API server has the metric that names its configuration. One that does not answer yet will have it, or run late.
tells_its_config() {
  local minor
  minor=$(run "$KUBECTL" get --raw /version 2>/dev/null | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p')
  ((${minor:-34} >= 34))
}

# As far as it can be told: a restarted API server has that check if it has a KMS provider.
has_taken_config() {
  local kms=absent
  if [[ $RESTART == reload ]]; then return; fi
  if run "$KUBECTL" get --raw /readyz/kms-providers >/dev/null 2>&1; then kms=present; fi
  [[ $kms == "$(config_has kms && echo present || echo absent)" ]]
}

why_not_ready() {
  local failed
  failed=$({ run "$KUBECTL" get --raw '/readyz?verbose' 2>&1 || true; } | grep --fixed-strings '[-]') ||
    failed="it was not started with --encryption-provider-config=$CONFIG, or not restarted"
  printf '%s' "$failed"
}

# compose ELEMENT...: the EncryptionConfiguration with these providers in this order, for every resource of SELECT:
# kekd, identity, and other (the content of the file OTHER, the element of the list as it stands in the present file).
compose() {
  local select
  read -r -a select <<<"$SELECT"
  run "$KEKCTL" encryption-config --phase 2 "${select[@]}" | ORDER="$*" OTHER="${OTHER:-}" awk '
    /^#/ { next }
    /^  - kms:/ { kms = $0; within_kms = 1; next }
    within_kms && /^      / { kms = kms "\n" $0; next }
    /^  - identity:/ {
      within_kms = 0
      count = split(ENVIRON["ORDER"], order, " ")
      for (i = 1; i <= count; ++i) {
        if (order[i] == "kekd") print kms
        else if (order[i] == "identity") print
        else {
          while ((getline line < ENVIRON["OTHER"]) > 0) print "  " line
          close(ENVIRON["OTHER"])
        }
      }
      next
    }
    { print }'
}

# Has the API server write every object of RESOURCES once more that is not stored as it would store it now.
rewrite() {
  run "$MIGRATE" --resources "$RESOURCES" || fail "not all of $RESOURCES is written again (the reasons are above); once more does no harm"
  say "wrote all of $RESOURCES again"
}

# The etcd prefixes of RESOURCES: built-in ones lie under their plural, custom ones under group and plural.
etcd_prefixes() {
  local resource resources
  if [[ -n $ETCD_KEYS ]]; then
    printf '%s\n' "$ETCD_KEYS" | tr ' ' '\n'
    return
  fi
  IFS=, read -r -a resources <<<"$RESOURCES"
  for resource in "${resources[@]}"; do
    printf '/registry/%s/\n' "${resource%%.*}"
    if [[ $resource == *.* ]]; then
      printf '/registry/%s/%s/\n' "${resource#*.}" "${resource%%.*}"
    fi
  done
}

# beginning_of KEY: the first 1000 bytes of its value in etcd, NULs as blanks. Fails if etcdctl does.
beginning_of() {
  # The rest is read too, or else etcdctl would end by SIGPIPE.
  run "$ETCDCTL" get "$1" --print-value-only | { head -c 1000 && cat >/dev/null; } | tr '\0' ' '
}

# expect_stored YES|NO BEGINNING...: every value of RESOURCES begins in one of these ways in etcd, or none does. A value
# that can't be read is neither.
expect_stored() {
  local expected=$1 beginning prefix keys key value found listed wrong=0 total=0
  shift
  listed=$(run "$KUBECTL" get "$RESOURCES" --all-namespaces --output name | wc -l)
  for prefix in $(etcd_prefixes); do
    keys=$(run "$ETCDCTL" get "$prefix" --prefix --keys-only)
    for key in $keys; do
      value=$(beginning_of "$key") || fail "etcdctl could not read $key"
      [[ -n $value ]] || fail "etcdctl read no value of $key; if it was deleted meanwhile, run this again"
      found=NO
      for beginning in "$@"; do
        if [[ $value == "$beginning"* ]]; then found=YES; fi
      done
      ((++total))
      if [[ $found != "$expected" ]]; then
        say "$key $([[ $found == YES ]] && echo begins || echo 'does not begin') with $*"
        ((++wrong))
      fi
    done
  done
  # Where the wrong place is looked at, all is well.
  ((total >= listed)) || fail "the API server has $listed objects, and etcd $total values below $(etcd_prefixes | tr '\n' ' '): set ETCD_KEYS"
  ((wrong == 0)) || fail "$wrong of $total values in etcd are not as they should be"
  say "$total values in etcd are as they should be"
}

# What every value begins with that kekd encrypts, whatever its provider entry is named.
# shellcheck disable=SC2034  # for the procedures
readonly KMS_PREFIX=k8s:enc:kms:v2:

# Whether the present file has a provider of that kind, or of one of those kinds ("aescbc|secretbox"), in YAML or JSON.
config_has() {
  [[ -e $CONFIG ]] && sed 's/#.*//' "$CONFIG" | grep --quiet --extended-regexp "(^|[^[:alnum:]_.-])($1)\"?[[:space:]]*:"
}
