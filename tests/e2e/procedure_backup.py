"""docs/procedures/backup.sh: a cluster is lost, and comes back from an etcd snapshot and a backup of its keyring."""

import shlex
import shutil
import tempfile
import time
from pathlib import Path

from harness.cluster import Cluster, ClusterTestCase, encryption_config
from harness.procedures import Agent, Node

_SECRETS = {f"kept-{number}": f"value {number}" for number in range(20)}


class RestoreDrill(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        # What an operator has elsewhere: the snapshot, the backup and its shares.
        cls.elsewhere = Path(tempfile.mkdtemp(prefix="kekd-e2e-elsewhere-"))
        cls.addClassCleanup(shutil.rmtree, cls.elsewhere)
        (cls.elsewhere / "shares").mkdir(mode=0o700)
        cls.snapshot = cls.elsewhere / "etcd.snapshot"
        cls.environment = {"BACKUP": str(cls.elsewhere / "keyring.backup")}
        cls.kekd = cls.cluster.kekd().init().start()
        cls.node = cls.start_node(cls.cluster, cls.kekd)

    @classmethod
    def start_node(cls, cluster, kekd):
        agent = Agent(cluster.folder)
        cls.addClassCleanup(agent.stop)
        cls.server = cluster.api_server(config_text=encryption_config(kekd.endpoint))
        return Node(cluster, agent, cls.server, kekd)

    def shares(self):
        files = sorted((self.elsewhere / "shares").iterdir())
        return " ".join(f"--share {shlex.quote(str(path))}" for path in files[1:])

    def test_1_backup_of_a_cluster_with_secrets(self):
        self.server.start().wait_until_ready()
        for name, text in list(_SECRETS.items())[:10]:
            self.server.create_secret(name, text=text)
        self.kekd.rotate()
        self.assertIn("no verified backup of this keyring is known", self.kekd.status()["warnings"][0])
        self.node.must_run("backup.sh", "make", OPENED_BY=f"--shares 2/3 --share-dir {self.elsewhere}/shares", **self.environment)
        self.node.must_run("backup.sh", "verify", OPENED_BY=self.shares(), **self.environment)
        self.assertEqual(self.kekd.status()["warnings"], [])
        for name, text in list(_SECRETS.items())[10:]:
            self.server.create_secret(name, text=text)
        self.cluster.etcd.save_snapshot(self.snapshot)
        type(self).key_ids = {number: version["keyId"] for number, version in self.kekd.versions().items()}

    def test_2_backup_that_lacks_a_key_is_told(self):
        self.kekd.kekctl("key", "create")
        code, _, stderr = self.node.run("backup.sh", "verify", OPENED_BY=self.shares(), **self.environment)
        self.assertEqual(code, 1)
        self.assertIn("does not hold every key", stderr)
        # Where there is nothing to compare it with, it is not said to hold every key.
        code, _, stderr = self.node.run("backup.sh", "verify", KEKCTL="echo '{\"current\": null}' #", **self.environment)
        self.assertEqual(code, 1)
        self.assertIn("no keyring here", stderr)

    def test_3_everything_is_lost_and_comes_back(self):
        self.cluster.destroy()
        begin = time.monotonic()
        cluster = Cluster(self.snapshot)
        self.addClassCleanup(cluster.destroy)
        kekd = cluster.kekd()
        node = self.start_node(cluster, kekd)
        node.must_run("backup.sh", "restore", OPENED_BY=self.shares(), **self.environment)
        self.assertEqual({number: version["keyId"] for number, version in kekd.versions().items()}, self.key_ids)
        self.server.start().wait_until_ready()
        for name, text in _SECRETS.items():
            self.assert_secret(self.server, name, text=text)
        print(f"the drill, from nothing to every Secret read: {time.monotonic() - begin:.1f} s")
        # And everything goes on: a new key, a new object, a new backup.
        self.server.create_secret("after", text="after the drill")
        self.assert_secret(self.server, "after", text="after the drill")
        kekd.kekctl("key", "create")
        again = {"BACKUP": str(self.elsewhere / "again.backup")}
        passphrase = self.elsewhere / "words"
        passphrase.write_text("five random words and more")
        passphrase.chmod(0o600)
        node.must_run("backup.sh", "make", OPENED_BY=f"--passphrase-file {passphrase}", **again)
        node.must_run("backup.sh", "verify", OPENED_BY=f"--passphrase-file {passphrase}", **again)
        self.assertTrue(kekd.status()["newestBackup"]["holdsEveryKey"])

