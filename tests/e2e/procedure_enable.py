"""docs/procedures/enable.sh and disable.sh, from a cluster without encryption there and back."""

from harness.api_server import secret_key
from harness.cluster import ClusterTestCase
from harness.encrypted_object import PREFIX
from harness.procedures import Agent, Node

_SECRETS = {f"kept-{number}": f"value {number}" for number in range(5)}


class EnableAndDisable(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        # The file that is named to the API server must be there; that it encrypts nothing is where enabling begins.
        nothing = '{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", ' \
                  '"resources": [{"resources": ["secrets"], "providers": [{"identity": {}}]}]}\n'
        cls.server = cls.cluster.api_server(config_text=nothing).start().wait_until_ready()
        for name, text in _SECRETS.items():
            cls.server.create_secret(name, text=text)
        cls.agent = Agent(cls.cluster.folder)
        cls.addClassCleanup(cls.agent.stop)
        cls.node = Node(cls.cluster, cls.agent, cls.server, cls.kekd)

    def assert_all_readable(self):
        for name, text in _SECRETS.items():
            self.assert_secret(self.server, name, text=text)

    def encrypted(self):
        return {name for name in _SECRETS if self.cluster.etcd.raw_value(secret_key(name)).startswith(PREFIX)}

    def test_1_order_is_kept(self):
        code, _, stderr = self.node.run("enable.sh", "write")
        self.assertEqual(code, 1)
        self.assertIn("run 'enable.sh read' on every node first", stderr)
        code, _, stderr = self.node.run("enable.sh", "check")
        self.assertEqual(code, 1)
        self.assertIn("does not begin with k8s:enc:kms:v2:", stderr)
        self.assertEqual(self.node.run("enable.sh")[0], 2)
        # A kekctl that fails leaves the file as it was.
        before = self.server.encryption_config.read_text()
        self.assertEqual(self.node.run("disable.sh", "plain", KEKCTL="false")[0], 1)
        self.assertEqual(self.server.encryption_config.read_text(), before)
        # Another provider is not overwritten, whatever the file's format.
        foreign = self.cluster.folder / "foreign.json"
        foreign.write_text(before.replace('"identity": {}', '"aescbc": {"keys": []}'))
        code, _, stderr = self.node.run("enable.sh", "read", CONFIG=str(foreign))
        self.assertEqual(code, 1)
        self.assertIn("encrypts already", stderr)
        # A check that looks at the wrong place does not pass.
        code, _, stderr = self.node.run("disable.sh", "check", ETCD_KEYS="/elsewhere/")
        self.assertEqual(code, 1)
        self.assertIn("set ETCD_KEYS", stderr)
        # Nor does one that can't read what it looks at.
        etcdctl = self.node.environment["ETCDCTL"]
        for unreadable in ("exit 3", ":"):
            lists_only = f'f() {{ case "$*" in *value-only*) {unreadable} ;; *) {etcdctl} "$@" ;; esac; }}; f'
            code, _, stderr = self.node.run("disable.sh", "check", ETCDCTL=lists_only)
            self.assertEqual(code, 1)
            self.assertRegex(stderr, r"could not read /registry/secrets/|read no value of /registry/secrets/")
        # Nobody restarts the API server: that it is ready must not be taken for ready with the new file.
        code, _, stderr = self.node.run("enable.sh", "read", RESTART=":", WAIT="1")
        self.assertEqual(code, 1)
        self.assertIn("or not restarted", stderr)

    def test_2_enable(self):
        self.node.must_run("enable.sh", "read")
        self.assert_all_readable()
        self.server.rewrite_secret("kept-0")
        self.assertEqual(self.encrypted(), set())

        self.node.must_run("enable.sh", "write")
        code, _, stderr = self.node.run("enable.sh", "read")
        self.assertEqual(code, 1)
        self.assertIn("encrypts already", stderr)
        self.assert_all_readable()
        self.assertEqual(self.encrypted(), set())
        self.node.must_run("enable.sh", "rewrite")
        self.node.must_run("enable.sh", "check")
        self.assertEqual(self.encrypted(), set(_SECRETS))
        self.assertEqual(self.cluster.stored("kept-0").key_id, self.kekd.key_id())
        self.assert_all_readable()

    def test_3_nothing_is_removed_that_is_needed(self):
        code, _, stderr = self.node.run("disable.sh", "remove")
        self.assertEqual(code, 1)
        self.assertIn("begins with k8s:enc:kms:v2:", stderr)
        self.assert_all_readable()

    def test_4_disable(self):
        self.node.must_run("disable.sh", "plain")
        self.assert_all_readable()
        self.assertEqual(self.encrypted(), set(_SECRETS))
        self.node.must_run("disable.sh", "rewrite")
        self.node.must_run("disable.sh", "check")
        self.assertEqual(self.encrypted(), set())
        self.node.must_run("disable.sh", "remove")
        # Really without it: kekd is not there, and the API server was restarted.
        self.kekd.stop()
        self.assert_all_readable()
        self.assertEqual(self.server.health("/readyz/kms-providers")[0], 404)
