"""Secrets of up to 1 MB, made, read and deleted: after the Kubernetes project's benchmark of that name
(docs/upstream-cases.md). A plain run: what counts is that all of it is done under one seed, and what it took is printed."""

import contextlib
import os
import time

from harness.cluster import ClusterTestCase, encryption_config
from harness.process import wait_for

# Upstream has a thousand, half a gigabyte: more than an etcd and an API server take beside other tests.
_COUNT = 200 if os.environ.get("KEKD_LONG_TESTS") == "1" else 50
_SECRETS = "/api/v1/namespaces/default/secrets"


class RestBenchmark(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint)).start().wait_until_ready()

    def keys(self):
        return self.cluster.etcd.keys("/registry/secrets/default/")

    def test_BenchmarkKMSv2REST(self):
        started = time.monotonic()
        for number in range(_COUNT):
            text = "k8s!" * (number * 1_000_000 // _COUNT // 4)
            name = f"secret-{number}"
            self.server.create_secret(name, lots_of_data=text)
            self.assert_secret(self.server, name, lots_of_data=text)
        self.assertEqual(len(self.keys()), _COUNT)
        # It may take longer than our client waits, and goes on all the same.
        with contextlib.suppress(TimeoutError):
            self.server.delete(_SECRETS)
        wait_for(lambda: not self.keys(), 300, "all Secrets are deleted", interval=1)
        print(f"{_COUNT} Secrets made, read and deleted in {time.monotonic() - started:.1f} s")
        status = self.kekd.status()
        self.assertEqual((status["encrypts"], status["failed"]), (1, 0), status)
