"""A rotation seen from the API server: it notices, data turns stale, one no-op write refreshes it, old data stays readable."""

from harness.api_server import secret_text
from harness.cluster import ClusterTestCase, encryption_config
from harness.process import wait_for


class Rotation(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint)).start().wait_until_ready()
        cls.server.create_secret("refreshed", text="one")
        cls.server.create_secret("untouched", text="two")
        cls.first_key_id = cls.kekd.key_id()

    def resource_version(self, name):
        return self.server.get_secret(name)["metadata"]["resourceVersion"]

    def test_1_no_op_write_changes_nothing_before(self):
        before = self.resource_version("refreshed")
        self.assertEqual(self.server.rewrite_secret("refreshed")["metadata"]["resourceVersion"], before)
        self.assertEqual(self.cluster.stored("refreshed").key_id, self.first_key_id)

    def test_2_a_created_version_is_not_used_yet(self):
        self.kekd.kekctl("key", "create")
        self.assertEqual(self.kekd.key_id(), self.first_key_id)
        states = {number: version["state"] for number, version in self.kekd.versions().items()}
        self.assertEqual(states, {1: "active", 2: "pre-activation"})

    def test_3_promote_makes_data_stale(self):
        self.kekd.kekctl("key", "promote", "2")
        second = self.kekd.key_id()
        self.assertRegex(second, r"^e2e\.2\.[0-9a-f]{32}$")
        before = self.resource_version("refreshed")

        # The API server asks each minute by itself; asking for its health makes it look, at most 20 s later.
        def refreshed():
            self.server.kms_health()
            self.server.rewrite_secret("refreshed")
            return self.cluster.stored("refreshed").key_id == second

        wait_for(refreshed, 90, "a no-op write puts the object under the new key_id", interval=1)
        after = self.resource_version("refreshed")
        self.assertNotEqual(after, before)
        # Once: from now on a no-op write is a no-op again.
        self.assertEqual(self.server.rewrite_secret("refreshed")["metadata"]["resourceVersion"], after)
        self.assertTrue(self.cluster.stored("refreshed").encrypted_dek_source.startswith(bytes.fromhex("010100000002")))

    def test_4_old_objects_stay_readable(self):
        self.assertEqual(self.cluster.stored("untouched").key_id, self.first_key_id)
        self.assert_secret(self.server, "untouched", text="two")
        self.server.cold_restart().wait_until_ready()
        self.assert_secret(self.server, "untouched", text="two")
        self.assert_secret(self.server, "refreshed", text="one")
        states = {number: version["state"] for number, version in self.kekd.versions().items()}
        self.assertEqual(states, {1: "deactivated", 2: "active"})

    def test_5_rotation_while_kekd_is_down(self):
        self.kekd.stop()
        third = self.kekd.rotate()
        self.kekd.start()
        self.assertEqual(self.kekd.key_id(), third)

        def written_under_third():
            self.server.kms_health()
            body = self.server.get_secret("untouched")
            self.assertEqual(secret_text(body, "text"), "two")
            self.server.rewrite_secret("untouched")
            return self.cluster.stored("untouched").key_id == third

        wait_for(written_under_third, 90, "objects are written under the version that was made while kekd was down", interval=1)
