"""What the health endpoints say with two providers of which one, the other and both are down; without and with reloading of the
configuration. Each test is after the Kubernetes project's own of that name (docs/upstream-cases.md); where upstream's plugin
refuses, these hang."""

import json

from harness.cluster import ClusterTestCase
from harness.process import wait_for

_DOWN = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
_SECTION = "failed to perform status section of the healthz check for KMS Provider provider-{}, error: "


class TwoProviders(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekds = [cls.cluster.kekd(f"kekd-{number}").init().start() for number in (1, 2)]
        config = json.dumps({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [{
                "resources": ["secrets"], "providers": [
                    {"kms": {"apiVersion": "v2", "name": f"provider-{number}", "endpoint": kekd.endpoint, "timeout": "1s"}}
                    for number, kekd in enumerate(cls.kekds, 1)]}]})
        cls.plain = cls.cluster.api_server("plain", config)
        cls.reloading = cls.cluster.api_server("reloading", config, ["--encryption-provider-config-automatic-reload=true"])
        for server in (cls.plain, cls.reloading):
            server.start()
        for server in (cls.plain, cls.reloading):
            server.wait_until_ready()
        # Each stage is looked at on both servers at once: the seconds that one keeps an answer are waited for once.
        cls.stages = {}

    def observe(self, stage, *down):
        """What each server says, once both say as many errors as providers are down."""
        for index in down:
            self.kekds[index].process.pause()

        def settled(server):
            status, body = server.health("/healthz/kms-providers")
            return status == (500 if down else 200) and body.count("kms-provider-") == len(down) and (status, body)

        self.stages[stage] = {server.name: wait_for(lambda server=server: settled(server), 40, f"{server.name}: {stage}", 0.5)
                              for server in (self.plain, self.reloading)}
        for index in down:
            self.kekds[index].process.resume()

    def test_1_stages(self):
        self.observe("up")
        self.observe("first down", 0)
        self.observe("second down", 1)
        self.observe("up again")
        self.observe("both down", 0, 1)

    def check(self, server):
        says = {stage: answers[server.name] for stage, answers in self.stages.items()}
        self.assertEqual(says["up"], (200, "ok"))
        self.assertEqual(says["up again"], (200, "ok"))
        # Only the check that asked has the words about the section; later ones find its answer kept.
        for stage, number in (("first down", 1), ("second down", 2)):
            self.assertRegex(says[stage][1].strip(), rf"^internal server error: kms-provider-{number - 1}: ({_SECTION.format(number)})?{_DOWN}$")
        self.assertRegex(says["both down"][1].strip(), rf"^internal server error: \[kms-provider-0: ({_SECTION.format(1)})?{_DOWN}, "
                                                       rf"kms-provider-1: ({_SECTION.format(2)})?{_DOWN}\]$")
        # One check for all of them, and none in /livez.
        self.assertEqual(server.health("/livez/kms-providers")[0], 404)
        for path in ("/healthz", "/livez"):
            for number in (0, 1):
                self.assertEqual(server.health(f"{path}/kms-provider-{number}")[0], 404)

    def test_2_KMSv2Healthz(self):
        self.check(self.plain)

    def test_3_KMSHealthzWithReload(self):
        self.check(self.reloading)
        self.assertEqual(self.reloading.health("/healthz/poststarthook/start-encryption-provider-config-automatic-reload")[0], 200)
