"""docs/procedures/migrate.sh: from aescbc to kekd, on to secretbox, and both ways back."""

import base64
import collections
import os
import unittest

from harness.api_server import secret_key
from harness.cluster import ClusterTestCase
from harness.procedures import Agent, Node

# Three restarts of the API server each way; the default is one provider's way to kekd and another's way back.
_LONG_ONLY = unittest.skipUnless(os.environ.get("KEKD_LONG_TESTS") == "1", "the other two ways: set KEKD_LONG_TESTS=1")

_SECRETS = {f"kept-{number}": f"value {number}" for number in range(5)}
_KEKD = b"k8s:enc:kms:v2:kekd-e2e:"
_PREFIX = {"aescbc": b"k8s:enc:aescbc:v1:key1:", "secretbox": b"k8s:enc:secretbox:v1:key1:"}


class Migrate(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        cls.other = {}
        for kind in _PREFIX:
            key = base64.b64encode(os.urandom(32)).decode()
            cls.other[kind] = cls.cluster.folder / f"{kind}.yaml"
            cls.other[kind].write_text(f"- {kind}:\n    keys:\n    - name: key1\n      secret: {key}\n")
        element = cls.other["aescbc"].read_text().replace("\n", "\n  ")
        config = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources:\n" \
                 f"  - secrets\n  providers:\n  {element}- identity: {{}}\n"
        cls.server = cls.cluster.api_server(config_text=config).start().wait_until_ready()
        for name, text in _SECRETS.items():
            cls.server.create_secret(name, text=text)
        cls.agent = Agent(cls.cluster.folder)
        cls.addClassCleanup(cls.agent.stop)
        cls.node = Node(cls.cluster, cls.agent, cls.server, cls.kekd)

    def stored_under(self):
        """{prefix: how many} of the Secrets in etcd; an unknown prefix fails."""
        values = [self.cluster.etcd.raw_value(secret_key(name)) for name in _SECRETS]
        return collections.Counter(
            next(prefix for prefix in (_KEKD, *_PREFIX.values()) if value.startswith(prefix)) for value in values)

    def assert_all_readable(self):
        for name, text in _SECRETS.items():
            self.assert_secret(self.server, name, text=text)

    def step(self, direction, step, kind):
        self.node.must_run("migrate.sh", direction, step, OTHER=str(self.other[kind]))
        self.assert_all_readable()

    def migrate(self, direction, kind):
        former, new = (_PREFIX[kind], _KEKD) if direction == "to-kekd" else (_KEKD, _PREFIX[kind])
        self.assertEqual(self.stored_under(), {former: len(_SECRETS)})
        self.step(direction, "read", kind)
        self.server.create_secret("while-reading", text="under the former")
        self.assertTrue(self.cluster.etcd.raw_value(secret_key("while-reading")).startswith(former))
        self.server.delete_secret("while-reading")

        self.step(direction, "write", kind)
        self.server.rewrite_secret("kept-0")
        self.assertEqual(self.stored_under(), {former: len(_SECRETS) - 1, new: 1})
        code, _, stderr = self.node.run("migrate.sh", direction, "finish", OTHER=str(self.other[kind]))
        self.assertEqual(code, 1)
        self.assertIn(f"kept-1 does not begin with {new.decode().removesuffix('key1:')}", stderr)

        self.step(direction, "rewrite", kind)
        self.assertEqual(self.stored_under(), {new: len(_SECRETS)})
        self.step(direction, "finish", kind)

    def test_0_nothing_is_removed_that_is_not_understood(self):
        before = self.server.encryption_config.read_text()
        other = self.cluster.folder / "other.yaml"
        for name in ("    apiVersion: v2\n    name: 'old'", '    apiVersion: v2\n    name: "old"  # comment', "    name: old"):
            other.write_text(f"- kms:\n{name}\n    endpoint: unix:///run/old.sock\n")
            version = "v2" if "apiVersion" in name else "v1"
            for direction, new in (("to-kekd", _KEKD.decode()), ("to-other", f"k8s:enc:kms:{version}:old:")):
                code, _, stderr = self.node.run("migrate.sh", direction, "finish", OTHER=str(other))
                self.assertEqual(code, 1)
                self.assertIn(f"kept-1 does not begin with {new}\n", stderr)
        code, _, stderr = self.node.run("migrate.sh", "to-kekd", "finish", OTHER=str(other), KEKCTL="false")
        self.assertEqual(code, 1)
        self.assertEqual(self.server.encryption_config.read_text(), before)

    def test_1_aescbc_to_kekd(self):
        self.migrate("to-kekd", "aescbc")
        self.assertEqual(self.cluster.stored("kept-1").key_id, self.kekd.key_id())

    def test_2_kekd_to_secretbox(self):
        self.migrate("to-other", "secretbox")
        self.assertNotIn("kms", self.server.encryption_config.read_text())

    @_LONG_ONLY
    def test_3_secretbox_to_kekd(self):
        self.migrate("to-kekd", "secretbox")

    @_LONG_ONLY
    def test_4_kekd_to_aescbc(self):
        self.migrate("to-other", "aescbc")
