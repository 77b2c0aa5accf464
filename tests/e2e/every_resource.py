"""Everything encrypted (*.*), custom resources too, in every order in which kekd and the API server can start.

Here the API server needs kekd before it is even live: its own start reads CustomResourceDefinitions.
"""

import os

from harness import custom_resource
from harness.cluster import PROVIDER, ClusterTestCase, encryption_config
from harness.encrypted_object import PREFIX
from harness.process import wait_for

_LONG = os.environ.get("KEKD_LONG_TESTS") == "1"

# The API server writes these without its storage encryption, whatever the configuration says.
_NEVER_ENCRYPTED = ("/registry/masterleases/", "/registry/peerserverleases/", "/registry/ranges/")


class EveryResource(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        # kekd first, the API server later.
        cls.kekd = cls.cluster.kekd().init().start()
        config = encryption_config(cls.kekd.endpoint, resources=("*.*",))
        cls.server = cls.cluster.api_server(config_text=config).start().wait_until_ready()

    def create_widget(self, name, text):
        self.server.post(custom_resource.PATH, custom_resource.widget(name, text))

    def assert_widget(self, name, text):
        self.assertEqual(self.server.get(f"{custom_resource.PATH}/{name}")["text"], text)

    def assert_served(self, names):
        for name in names:
            self.assert_widget(name, f"text of {name}")
        self.assertEqual([item["metadata"]["name"] for item in self.server.get(custom_resource.PATH)["items"]], sorted(names))

    def test_1_custom_resources_are_encrypted(self):
        custom_resource.define(self.server)
        self.create_widget("one", "text of one")
        self.assert_served(["one"])
        stored = self.cluster.stored_at(f"{custom_resource.KEY}/one")
        self.assertEqual((stored.provider, stored.key_id), (PROVIDER, self.kekd.key_id()))

    def test_2_nothing_else_is_plain(self):
        values = self.cluster.etcd.values("/registry/")
        plain = [key for key, value in values.items() if not value.startswith(PREFIX)]
        self.assertEqual([key for key in plain if not key.startswith(_NEVER_ENCRYPTED)], [])
        # Not because there was next to nothing.
        for kind in ("apiextensions.k8s.io/customresourcedefinitions", "clusterroles", "namespaces", "leases"):
            self.assertTrue(any(key.startswith(f"/registry/{kind}/") for key in values), kind)
        self.assertEqual(self.kekd.status()["encrypts"], 1)

    def test_3_api_server_restarted_with_kekd_up(self):
        self.server.cold_restart().wait_until_ready()
        self.assert_served(["one"])

    def test_4_kekd_restarted_under_the_api_server(self):
        self.kekd.stop()
        self.kekd.start()
        self.create_widget("two", "text of two")
        self.assert_served(["one", "two"])
        wait_for(lambda: self.server.kms_health()[0] == 200 and self.kekd.status()["statuses"] > 0, 40,
                 "the API server asks the new kekd", interval=0.3)
        self.assertEqual(self.kekd.status()["encrypts"], 0, "the same key_id must need no new Encrypt")

    def test_5_api_server_first_kekd_a_moment_later(self):
        self.server.kill()
        self.kekd.stop()
        self.server.start(wait=False)
        self.kekd.start()
        self.server.wait_until_ready()
        self.assert_served(["one", "two"])

    def test_6_api_server_first_kekd_much_later(self):
        self.server.kill()
        self.kekd.stop()
        self.server.start(wait=False)
        # Without kekd it listens and is not live: what its own start needs lies encrypted in etcd.
        status, body = wait_for(lambda: self.answer("/livez?verbose"), 30, "the API server answers")
        self.assertEqual(status, 500, body)
        self.assertIn("[-]poststarthook/", body)
        self.assertNotIn("kms-provider", body)
        self.kekd.start()
        if _LONG:
            self.check_it_gives_up()
        # Its supervisor starts it again, as a kubelet would.
        self.server.kill()
        self.server.start().wait_until_ready()
        self.assert_served(["one", "two"])
        self.create_widget("three", "text of three")
        self.assert_served(["one", "three", "two"])

    def check_it_gives_up(self):
        """It checks its Services' addresses once; if it cannot read them then, it ends a minute later, kekd or not."""
        self.server.wait_for_kms_health(200, timeout=40)
        wait_for(lambda: not self.server.process.running(), 90, "the API server ends by itself", interval=0.5)
        self.assertIn("unable to perform initial IP and Port allocation check", self.server.process.log_text())

    def answer(self, path):
        """The answer of a health endpoint, None while the API server does not listen."""
        status, body = self.server.health(path)
        return (status, body) if status else None
