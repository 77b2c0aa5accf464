"""The EncryptionConfiguration exchanged under an API server that is not restarted: phase 1, a file it refuses, phase 2, a
provider that is not there, and other providers.

The API server looks at the file once a minute, and again soon after a look that failed. That is why a file it refuses comes
before each good one here: the good one is then taken within seconds.
"""

import json
import re
import time

from harness.api_server import secret_key
from harness.cluster import ClusterTestCase
from harness.encrypted_object import PREFIX
from harness.process import wait_for
from harness.procedures import Agent, Node

_LOOK_SECONDS = 60


class HotReload(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        config = cls.kekd.kekctl("encryption-config", "--phase", "1")
        cls.server = cls.cluster.api_server(
            config_text=config, extra_flags=["--encryption-provider-config-automatic-reload=true"])
        cls.server.start().wait_until_ready()
        cls.pid = cls.server.process.pid
        cls.agent = Agent(cls.cluster.folder)
        cls.addClassCleanup(cls.agent.stop)
        cls.node = Node(cls.cluster, cls.agent, cls.server, cls.kekd)
        cls.node.environment["RESTART"] = "reload"

    def tearDown(self):
        self.assertEqual(self.server.process.pid, self.pid)
        self.server.process.require_running()

    def reloads(self, status):
        """How often the API server took a file ("success") or refused one ("failure")."""
        lines = self.server.metric_lines("apiserver_encryption_config_controller_automatic_reloads_total{")
        return sum(int(float(line.split()[-1])) for line in lines if f'status="{status}"' in line)

    def write_refused_file(self, text, more_seconds=0):
        """Returns once the API server has refused it."""
        before, started = self.reloads("failure"), time.monotonic()
        self.server.encryption_config.write_text(text)
        wait_for(lambda: self.reloads("failure") > before, _LOOK_SECONDS + 20 + more_seconds, "the API server refuses the file",
                 interval=0.2)
        print(f"refused after {time.monotonic() - started:.1f} s")

    def test_1_refused_file_changes_nothing(self):
        self.server.create_secret("first", text="plain")
        successes = self.reloads("success")
        # Strict decoding: a typo is enough.
        self.write_refused_file(self.server.encryption_config.read_text().replace("timeout:", "tiemout:"))
        self.assertIn("tiemout", self.server.process.log_text())
        self.assertEqual(self.reloads("success"), successes)
        self.assertEqual(self.server.kms_health()[0], 200)
        self.server.create_secret("still-phase-1", text="plain")
        self.assertFalse(self.cluster.etcd.raw_value(secret_key("still-phase-1")).startswith(PREFIX))

    def test_2_phase_2(self):
        started = time.monotonic()
        self.enable()
        print(f"taken after {time.monotonic() - started:.1f} s")
        for name in ("first", "still-phase-1"):
            self.assert_secret(self.server, name, text="plain")
        self.node.must_run("enable.sh", "rewrite")
        self.node.must_run("enable.sh", "check")
        self.assertEqual(self.cluster.stored("first").provider, "kekd-e2e")
        self.assertEqual(self.kekd.status()["encrypts"], 2, "one for each loading of the file")

    def enable(self):
        """Phase 2 by the procedure, which waits for it where it can tell."""
        successes = self.reloads("success")
        if int(self.server.get("/version")["minor"]) >= 34:
            self.node.must_run("enable.sh", "write")
            return
        code, _, stderr = self.node.run("enable.sh", "write")
        self.assertEqual(code, 1)
        self.assertIn("before 1.34 does not tell which file it has", stderr)
        wait_for(lambda: self.reloads("success") > successes, _LOOK_SECONDS + 30, "the API server takes the file", interval=0.2)

    def test_3_provider_that_is_not_there(self):
        text = re.sub(r"endpoint: .*", f"endpoint: unix://{self.cluster.folder}/nobody.sock",
                      self.kekd.kekctl("encryption-config", "--phase", "2", "--provider-name", "nobody"))
        self.write_refused_file(text, more_seconds=20)
        self.server.create_secret("still-phase-2", text="under the former")
        self.assertEqual(self.cluster.stored("still-phase-2").provider, "kekd-e2e")
        self.assertEqual(self.server.kms_health()[0], 200)

    def test_4_one_entry_becomes_several(self):
        config = json.loads(self.kekd.kekctl("-o", "json", "encryption-config", "--phase", "2", "--per-resource", "--resources",
                                             "secrets,configmaps"))
        # The former entry stays, behind the new ones, for what it encrypted.
        former = json.loads(self.kekd.kekctl("-o", "json", "encryption-config", "--phase", "2"))["resources"][0]
        former["providers"] = [provider for provider in former["providers"] if "kms" in provider]
        config["resources"].append(former)
        successes, started = self.reloads("success"), time.monotonic()
        self.server.encryption_config.write_text(json.dumps(config))
        wait_for(lambda: self.reloads("success") > successes, _LOOK_SECONDS + 30, "the API server takes the file", interval=0.2)
        print(f"taken after {time.monotonic() - started:.1f} s")

        self.assert_secret(self.server, "still-phase-2", text="under the former")
        self.server.rewrite_secret("still-phase-2")
        self.assertEqual(self.cluster.stored("still-phase-2").provider, "kekd-e2e-secrets")
        self.server.post("/api/v1/namespaces/default/configmaps", {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "reloaded"}, "data": {"text": "map"}})
        self.assertEqual(self.cluster.stored_at("/registry/configmaps/default/reloaded").provider, "kekd-e2e-configmaps")
        # The connections of the former configuration are closed after a while.
        wait_for(lambda: self.kekd.status()["connections"] == 3, 60, "kekd has one connection for each entry", interval=0.5)
        self.server.create_secret("at-the-end", text="end")
        self.assert_secret(self.server, "at-the-end", text="end")
