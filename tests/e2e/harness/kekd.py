"""kekd with a keyring of its own in a folder, and kekctl speaking to it."""

import json
import os
import subprocess

from . import parts
from .process import Process, wait_for

RING = "e2e"


class KekctlError(Exception):
    """kekctl ended with another code than 0."""

    def __init__(self, arguments, code, stdout, stderr):
        super().__init__(f"kekctl {' '.join(arguments)} ended with {code}\n{stdout}{stderr}")
        self.code = code
        self.stderr = stderr


class Kekd:
    """Owns a configuration, a process and a keyring, or several; the socket may be shared with another Kekd that runs at
    another time.

    A second and further rings are named by `more_rings`; each has its folder, key file and socket beside the first one's,
    with its name in theirs. With a `token` (token.py) the rings' configuration names it, and init makes the first keys there.
    `unlock` are the fields that open the rings, in their order: keyFile, pkcs11.
    """

    def __init__(self, folder, name="kekd", socket=None, ring=RING, more_rings=(), token=None, unlock=("keyFile",)):
        self.name = name
        self.folder = folder / name
        self.ring = ring
        self.rings = [ring, *more_rings]
        self.token = token
        self.unlock = list(unlock)
        self.environment = {**os.environ, **(token.environment if token else {})}
        self.socket = str(socket or self.folder / "kekd.sock")
        self.config = self.folder / "kekd.yaml"
        for part in ("", "state"):
            (self.folder / part).mkdir(mode=0o700, exist_ok=True)
        for ring_name in self.rings:
            self.keyring_folder(ring_name).mkdir(mode=0o700, exist_ok=True)
        self.write_configuration()
        self.process = Process(name, [parts.program("kekd"), "--config", self.config], self.folder / "kekd.log",
                               env=self.environment)

    def write_configuration(self):
        self.config.write_text(self._configuration())

    @property
    def endpoint(self):
        return self.ring_endpoint(self.ring)

    def ring_endpoint(self, ring):
        socket = self._socket(ring)
        # The name of an abstract socket is the URL's path without the slash that every path begins with.
        return f"unix:///{socket}" if socket.startswith("@") else f"unix://{socket}"

    def keyring_folder(self, ring=None):
        return self._beside("keyring", ring)

    def key_file(self, ring=None):
        return self._beside("keyring.key", ring)

    def init(self, *options):
        for ring in self.rings:
            place = ["--backend", self.token.init_backend] if self.token else []
            self.kekctl("keyring", "init", "--keyring", ring, *place, *options)
        return self

    def start(self):
        mark = self.process.log_size()
        self.process.start()
        wait_for(lambda: self.process.require_running() and "ready" in self.process.log_text(mark), 30,
                 f"{self.name} says that it is ready (log: {self.process.log_path})", interval=0.02)
        return self

    def kill(self):
        self.process.kill()

    def stop(self):
        code = self.process.terminate()
        if code != 0:
            raise AssertionError(f"{self.name} ended with {code} on SIGTERM")

    def kekctl(self, *arguments):
        command = [parts.program("kekctl"), "--config", str(self.config), *arguments]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
                                env=self.environment)
        if result.returncode != 0:
            raise KekctlError(arguments, result.returncode, result.stdout, result.stderr)
        return result.stdout

    def kekctl_json(self, *arguments):
        return json.loads(self.kekctl("-o", "json", *arguments))

    def status(self, ring=None):
        """What kekd says of a keyring, the first if none is named."""
        rings = self.kekctl_json("status")["keyrings"]
        return next(one for one in rings if one["name"] == (ring or self.ring))

    def key_id(self, ring=None):
        return self.status(ring)["keyId"]

    def versions(self):
        listed = self.kekctl_json("key", "list", "--keyring", self.ring)
        return {version["version"]: version for version in listed["versions"]}

    def rotate(self, backend="software", *options):
        """Creates a key version and promotes it; returns the new key_id."""
        before = set(self.versions())
        self.kekctl("key", "create", "--keyring", self.ring, "--backend", backend, *options)
        (created,) = set(self.versions()) - before
        self.kekctl("key", "promote", str(created), "--keyring", self.ring)
        return self.versions()[created]["keyId"]

    def _beside(self, name, ring):
        """The first ring's files have plain names."""
        return self.folder / (name if ring in (None, self.ring) else f"{ring}-{name}")

    def _unlock(self, way, ring):
        return {way: True if way == "pkcs11" else str(self.key_file(ring))}

    def _socket(self, ring):
        return self.socket if ring == self.ring else str(self._beside("kekd.sock", ring))

    def _configuration(self):
        paths = {name: json.dumps(str(self.folder / name)) for name in ("state", "admin.sock")}
        text = f"""\
apiVersion: kekd.dev/v1
kind: KekdConfiguration
stateDirectory: {paths["state"]}
admin:
  socket:
    path: {paths["admin.sock"]}
keyrings:
"""
        for ring in self.rings:
            text += f"""\
- name: {ring}
  directory: {json.dumps(str(self.keyring_folder(ring)))}
  unlock: {json.dumps([self._unlock(way, ring) for way in self.unlock])}
  socket:
    path: {json.dumps(self._socket(ring))}
"""
            if self.token:
                text += "  pkcs11:\n" + "".join(f"    {name}: {json.dumps(value)}\n" for name, value in self.token.settings().items())
        return text
