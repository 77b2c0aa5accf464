"""Cold starts of either side, and the keyring of another cluster behind the socket."""

from harness.api_server import ApiError
from harness.cluster import ClusterTestCase, encryption_config
from harness.process import wait_for

_SECRETS = {f"kept-{number}": f"value {number}" for number in range(20)}


class Restart(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint)).start().wait_until_ready()
        for name, text in _SECRETS.items():
            cls.server.create_secret(name, text=text)

    def assert_all_readable(self):
        for name, text in _SECRETS.items():
            self.assert_secret(self.server, name, text=text)
        self.assertLessEqual(set(_SECRETS), set(self.server.list_secrets()))

    def test_1_api_server_killed(self):
        self.server.cold_restart().wait_until_ready()
        self.assert_all_readable()

    def test_2_both_killed(self):
        key_id = self.kekd.key_id()
        self.server.kill()
        self.kekd.kill()
        self.kekd.start()
        self.assertEqual(self.kekd.key_id(), key_id)
        self.server.start().wait_until_ready()
        self.assert_all_readable()

    def test_3_kekd_restarted_under_a_running_api_server(self):
        self.kekd.stop()
        self.kekd.start()

        def asked():
            return self.server.kms_health()[0] == 200 and self.kekd.status()["statuses"] > 0

        wait_for(asked, 40, "the API server asks the new kekd", interval=0.5)
        self.assertEqual(self.kekd.status()["encrypts"], 0, "the same key_id must need no new Encrypt")
        self.server.create_secret("after-restart", text="after")
        self.assert_all_readable()

    def test_4_keyring_of_another_cluster(self):
        self.server.kill()
        self.kekd.stop()
        other = self.cluster.kekd("other", socket=self.kekd.socket).init().start()
        # Same ring name, same version number: only the hash in the key_id tells them apart, and it must.
        stored_key_id = self.cluster.stored("kept-0").key_id
        self.assertNotEqual(other.key_id(), stored_key_id)
        self.assertEqual(other.key_id().split(".")[:2], stored_key_id.split(".")[:2])

        self.server.start()
        self.server.wait_for_kms_health(200, timeout=30)
        with self.assertRaises(ApiError) as caught:
            self.server.get_secret("kept-0")
        self.assertEqual(caught.exception.status, 500)
        self.assertRegex(caught.exception.message, r"code = (NotFound|InvalidArgument)")
        self.assertRegex(caught.exception.message, r"key_id|keyring|key version")
        other.process.require_running()
        self.server.process.require_running()
        # Nothing was harmed: new objects work, and so does the cluster's own keyring when it is back.
        self.server.create_secret("under-other", text="other")
        self.assert_secret(self.server, "under-other", text="other")
        self.server.delete_secret("under-other")
        other.stop()

        self.kekd.start()
        self.server.cold_restart().wait_until_ready()
        self.assert_all_readable()
