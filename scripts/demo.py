#!/usr/bin/env python3
"""Shows a running kekd at work: a real kube-apiserver on a real etcd, and one Secret as it lies there before and after.

Called by ./run --demo. Everything it starts listens on loopback and is stopped and removed at the end.
"""

import argparse
import pathlib
import signal
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from harness import parts  # noqa: E402  (the path comes first)
from harness.api_server import secret_key, secret_text  # noqa: E402
from harness.cluster import Cluster  # noqa: E402
from harness.encrypted_object import parse  # noqa: E402

_NAME = "demo"
_PLAINTEXT = "correct-horse-battery-staple"
_SHOWN_BYTES = 320


def step(text):
    print(f"\n== {text}", flush=True)


def show_bytes(value):
    for at in range(0, min(len(value), _SHOWN_BYTES), 16):
        row = value[at:at + 16]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        print(f"  {at:04x}  {row.hex(' '):<47}  {text}")
    if len(value) > _SHOWN_BYTES:
        print(f"  ... {len(value)} bytes in all")
    sys.stdout.flush()


def show_stored(etcd):
    value = etcd.raw_value(secret_key(_NAME))
    print(f"etcd, {secret_key(_NAME)}:")
    show_bytes(value)
    found = _PLAINTEXT.encode() in value
    print(f"The password can be read in it: {'YES' if found else 'no'}")
    return value, found


def demo(cluster, encryption_config):
    step("starting etcd and kube-apiserver, without encryption")
    server = cluster.api_server().start().wait_until_ready()
    print(f"kube-apiserver on 127.0.0.1:{server.port}, etcd on {cluster.etcd.url}")

    step("writing a Secret, and looking at it in etcd")
    server.create_secret(_NAME, password=_PLAINTEXT)
    _, found = show_stored(cluster.etcd)
    if not found:
        raise AssertionError("the Secret was expected in plain text, as nothing encrypts yet")

    step("restarting kube-apiserver with the EncryptionConfiguration, phase 2")
    print(encryption_config)
    server.kill()
    server = cluster.api_server("kube-apiserver-encrypting", encryption_config).start().wait_until_ready()

    step("writing the same Secret back (a no-op write), and looking again")
    server.rewrite_secret(_NAME)
    value, found = show_stored(cluster.etcd)
    if found:
        raise AssertionError("the Secret lies in etcd in plain text although kekd encrypts")
    print(f"key_id: {parse(value).key_id}")

    step("reading it back through kube-apiserver")
    text = secret_text(server.get_secret(_NAME), "password")
    print(f"password: {text}")
    if text != _PLAINTEXT:
        raise AssertionError("the Secret does not read back as it was written")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="the configuration of the running kekd")
    arguments = parser.parse_args()
    # SIGTERM takes the same way out as Ctrl-C, through the clean-up below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    encryption_config = subprocess.run(
        [parts.program("kekctl"), "--config", arguments.config, "encryption-config", "--phase", "2"],
        stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    cluster = Cluster()
    try:
        demo(cluster, encryption_config)
    except unittest.SkipTest as reason:
        print(f"the demo cannot run here: {reason}", file=sys.stderr)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        step("stopping and removing what the demo started")
        cluster.destroy()
    print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
