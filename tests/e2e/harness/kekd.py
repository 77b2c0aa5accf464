"""kekd with a keyring of its own in a folder, and kekctl speaking to it."""

import json
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
    """Owns a keyring, a configuration and a process; the socket may be shared with another Kekd that runs at another time."""

    def __init__(self, folder, name="kekd", socket=None, ring=RING):
        self.name = name
        self.folder = folder / name
        self.ring = ring
        self.socket = str(socket or self.folder / "kekd.sock")
        self.config = self.folder / "kekd.yaml"
        for part in ("", "state", "keyring"):
            (self.folder / part).mkdir(mode=0o700, exist_ok=True)
        self.config.write_text(self._configuration())
        self.process = Process(name, [parts.program("kekd"), "--config", self.config], self.folder / "kekd.log")

    @property
    def endpoint(self):
        return f"unix://{self.socket}"

    def init(self):
        self.kekctl("keyring", "init")
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
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        if result.returncode != 0:
            raise KekctlError(arguments, result.returncode, result.stdout, result.stderr)
        return result.stdout

    def kekctl_json(self, *arguments):
        return json.loads(self.kekctl("-o", "json", *arguments))

    def status(self):
        """What kekd says of this keyring."""
        rings = self.kekctl_json("status")["keyrings"]
        return next(ring for ring in rings if ring["name"] == self.ring)

    def key_id(self):
        return self.status()["keyId"]

    def versions(self):
        return {version["version"]: version for version in self.kekctl_json("key", "list")["versions"]}

    def rotate(self):
        """Creates a key version and promotes it; returns the new key_id."""
        before = set(self.versions())
        self.kekctl("key", "create")
        (created,) = set(self.versions()) - before
        self.kekctl("key", "promote", str(created))
        return self.versions()[created]["keyId"]

    def _configuration(self):
        paths = {name: json.dumps(str(self.folder / name)) for name in ("state", "admin.sock", "keyring", "keyring.key")}
        return f"""\
apiVersion: kekd.dev/v1
kind: KekdConfiguration
stateDirectory: {paths["state"]}
admin:
  socket:
    path: {paths["admin.sock"]}
keyrings:
- name: {self.ring}
  directory: {paths["keyring"]}
  unlock:
  - keyFile: {paths["keyring.key"]}
  socket:
    path: {json.dumps(self.socket)}
"""
