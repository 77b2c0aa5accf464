"""Real etcds on loopback, with TLS if need be, and a fast way to fill them."""

import base64
import http.client
import json
import os
import pathlib
import ssl
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))

from harness import parts  # noqa: E402  (the path comes first)
from harness.process import Process, ProcessError, free_port, wait_for  # noqa: E402


class Cluster:
    """The members of one etcd. `server` and `client` are (certificate, key) issued by `ca`; without them it speaks plain HTTP."""

    _START_ATTEMPTS = 3

    def __init__(self, folder, members=1, ca=None, server=None, client=None):
        self._binary, self._etcdctl = parts.etcd()
        self._folder = folder
        self._ca, self._server, self._client = ca, server, client
        self._size = members
        self.members = []
        self.urls = []

    def start(self):
        for attempt in range(self._START_ATTEMPTS):
            ports = [(free_port(), free_port()) for _ in range(self._size)]
            scheme = "https" if self._server else "http"
            self.urls = [f"{scheme}://127.0.0.1:{client}" for client, _ in ports]
            initial = ",".join(f"m{i}=http://127.0.0.1:{peer}" for i, (_, peer) in enumerate(ports))
            self.members = [self._member(i, self.urls[i], f"http://127.0.0.1:{ports[i][1]}", initial, attempt)
                            for i in range(self._size)]
            for member in self.members:
                member.start()
            try:
                wait_for(self._healthy, 30, "etcd is healthy")
                return self
            except ProcessError:
                self.stop()
                if attempt == self._START_ATTEMPTS - 1:
                    raise
        return self

    def _member(self, index, url, peer, initial, attempt):
        data = self._folder / f"m{index}-{attempt}"
        argv = [self._binary, "--name", f"m{index}", "--data-dir", data, "--listen-client-urls", url,
                "--advertise-client-urls", url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", initial, "--initial-cluster-token", str(self._folder),
                "--unsafe-no-fsync", "--logger", "zap", "--log-level", "warn"]
        if self._server:
            argv += ["--cert-file", self._server[0], "--key-file", self._server[1], "--trusted-ca-file", self._ca.cert,
                     "--client-cert-auth"]
        return Process(f"etcd m{index}", argv, self._folder / f"m{index}.log")

    def stop(self):
        for member in self.members:
            member.kill()

    def ctl(self, *arguments, stdin=None, client=None):
        argv = [self._etcdctl, "--endpoints", ",".join(self.urls), *arguments]
        cert, key = client or self._client or (None, None)
        if cert:
            argv += ["--cacert", str(self._ca.cert), "--cert", str(cert), "--key", str(key)]
        return subprocess.run(argv, input=stdin, env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True, text=True,
                              timeout=60, check=True).stdout

    def put(self, objects, batch=100):
        """Writes {key: bytes} through the JSON gateway, which takes a hundred times less than etcdctl for each."""
        connection = self._gateway()
        entries = list(objects.items())
        for at in range(0, len(entries), batch):
            puts = [{"requestPut": {"key": _base64(key.encode()), "value": _base64(value)}} for key, value in entries[at:at + batch]]
            connection.request("POST", "/v3/kv/txn", json.dumps({"success": puts}))
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise ProcessError(f"etcd's gateway answered {answer.status}: {body[:300]}")
        connection.close()

    def revision(self):
        return json.loads(self.ctl("get", "nothing", "--write-out", "json"))["header"]["revision"]

    def _gateway(self):
        host, port = self.urls[0].rpartition("//")[2].split(":")
        if not self._server:
            return http.client.HTTPConnection(host, int(port), timeout=30)
        context = ssl.create_default_context(cafile=str(self._ca.cert))
        context.load_cert_chain(*map(str, self._client))
        return http.client.HTTPSConnection(host, int(port), context=context, timeout=30)

    def _healthy(self):
        try:
            self.ctl("endpoint", "health")
            return True
        except subprocess.SubprocessError:
            if not all(member.running() for member in self.members):
                raise ProcessError("an etcd ended; see its log")
            return False


def _base64(data):
    return base64.b64encode(data).decode()
