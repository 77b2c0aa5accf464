"""A seed of keys for each resource, and a key-encryption key for each resource, by the configurations that kekctl prints."""

import json

from harness.cluster import ClusterTestCase
from harness.encrypted_object import PREFIX
from harness.kekd import KekctlError
from harness.process import wait_for

_CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


class PerResource(ClusterTestCase):
    """One kekd with two keyrings. Each test has a set-up of its own, on the same etcd."""

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd(more_rings=("second",)).init().start()

    def start_with(self, name, *arguments):
        config = self.kekd.kekctl("encryption-config", "--phase", "2", *arguments)
        return self.cluster.api_server(name, config).start().wait_until_ready()

    @staticmethod
    def create(server, name):
        server.create_secret(name, text=f"secret {name}")
        for path, kind in ((_CONFIG_MAPS, "ConfigMap"), ("/api/v1/namespaces/default/serviceaccounts", "ServiceAccount")):
            body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
            server.post(path, {**body, "data": {"text": f"config {name}"}} if kind == "ConfigMap" else body)

    def assert_readable(self, server, name):
        self.assert_secret(server, name, text=f"secret {name}")
        self.assertEqual(server.get(f"{_CONFIG_MAPS}/{name}")["data"], {"text": f"config {name}"})
        server.get(f"/api/v1/namespaces/default/serviceaccounts/{name}")

    def stored(self, resource, name):
        return self.cluster.stored_at(f"/registry/{resource}/default/{name}")

    def test_1_a_seed_for_each_resource(self):
        encrypts = self.kekd.status()["encrypts"]
        server = self.start_with("seeds", "--keyring", self.kekd.ring, "--per-resource", "--resources",
                                 "secrets,configmaps,serviceaccounts")
        # One Encrypt for each entry, before anything is written; and none more for what is.
        self.assertEqual(self.kekd.status()["encrypts"] - encrypts, 3)
        for number in range(20):
            self.create(server, f"seed-{number}")
        self.assertEqual(self.kekd.status()["encrypts"] - encrypts, 3)

        sources = {}
        for resource in ("secrets", "configmaps", "serviceaccounts"):
            stored = [self.stored(resource, f"seed-{number}") for number in range(20)]
            self.assertEqual({one.provider for one in stored}, {f"kekd-{self.kekd.ring}-{resource}"})
            self.assertEqual({one.key_id for one in stored}, {self.kekd.key_id()})
            sources[resource] = {one.encrypted_dek_source for one in stored}
            self.assertEqual(len(sources[resource]), 1)
        self.assertEqual(len(set.union(*sources.values())), 3, "two resources share a seed")

        server.cold_restart().wait_until_ready()
        self.assert_readable(server, "seed-0")
        server.kill()

    def test_2_a_key_for_each_resource(self):
        # The former entries are gone: their data goes first, lest the API server stumble over it.
        for resource in ("secrets", "configmaps", "serviceaccounts"):
            self.cluster.etcd.delete(f"/registry/{resource}/")
        server = self.start_with("keys", "--map", "*.=second", "--map", f"secrets={self.kekd.ring}", "--map",
                                 "configmaps=second")
        self.create(server, "mapped")
        expected = {"secrets": (self.kekd.ring, "secrets"), "configmaps": ("second", "configmaps"),
                    "serviceaccounts": ("second", "all")}
        for resource, (ring, name) in expected.items():
            stored = self.stored(resource, "mapped")
            self.assertEqual((stored.provider, stored.key_id), (f"kekd-{ring}-{name}", self.kekd.key_id(ring)), resource)
        self.assertNotEqual(self.kekd.key_id(), self.kekd.key_id("second"))
        self.assertNotEqual(self.stored("configmaps", "mapped").encrypted_dek_source,
                            self.stored("serviceaccounts", "mapped").encrypted_dek_source)

        # A rotation of one ring is no affair of the other's resources.
        before = self.kekd.key_id("second")
        self.kekd.rotate()
        server.cold_restart().wait_until_ready()
        self.assert_readable(server, "mapped")
        self.create(server, "rotated")
        self.assertEqual(self.stored("secrets", "rotated").key_id, self.kekd.key_id())
        self.assertEqual(self.stored("configmaps", "rotated").key_id, before)
        server.kill()

    def test_3_wildcards_after_what_they_would_mask(self):
        # kekctl puts them last whatever the order of the command line, and the API server takes both formats.
        arguments = ("--keyring", self.kekd.ring, "--per-resource", "--resources", "*.*,*.apps,secrets,deployments.apps")
        config = json.loads(self.kekd.kekctl("-o", "json", "encryption-config", "--phase", "2", *arguments))
        self.assertEqual([rule["resources"] for rule in config["resources"]],
                         [["secrets"], ["deployments.apps"], ["*.apps"], ["*.*"]])
        self.cluster.etcd.delete("/registry/")
        server = self.cluster.api_server("wildcards", json.dumps(config)).start().wait_until_ready()
        server.create_secret("wild", text="wild")
        self.assertEqual(self.stored("secrets", "wild").provider, f"kekd-{self.kekd.ring}-secrets")
        value = self.cluster.etcd.raw_value("/registry/namespaces/default")
        self.assertTrue(value.startswith(PREFIX + f"kekd-{self.kekd.ring}-all.all:".encode()), value[:60])

    def test_4_kekctl_refuses_what_the_api_server_refuses(self):
        refused = [["*"], ["secrets.*"], ["events.events.k8s.io"], ["*.extensions"], ["apiserveripinfo"], ["Secrets"],
                   ["secrets", "*."], ["deployments.apps", "*.apps"], ["*.*", "secrets"], ["secrets", "configmaps", "secrets"]]
        for resources in refused:
            with self.assertRaises(KekctlError) as caught:
                self.kekd.kekctl("encryption-config", "--keyring", self.kekd.ring, "--resources", ",".join(resources))
            self.assertEqual(caught.exception.code, 2, resources)
        # It finds all errors of a file at once, and names each by its place.
        log = self.log_of_refused_start("refused", [{"resources": resources} for resources in refused])
        for number, resources in enumerate(refused):
            self.assertIn(f"resources[{number}].resources", log, resources)
        # An earlier rule that masks a later one is found when the rules are read, one at a time.
        log = self.log_of_refused_start("masked", [{"resources": ["*."]}, {"resources": ["secrets"]}])
        self.assertIn("is masked by earlier rule", log)

    def log_of_refused_start(self, name, rules):
        identity = {"providers": [{"identity": {}}]}
        server = self.cluster.api_server(name, json.dumps({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
            "resources": [{**rule, **identity} for rule in rules]}))
        server.start(wait=False)
        wait_for(lambda: not server.process.running(), 30, "the API server refuses to start")
        return server.process.log_text()
