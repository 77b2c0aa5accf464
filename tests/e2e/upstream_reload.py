"""The EncryptionConfiguration exchanged under an API server, in each way that a file can be. Each test is after the Kubernetes
project's own of that name (docs/upstream-cases.md).

The API server looks at the file once a minute, and no flag makes that shorter; these wait, and do next to nothing.
"""

import hashlib
import itertools
import json
import os

from harness.api_server import ApiError
from harness.cluster import ClusterTestCase
from harness.process import wait_for

_LOOK_SECONDS = 60
_HOOK = "/healthz/poststarthook/start-encryption-provider-config-automatic-reload"


def _kms(name, endpoint):
    return {"kms": {"apiVersion": "v2", "name": name, "endpoint": endpoint, "timeout": "1s"}}


def _entry(resources, *providers):
    return {"resources": resources, "providers": list(providers)}


def _config(*entries):
    return json.dumps({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": list(entries)})


def move(path, text):
    """As an editor or a tool that takes care does."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    os.rename(temporary, path)


def delete_and_create(path, text):
    path.unlink()
    path.write_text(text)


def truncate(path, text):
    path.write_text(text)


class Reload(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.first = cls.cluster.kekd("first").init().start()
        cls.second = cls.cluster.kekd("second").init()
        cls.first_only = _config(_entry(["secrets"], _kms("first", cls.first.endpoint)))
        cls.both = _config(
            _entry(["secrets"], _kms("second-for-secrets", cls.second.endpoint), _kms("first", cls.first.endpoint)),
            _entry(["configmaps"], _kms("second-for-configmaps", cls.second.endpoint), {"identity": {}}))
        cls.second_only = _config(
            _entry(["secrets"], _kms("second-for-secrets", cls.second.endpoint)),
            _entry(["configmaps"], _kms("second-for-configmaps", cls.second.endpoint)),
            _entry(["*.*"], _kms("for-all", cls.second.endpoint), {"identity": {}}))
        cls.server = cls.cluster.api_server(config_text=cls.first_only,
                                            extra_flags=["--encryption-provider-config-automatic-reload=true"])
        cls.server.start().wait_until_ready()
        cls.numbers = itertools.count()

    def metric(self, name):
        return [line for line in self.server.metric_lines(f"apiserver_encryption_config_controller_{name}{{") if "failure" not in line]

    def successes(self):
        return sum(int(float(line.split()[-1])) for line in self.metric("automatic_reloads_total"))

    def exchange(self, way, text, provider):
        """Puts the file there in that way; returns once new Secrets are written by that provider."""
        before = self.successes()
        way(self.server.encryption_config, text)

        def swapped():
            name = f"written-{next(self.numbers)}"
            self.server.create_secret(name, text="x")
            return self.cluster.stored(name).provider == provider and self.successes() > before

        wait_for(swapped, _LOOK_SECONDS + 30, f"{provider} writes after {way.__name__}", interval=1)
        self.assertEqual(self.server.health(_HOOK), (200, "ok"))

    def rewrite(self, resource):
        for item in self.server.get(f"/api/v1/{resource}")["items"]:
            metadata = item["metadata"]
            self.server.put(f"/api/v1/namespaces/{metadata['namespace']}/{resource}/{metadata['name']}", item)

    def assert_readable(self):
        self.assert_secret(self.server, "kept", text="kept")
        for resource in ("secrets", "configmaps"):
            self.assertTrue(self.server.get(f"/api/v1/{resource}")["items"])

    def test_1_EncryptionConfigHotReload(self):
        self.server.create_secret("kept", text="kept")
        self.server.post("/api/v1/namespaces/default/configmaps", {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"text": "kept"}})
        self.assertEqual(self.server.health(_HOOK), (200, "ok"))
        self.second.start()
        self.exchange(move, self.both, "second-for-secrets")
        for resource in ("secrets", "configmaps"):
            self.rewrite(resource)
            self.assertEqual(self.cluster.stored_at(f"/registry/{resource}/default/kept").provider, f"second-for-{resource}")
        self.assertEqual({self.cluster.stored(name).key_id for name in self.server.list_secrets()}, {self.second.key_id()})

        self.exchange(delete_and_create, self.second_only, "second-for-secrets")
        # The former provider is in no entry any more: its kekd may go.
        self.first.stop()
        self.server.create_secret("without-first", text="x")
        self.server.post("/api/v1/namespaces/default/endpoints", {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "one"}})
        self.assertEqual(self.cluster.stored_at("/registry/services/endpoints/default/one").provider, "for-all")
        self.assert_readable()
        total, = self.metric("automatic_reloads_total")
        self.assertRegex(total, r'\{apiserver_id_hash="sha256:[0-9a-f]{64}",status="success"\} 2$')
        self.assertEqual(len(self.metric("automatic_reload_last_timestamp_seconds")), 1)
        infos = self.metric("last_config_info")  # since 1.34
        digest = hashlib.sha256(self.second_only.encode()).hexdigest()
        self.assertEqual([f'hash="sha256:{digest}"' in line for line in infos], [True] * len(infos))

        self.server.cold_restart().wait_until_ready()
        self.assert_readable()

    def test_2_EncryptionConfigHotReloadFilePolling(self):
        """The third way; the other two are above."""
        self.first.start()
        self.exchange(truncate, self.both.replace("second-for-secrets", "truncated"), "truncated")
        # Later too, when the former configuration's connections are closed.
        wait_for(lambda: self.second.status()["connections"] == 2, 40, "the former connections are closed", interval=0.5)
        self.server.create_secret("later", text="x")
        # What is encrypted by a provider that is in no entry any more cannot be read; what is, can.
        with self.assertRaises(ApiError) as caught:
            self.server.get_secret("kept")
        self.assertIn("no matching prefix found", caught.exception.message)
        self.assert_secret(self.server, "later", text="x")
