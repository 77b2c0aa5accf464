"""A real etcd of one member on loopback, and raw reads of what the API server keeps in it."""

import base64
import json
import os
import pathlib
import shlex
import subprocess

from . import parts
from .process import Process, ProcessError, free_port, wait_for


class Etcd:
    """Owns a data folder and a process on two free ports."""

    _START_ATTEMPTS = 3

    def __init__(self, folder, snapshot=None, data_folder=None):
        """With a snapshot's path: begins with what is in that. With a data folder's: goes on with that."""
        self._binary, self._etcdctl = parts.etcd()
        self._folder = folder
        self._snapshot = snapshot
        self._given_folder = data_folder
        self._process = None
        self.url = None
        self.data_folder = data_folder

    def start(self):
        # The ports are free when asked for, not for certain when etcd binds them: try again with others.
        for attempt in range(self._START_ATTEMPTS):
            client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
            self.url = client
            data = self._given_folder or self._folder / f"etcd-{attempt}"
            self.data_folder = data
            if self._snapshot:
                self._restore(data, peer)
            self._process = Process("etcd", [
                self._binary, "--name", "default", "--data-dir", data,
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
                # Nothing here has to survive a power cut, and fsync on a busy machine makes etcd lose its lease.
                "--unsafe-no-fsync", "--logger", "zap", "--log-level", "warn",
            ], self._folder / "etcd.log")
            self._process.start()
            try:
                wait_for(lambda: not self._process.running() or self._healthy(), 30, "etcd is healthy")
                self._process.require_running()
                return self
            except ProcessError:
                self._process.kill()
                if attempt == self._START_ATTEMPTS - 1:
                    raise
        return self

    def stop(self):
        if self._process:
            self._process.terminate()

    def kill(self):
        if self._process:
            self._process.kill()

    def command(self):
        """etcdctl for a shell."""
        return f"env ETCDCTL_API=3 {shlex.quote(self._etcdctl)} --endpoints {self.url}"

    @staticmethod
    def restore_command():
        """For a shell: restores a snapshot, when the data folder and the snapshot come after it."""
        etcd, etcdctl = (pathlib.Path(path) for path in parts.etcd())
        etcdutl = etcd.with_name("etcdutl")
        tool = etcdutl if etcdutl.exists() else etcdctl
        return f"env ETCDCTL_API=3 {shlex.quote(str(tool))} snapshot restore --data-dir"

    def save_snapshot(self, path):
        self._run("snapshot", "save", str(path))

    def raw_value(self, key):
        """The bytes at a key, exactly as the API server wrote them; None if there is no such key."""
        out = self._run("get", key, "--print-value-only", binary=True)
        # etcdctl ends the value with one newline of its own.
        return out[:-1] if out else None

    def values(self, prefix):
        """{key: bytes} of everything below a prefix, in one call."""
        found = json.loads(self._run("get", prefix, "--prefix", "--write-out", "json")).get("kvs", [])
        return {base64.b64decode(pair["key"]).decode(): base64.b64decode(pair.get("value", "")) for pair in found}

    def delete(self, prefix):
        """Removes everything below a prefix; no API server should run meanwhile."""
        self._run("del", prefix, "--prefix")

    def put(self, key, value):
        """Writes bytes at a key, behind the API server's back."""
        # An argument can't have NULs; without one etcdctl reads the value from its standard input.
        env = {**os.environ, "ETCDCTL_API": "3"}
        subprocess.run([self._etcdctl, "--endpoints", self.url, "put", key], input=value, env=env, capture_output=True,
                       timeout=30, check=True)

    def keys(self, prefix):
        out = self._run("get", prefix, "--prefix", "--keys-only")
        return [line for line in out.splitlines() if line]

    def _restore(self, data, peer):
        # etcd 3.6 has a program of its own for what etcdctl does before.
        etcdutl = pathlib.Path(self._etcdctl).with_name("etcdutl")
        tool = str(etcdutl) if etcdutl.exists() else self._etcdctl
        subprocess.run([tool, "snapshot", "restore", str(self._snapshot), "--data-dir", str(data), "--name", "default",
                        "--initial-cluster", f"default={peer}", "--initial-advertise-peer-urls", peer],
                       env={**os.environ, "ETCDCTL_API": "3"}, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)

    def _healthy(self):
        return self._etcdctl_process("endpoint", "health").returncode == 0

    def _etcdctl_process(self, *arguments):
        env = {**os.environ, "ETCDCTL_API": "3"}
        return subprocess.run([self._etcdctl, "--endpoints", self.url, *arguments], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=30, check=False)

    def _run(self, *arguments, binary=False):
        result = self._etcdctl_process(*arguments)
        if result.returncode != 0:
            raise ProcessError(f"etcdctl {arguments[0]} failed: {result.stderr.decode(errors='replace').strip()}")
        return result.stdout if binary else result.stdout.decode()
