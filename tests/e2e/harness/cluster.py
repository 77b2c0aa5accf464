"""One small cluster: an etcd, API servers and the kekd they ask; and the test case that owns it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from . import parts
from .api_server import ApiServer, secret_key, secret_text
from .encrypted_object import SOURCE_TYPE_HKDF_SEED, parse
from .etcd import Etcd
from .kekd import Kekd

PROVIDER = "kekd"


def encryption_config(endpoint, resources=("secrets",), provider=PROVIDER):
    """An EncryptionConfiguration that writes through KMS v2 and still reads plain values (JSON is YAML)."""
    return json.dumps({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": list(resources),
            "providers": [
                {"kms": {"apiVersion": "v2", "name": provider, "endpoint": endpoint, "timeout": "3s"}},
                {"identity": {}},
            ],
        }],
    }, indent=1)


class Cluster:
    """Starts nothing by itself; destroy() ends whatever was started, in the order that does not hang."""

    def __init__(self, snapshot=None, data_folder=None):
        """With the path of an etcd snapshot, or of a data folder: a cluster that begins with that."""
        # A unix socket's path may have 107 bytes: keep the folder's name short, whatever TMPDIR is.
        base = tempfile.gettempdir()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kekd-e2e-", dir=base if len(base) < 40 else "/tmp"))
        self._etcd = None
        self._snapshot = snapshot
        self._data_folder = data_folder
        self._servers = []
        self._kekds = []

    @property
    def etcd(self):
        if self._etcd is None:
            self._etcd = Etcd(self.folder, self._snapshot, self._data_folder)
            self._etcd.start()
        return self._etcd

    def kekd(self, name="kekd", socket=None, **options):
        kekd = Kekd(self.folder, name, socket, **options)
        self._kekds.append(kekd)
        return kekd

    def api_server(self, name="kube-apiserver", config_text=None, extra_flags=()):
        config = None
        if config_text is not None:
            config = self.folder / f"{name}-encryption.yaml"
            config.write_text(config_text)
        server = ApiServer(self.folder, self.etcd, config, name, extra_flags)
        self._servers.append(server)
        return server

    def stored(self, name):
        """The envelope of a Secret as it lies in etcd."""
        return self.stored_at(secret_key(name))

    def stored_at(self, key):
        """The envelope at an etcd key."""
        return parse(self.etcd.raw_value(key))

    def seal(self, kekd, key, plaintext, source_type=SOURCE_TYPE_HKDF_SEED, provider=PROVIDER):
        """A value for an etcd key as an API server writes it, with its own code: of 1.27 for a key, of later ones for a seed."""
        return self._value("seal", kekd, key, plaintext, provider, "--type", str(source_type))

    def open(self, kekd, key, provider=PROVIDER):
        """What is encrypted at an etcd key, opened past the API server and with its code."""
        return self._value("open", kekd, key, self.etcd.raw_value(key), provider)

    @staticmethod
    def _value(verb, kekd, key, value, provider, *arguments):
        return subprocess.run([parts.upstream_value(), verb, "--socket", kekd.socket, "--provider", provider, "--key", key, *arguments],
                              input=value, stdout=subprocess.PIPE, timeout=60, check=True).stdout

    def destroy(self, keep=False):
        # An API server that loses its etcd hangs; it goes first.
        for server in self._servers:
            server.kill()
        if self._etcd:
            self._etcd.kill()
        for kekd in self._kekds:
            kekd.kill()
        if keep:
            print(f"kept for a look: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


class ClusterTestCase(unittest.TestCase):
    """A cluster per class: starting one takes seconds. Its methods run in the order of their names and may build on it."""

    cluster = None

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls._destroy)
        cls.set_up_cluster()

    @classmethod
    def set_up_cluster(cls):
        """Starts what the tests of the class need."""

    @classmethod
    def _destroy(cls):
        keep = os.environ.get("KEKD_E2E_KEEP") == "1"
        cls.cluster.destroy(keep)

    def assert_secret(self, server, name, **data):
        """The Secret reads back through the API with these values."""
        body = server.get_secret(name)
        for key, value in data.items():
            self.assertEqual(secret_text(body, key), value)
