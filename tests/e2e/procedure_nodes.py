"""docs/procedures/several-nodes.sh: two control plane nodes, each with an API server and a kekd, on one etcd and one keyring."""

import os
import shutil

from harness.api_server import secret_text
from harness.cluster import ClusterTestCase, encryption_config
from harness.process import wait_for
from harness.procedures import Agent, Node


class SeveralNodes(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cluster = cls.cluster
        cls.first_kekd = cluster.kekd("first-kekd").init().start()
        # Of the same configuration, but with nothing to serve yet.
        cls.second_kekd = cluster.kekd("second-kekd")
        cls.agent = Agent(cluster.folder)
        cls.addClassCleanup(cls.agent.stop)
        cls.first = cluster.api_server("first", encryption_config(cls.first_kekd.endpoint))
        cls.second = cluster.api_server("second", encryption_config(cls.second_kekd.endpoint))
        cls.first.start().wait_until_ready()
        cls.first.create_secret("before-join", text="of the first")
        cls.node = Node(cluster, cls.agent, cls.second, cls.second_kekd, "second")
        cls.origin = {"FETCH": "cp", "FROM_KEYRING": str(cls.first_kekd.keyring_folder() / "keyring"),
                      "FROM_KEY_FILE": str(cls.first_kekd.key_file())}

    def take(self, how="take"):
        return self.node.must_run("several-nodes.sh", how, **self.origin)

    def assert_same_keyring(self):
        listed = [kekd.kekctl_json("key", "list") for kekd in (self.first_kekd, self.second_kekd)]
        self.assertEqual(listed[0], listed[1])

    def assert_reads(self, server, name, text):
        self.assertEqual(secret_text(server.get_secret(name), "text"), text)

    def wait_until_written_under(self, server, name, key_id):
        def written():
            server.kms_health()
            server.rewrite_secret(name)
            return self.cluster.stored(name).key_id == key_id

        wait_for(written, 60, f"{server.name} writes under {key_id}", interval=0.5)

    def test_1_join(self):
        code, _, stderr = self.node.run("several-nodes.sh", "take", **self.origin)
        self.assertEqual(code, 1)
        self.assertIn("'join' brings the first copy", stderr)
        self.take("join")
        self.assert_same_keyring()
        self.assertEqual(self.first_kekd.key_id(), self.second_kekd.key_id())
        # A copy of a keyring is one more thing to keep: as closed as the first.
        for path in (self.second_kekd.keyring_folder() / "keyring", self.second_kekd.key_file()):
            self.assertEqual(path.stat().st_mode & 0o777, 0o600, path)

    def test_2_each_reads_what_the_other_wrote(self):
        self.second.start().wait_until_ready()
        self.assert_reads(self.second, "before-join", "of the first")
        self.second.create_secret("of-second", text="of the second")
        self.assert_reads(self.first, "of-second", "of the second")
        one, other = self.cluster.stored("before-join"), self.cluster.stored("of-second")
        self.assertEqual(one.key_id, other.key_id)
        self.assertNotEqual(one.encrypted_dek_source, other.encrypted_dek_source)

    def test_3_create_and_take(self):
        self.first_kekd.kekctl("key", "create")
        self.take()
        self.assert_same_keyring()
        self.assertEqual({number: version["state"] for number, version in self.second_kekd.versions().items()},
                         {1: "active", 2: "pre-activation"})

    def test_4_promoted_on_one_only(self):
        self.first_kekd.kekctl("key", "promote", "2")
        key_id = self.first_kekd.key_id()
        self.wait_until_written_under(self.first, "before-join", key_id)
        self.first.create_secret("ahead", text="under version 2")
        self.assertEqual(self.cluster.stored("ahead").key_id, key_id)
        # The other node writes under version 1, and reads version 2, which it has not promoted: also a cold API server.
        self.assertNotEqual(self.second_kekd.key_id(), key_id)
        self.assert_reads(self.second, "ahead", "under version 2")
        self.second.create_secret("behind", text="under version 1")
        self.assertNotEqual(self.cluster.stored("behind").key_id, key_id)
        self.assert_reads(self.first, "behind", "under version 1")

    def test_5_promoted_on_both(self):
        self.take()
        self.assert_same_keyring()
        self.second.cold_restart().wait_until_ready()
        self.second.create_secret("together", text="under version 2 too")
        self.assertEqual(self.cluster.stored("together").key_id, self.first_kekd.key_id())
        for name, text in (("before-join", "of the first"), ("of-second", "of the second"), ("ahead", "under version 2"),
                           ("behind", "under version 1"), ("together", "under version 2 too")):
            self.assert_reads(self.first, name, text)
            self.assert_reads(self.second, name, text)

    def test_6_keyrings_that_were_changed_apart(self):
        for kekd in (self.first_kekd, self.second_kekd):
            kekd.kekctl("key", "create")
        here = self.second_kekd.kekctl_json("key", "list")
        pid = self.second_kekd.process.pid
        code, _, stderr = self.node.run("several-nodes.sh", "take", **self.origin)
        self.assertEqual(code, 1)
        self.assertRegex(stderr, r"has no e2e\.3\.[0-9a-f]{32}, which this node's has")
        # Nor is it thrown away where nobody can tell its key_ids.
        for kekctl in ("false", "echo {} #"):
            code, _, stderr = self.node.run("several-nodes.sh", "take", **{**self.origin, "KEKCTL": kekctl})
            self.assertEqual(code, 1)
            self.assertRegex(stderr, "(could not list the|listed no) keys of this node's keyring")
        self.assertEqual(self.second_kekd.kekctl_json("key", "list"), here)
        self.assertEqual(self.second_kekd.process.pid, pid)

    def test_7_a_copy_that_kekd_refuses_is_put_back(self):
        # An older copy than this node has served, which has all its key_ids: version 3 was made before it was kept.
        older = self.cluster.folder / "older"
        shutil.copy2(self.second_kekd.keyring_folder() / "keyring", older)
        self.second_kekd.kekctl("key", "promote", "3")
        here = self.second_kekd.kekctl_json("key", "list")
        keyring = (self.second_kekd.keyring_folder() / "keyring").read_bytes()
        kept = self.cluster.folder / "kept"
        kept.mkdir()
        code, _, stderr = self.node.run(
            "several-nodes.sh", "take", **{**self.origin, "FROM_KEYRING": str(older), "WAIT": "2", "TMPDIR": str(kept)})
        self.assertEqual(code, 1)
        self.assertIn("has the former again", stderr)
        self.assertEqual(self.second_kekd.kekctl_json("key", "list"), here)
        # Until all is well there is one more copy of what was here, and of nothing else.
        self.assertEqual([path.read_bytes() for path in kept.glob("*/*")], [keyring])
        self.assertRegex(stderr, f"is kept as {kept}/.*/before")

    def test_8_socket_units_are_stopped_before_kekd_and_started_before_it(self):
        log = self.cluster.folder / "systemctl.log"
        programs = self.cluster.folder / "programs"
        programs.mkdir()
        systemctl = programs / "systemctl"
        systemctl.write_text(f"""#!/bin/bash
printf '%s\\n' "$*" >>{log}
case "$*" in
  list-unit-files*) printf '%s enabled enabled\\n' kekd-admin.socket kekd.socket ;;
  stop*) {self.node.environment["STOP"]} ;;
  "start kekd.service") {self.node.environment["START"]} ;;
esac
""")
        systemctl.chmod(0o755)
        current = {**self.origin, "FROM_KEYRING": str(self.second_kekd.keyring_folder() / "keyring")}
        self.node.must_run("several-nodes.sh", "take", **{
            **current, "STOP": "", "START": "", "PATH": f"{programs}:{os.environ['PATH']}"})
        self.assertEqual(log.read_text().splitlines(), [
            "stop kekd*.socket kekd.service",
            "list-unit-files --state=enabled --no-legend kekd*.socket",
            "start kekd-admin.socket kekd.socket",
            "start kekd.service"])
