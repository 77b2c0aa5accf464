"""A real kube-apiserver on loopback without a kubelet, and a small client of its API."""

import base64
import http.client
import json
import ssl
import subprocess
import threading
import time

from . import parts
from .process import Process, ProcessError, free_port, wait_for

TOKEN = "e2e-token"

# That check stays red for the first minute when a resource cannot be read, which some tests bring about.
_LIVE = "/livez?exclude=poststarthook/storage-readiness"


class ApiError(Exception):
    """An answer other than 2xx, with the API server's own message."""

    def __init__(self, status, body):
        super().__init__(f"HTTP {status}: {body}")
        self.status = status
        try:
            self.message = json.loads(body).get("message", body)
        except (ValueError, AttributeError):
            self.message = body


class ApiServer:
    """Owns a certificate folder and a process; several of one cluster share an etcd and a signing key."""

    _START_ATTEMPTS = 3

    def __init__(self, folder, etcd, encryption_config=None, name="kube-apiserver", extra_flags=()):
        self._binary = parts.kube_apiserver()
        self._folder = folder
        self._etcd = etcd
        self._extra_flags = list(extra_flags)
        self._process = None
        self._wrapper = []
        self._connections = threading.local()
        self.name = name
        self.encryption_config = encryption_config
        self.port = None

    @property
    def process(self):
        return self._process

    def run_in(self, wrapper):
        """Starts it from now on as the last arguments of this command, which must exec them."""
        self._wrapper = list(wrapper)

    @property
    def certificates(self):
        """The folder that it keeps its serving certificate in."""
        return self._folder / f"{self.name}-certificates"

    def start(self, wait=True, port=None):
        """Starts it, on a free port if none is given; with wait, until it is live and has made the default namespace (it need not be ready: without its
        KMS it never is)."""
        for attempt in range(self._START_ATTEMPTS):
            self.port = port or free_port()
            self._process = Process(self.name, self._command(), self._folder / f"{self.name}.log").start()
            if not wait:
                return self
            try:
                self.wait_until_live()
                return self
            except ProcessError:
                self._process.kill()
                # Somebody may have taken the port; anything else fails the same way each time.
                in_use = "address already in use" in self._process.log_text()
                if attempt == self._START_ATTEMPTS - 1 or not in_use:
                    raise
        return self

    def wait_until_live(self, timeout=90):
        wait_for(self._live, timeout, f"{self.name} is live (log: {self._process.log_path})")
        return self

    def wait_until_ready(self, timeout=90):
        wait_for(lambda: self._process.require_running() and self.health("/readyz")[0] == 200, timeout,
                 f"{self.name} is ready (log: {self._process.log_path})", interval=0.2)
        return self

    def kill(self):
        """A cold stop: nothing in its memory survives."""
        if self._process:
            self._process.kill()

    def cold_restart(self, wait=True, same_port=False):
        self.kill()
        return self.start(wait, self.port if same_port else None)

    def health(self, path):
        """(HTTP status, body) of a health endpoint; status 0 when the server does not answer."""
        try:
            return self._call("GET", path)
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)

    def kms_health(self):
        """Makes the API server check its KMS providers now (it keeps a good result for 20 s, a bad one for 3 s)."""
        return self.health("/readyz/kms-providers?verbose")

    def wait_for_kms_health(self, status, timeout):
        started = time.monotonic()
        wait_for(lambda: self.kms_health()[0] == status, timeout, f"/readyz/kms-providers of {self.name} is {status}",
                 interval=0.5)
        return time.monotonic() - started

    def get(self, path):
        return self._json("GET", path)

    def post(self, path, body):
        return self._json("POST", path, body)

    def put(self, path, body):
        return self._json("PUT", path, body)

    def delete(self, path):
        return self._json("DELETE", path)

    def request(self, method, path, body=None, user=None):
        """(HTTP status, answer) of a request, of another user if one is named; an error is an answer too."""
        status, text = self._call(method, path, body, {"Impersonate-User": user} if user else {})
        return status, json.loads(text)

    def reset_metrics(self):
        self._call("DELETE", "/metrics")

    def list_secrets(self):
        """{name: Secret} of the default namespace; fails as a whole if one of them cannot be read."""
        return {item["metadata"]["name"]: item for item in self.get("/api/v1/namespaces/default/secrets")["items"]}

    def create_secret(self, name, **data):
        return self.post("/api/v1/namespaces/default/secrets", secret(name, **data))

    def get_secret(self, name):
        return self.get(f"/api/v1/namespaces/default/secrets/{name}")

    def delete_secret(self, name):
        return self.delete(f"/api/v1/namespaces/default/secrets/{name}")

    def rewrite_secret(self, name):
        """A no-op write: puts back what was read."""
        return self.put(f"/api/v1/namespaces/default/secrets/{name}", self.get_secret(name))

    def metric_lines(self, name):
        _, text = self._call("GET", "/metrics")
        return [line for line in text.splitlines() if line.startswith(name)]

    def _live(self):
        self._process.require_running()
        status, _ = self.health(_LIVE)
        if status != 200:
            return False
        try:
            self.get("/api/v1/namespaces/default")
        except (ApiError, OSError, http.client.HTTPException):
            return False
        return True

    def _command(self):
        key = signing_key(self._folder)
        tokens = self._folder / "tokens.csv"
        tokens.write_text(f'{TOKEN},admin,uid1,"system:masters"\n')
        command = self._wrapper + [
            self._binary, f"--etcd-servers={self._etcd.url}", "--bind-address=127.0.0.1", f"--secure-port={self.port}",
            f"--cert-dir={self.certificates}", "--service-cluster-ip-range=10.0.0.0/24",
            "--allow-privileged=true", "--disable-admission-plugins=ServiceAccount",
            "--service-account-issuer=https://kubernetes.default.svc/", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--authorization-mode=RBAC", f"--token-auth-file={tokens}",
            "--endpoint-reconciler-type=none", "-v=2",
        ]
        if self.encryption_config:
            command.append(f"--encryption-provider-config={self.encryption_config}")
        return command + self._extra_flags

    def _json(self, method, path, body=None):
        status, text = self._call(method, path, body)
        if not 200 <= status < 300:
            raise ApiError(status, text)
        return json.loads(text)

    def _call(self, method, path, body=None, more_headers=()):
        connection, reused = self._connection()
        try:
            return self._exchange(connection, method, path, body, more_headers)
        except (ConnectionError, ssl.SSLEOFError, http.client.HTTPException):
            self._connections.open = None
            if not reused:
                raise
            # A kept connection that the server closed meanwhile says nothing about the server now.
            return self._exchange(self._connection()[0], method, path, body, more_headers)
        except OSError:
            self._connections.open = None
            raise

    def _connection(self):
        """(this thread's connection to the running server, whether it was used before)"""
        kept = getattr(self._connections, "open", None)
        if kept and kept.port == self.port:
            return kept, True
        # The serving certificate is self-signed, and the server is ours on loopback.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._connections.open = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)
        return self._connections.open, False

    @staticmethod
    def _exchange(connection, method, path, body, more_headers):
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **dict(more_headers)}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", errors="replace")


def secret(name, **data):
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "data": encoded}


def pod(name):
    """A Pod that nobody runs: there is no kubelet."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": [{"name": "busybox", "image": "busybox"}]}}


def secret_text(body, key):
    return base64.b64decode(body["data"][key]).decode()


def secret_key(name):
    """The etcd key of a Secret in the default namespace."""
    return f"/registry/secrets/default/{name}"


def signing_key(folder):
    path = folder / "service-account.key"
    if not path.exists():
        subprocess.run(["openssl", "genrsa", "-out", str(path), "2048"], check=True, capture_output=True,
                       stdin=subprocess.DEVNULL, timeout=60)
    return path
