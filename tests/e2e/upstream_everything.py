"""Everything encrypted, object by object of every kind there is, and wildcards. Each test is after the Kubernetes project's own of
that name (docs/upstream-cases.md)."""

import json

from harness import custom_resource
from harness.api_server import ApiError, pod
from harness.cluster import PROVIDER, ClusterTestCase, encryption_config
from harness.encrypted_object import PREFIX, parse
from harness.stubs import stubs

# Written without storage encryption, whatever the configuration says: no REST resources, so nothing could migrate them.
_NEVER_ENCRYPTED = ("masterleases", "peerserverleases", "serviceips", "servicenodeports")


class EncryptAll(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        cls.server = cls.cluster.api_server(
            config_text=encryption_config(cls.kekd.endpoint, resources=("*.*",)),
            extra_flags=["--feature-gates=AllAlpha=true,AllBeta=true", "--runtime-config=api/alpha=true,api/beta=true"])
        cls.server.start().wait_until_ready()
        custom_resource.define(cls.server)

    def served(self):
        """{(group, version, resource): (path, namespaced, kind)} of all that can be made and listed."""
        paths = {"/api/v1": ("", "v1")}
        for group in self.server.get("/apis")["groups"]:
            for version in group["versions"]:
                paths[f"/apis/{version['groupVersion']}"] = (group["name"], version["version"])
        found = {}
        for path, (group, version) in paths.items():
            for resource in self.server.get(path)["resources"]:
                if "/" not in resource["name"] and {"create", "list", "delete"} <= set(resource["verbs"]):
                    found[group, version, resource["name"]] = (path, resource["namespaced"], resource["kind"])
        return found

    def create(self, key, stub, path, namespaced, kind):
        """Makes the object; returns what went wrong, if anything."""
        group, version, resource = key
        body = json.loads(stub)
        body["apiVersion"], body["kind"] = f"{group}/{version}" if group else version, kind
        collection = f"{path}/namespaces/default/{resource}" if namespaced else f"{path}/{resource}"
        try:
            self.server.post(collection, body)
        except ApiError as error:
            return f"{key}: {error.message}"
        return None

    def test_1_EncryptAll(self):
        served, known = self.served(), stubs("default")
        ours = {key for key in served if key[0] == custom_resource.GROUP}
        self.assertEqual(set(served) - set(known) - ours, set(), "nothing that is served may go untested")
        self.assertGreater(len(served), 60)
        problems = [self.create(key, known[key], *place) for key, place in served.items() if key in known]
        self.assertEqual([problem for problem in problems if problem], [])
        self.server.post(custom_resource.PATH, custom_resource.widget("one"))

        values = self.cluster.etcd.values("/registry/")
        self.assertGreaterEqual(len(values), len(served))
        expected = f"k8s:enc:kms:v2:{PROVIDER}:".encode()
        for key, value in values.items():
            never = any(part in key for part in _NEVER_ENCRYPTED)
            if value.startswith(b"k8s:enc:" if never else expected) == never:
                self.fail(f"{key} {'is' if never else 'is not'} encrypted: {value[:60]!r}")

    def test_2_KMSv2SingleService(self):
        """API server, extensions and aggregator share one client of the plugin: one connection, one seed."""
        values = self.cluster.etcd.values("/registry/")
        for kind in ("pods/", "configmaps/", "apiextensions.k8s.io/customresourcedefinitions/", f"{custom_resource.GROUP}/widgets/",
                     "apiregistration.k8s.io/apiservices/"):
            sources = {parse(value).encrypted_dek_source for key, value in values.items() if key.startswith(f"/registry/{kind}")}
            self.assertEqual(len(sources), 1, kind)
        status = self.kekd.status()
        self.assertEqual((status["connections"], status["encrypts"]), (1, 1), status)

    def test_3_EncryptSupportedForAllResourceTypes(self):
        """Of each of the three servers: the object opens with the API server's code, past the API server."""
        for key in ("pods/default/pod1", "configmaps/default/cm1",
                    f"apiextensions.k8s.io/customresourcedefinitions/{custom_resource.RESOURCE}",
                    f"{custom_resource.GROUP}/widgets/default/one", "apiregistration.k8s.io/apiservices/as2.foo.com"):
            with self.subTest(key):
                self.assertTrue(self.cluster.etcd.raw_value(f"/registry/{key}").startswith(PREFIX))
                self.assertIn(key.rpartition("/")[2].encode(), self.cluster.open(self.kekd, f"/registry/{key}"))


class Wildcard(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd(more_rings=("batch",)).init().start()

        def kms(name, ring):
            endpoint = cls.kekd.ring_endpoint(ring)
            return [{"kms": {"apiVersion": "v2", "name": name, "endpoint": endpoint, "timeout": "3s"}}]

        config = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [
            {"resources": ["configmaps"], "providers": [{"identity": {}}]},
            {"resources": ["*.batch"], "providers": kms("for-batch", "batch")},
            {"resources": ["*.*"], "providers": kms("for-all", cls.kekd.ring)},
        ]}
        cls.server = cls.cluster.api_server(config_text=json.dumps(config)).start().wait_until_ready()

    def test_EncryptAllWithWildcard(self):
        template = {"metadata": {"labels": {"app": "one"}}, "spec": pod("unused")["spec"]}
        self.server.post("/apis/batch/v1/namespaces/default/jobs", {
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "one"},
            "spec": {"template": {"spec": {**template["spec"], "restartPolicy": "Never"}}}})
        self.server.post("/apis/apps/v1/namespaces/default/deployments", {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "one"},
            "spec": {"selector": {"matchLabels": {"app": "one"}}, "template": template}})
        self.server.create_secret("one", text="secret")
        self.server.post("/api/v1/namespaces/default/configmaps", {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"text": "plain"}})
        for kind, provider, ring in (("jobs", "for-batch", "batch"), ("deployments", "for-all", None), ("secrets", "for-all", None)):
            stored = self.cluster.stored_at(f"/registry/{kind}/default/one")
            self.assertEqual((kind, stored.provider, stored.key_id), (kind, provider, self.kekd.key_id(ring)))
        self.assertFalse(self.cluster.etcd.raw_value("/registry/configmaps/default/one").startswith(b"k8s:enc:"))
