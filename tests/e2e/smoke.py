"""The shortest path from a Secret to etcd and back; runs with every build and every version of the matrix."""

from harness.api_server import secret_key
from harness.cluster import ClusterTestCase, encryption_config
from harness.encrypted_object import PREFIX


class Smoke(ClusterTestCase):

    def test_a_secret_survives_a_rotation_and_cold_restarts(self):
        cluster = self.cluster
        kekd = cluster.kekd().init().start()
        server = cluster.api_server(config_text=encryption_config(kekd.endpoint)).start().wait_until_ready()
        server.create_secret("before", text="plain-before")
        self.assertTrue(cluster.etcd.raw_value(secret_key("before")).startswith(PREFIX))
        self.assertEqual(cluster.stored("before").key_id, kekd.key_id())

        new_key_id = kekd.rotate()
        kekd.stop()
        kekd.start()
        server.cold_restart().wait_until_ready()
        self.assert_secret(server, "before", text="plain-before")
        server.create_secret("after", text="plain-after")
        self.assert_secret(server, "after", text="plain-after")
        self.assertEqual(cluster.stored("after").key_id, new_key_id)
        kekd.stop()
