"""A thousand Secrets of up to 1 MB, made, read and deleted: after the Kubernetes project's benchmark of that name
(docs/upstream-cases.md). A plain run: what counts is that all of it is done under one seed, and what it took is printed."""

import os
import time

from harness.cluster import ClusterTestCase, encryption_config

_COUNT = 1000 if os.environ.get("KEKD_LONG_TESTS") == "1" else 50
_SECRETS = "/api/v1/namespaces/default/secrets"


class RestBenchmark(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint)).start().wait_until_ready()

    def test_BenchmarkKMSv2REST(self):
        started = time.monotonic()
        for number in range(_COUNT):
            text = "k8s!" * (number * 1000 // 4)
            name = f"secret-{number}"
            self.server.create_secret(name, lots_of_data=text)
            self.assert_secret(self.server, name, lots_of_data=text)
        self.assertEqual(len(self.server.get(f"{_SECRETS}?resourceVersion=0&limit={_COUNT}")["items"]), _COUNT)
        self.server.delete(_SECRETS)
        print(f"{_COUNT} Secrets made, read and deleted in {time.monotonic() - started:.1f} s")
        self.assertEqual(self.cluster.etcd.keys("/registry/secrets/default/"), [])
        status = self.kekd.status()
        self.assertEqual((status["encrypts"], status["failed"]), (1, 0), status)
