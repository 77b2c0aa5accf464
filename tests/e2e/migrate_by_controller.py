"""kekctl migrate --via storage-version-migration: the API is a real API server's (1.37, which has it switched on); its controller,
which is a part of kube-controller-manager, is played here: as there, it does nothing until the resource is written."""

import json
import subprocess
import threading
import time

from harness import parts
from harness.api_server import secret_key
from harness.cluster import ClusterTestCase, encryption_config
from harness.kubeconfig import kubeconfig
from harness.process import wait_for

_MIGRATIONS = "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
_RBAC = parts.ROOT / "manifests" / "rbac"


class _Controller(threading.Thread):
    """Migrates Secrets as soon as one was written after the migration was made."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self._server = server
        self._ended = threading.Event()
        self.migrated = []

    def run(self):
        versions = {}
        while not self._ended.wait(0.1):
            for one in self._server.get(_MIGRATIONS)["items"]:
                name = one["metadata"]["name"]
                if name in self.migrated:
                    continue
                now = {item["metadata"]["name"]: item["metadata"]["resourceVersion"]
                       for item in self._server.get("/api/v1/namespaces/default/secrets")["items"]}
                if name not in versions:
                    versions[name] = now
                    self._set(one, "Running")
                elif now != versions[name]:
                    for secret in now:
                        self._server.rewrite_secret(secret)
                    self._set(one, "Succeeded")
                    self.migrated.append(name)

    def _set(self, migration, condition):
        current = self._server.get(f"{_MIGRATIONS}/{migration['metadata']['name']}")
        current.setdefault("status", {})["conditions"] = [
            {"type": condition, "status": "True", "reason": "Played", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        current["status"]["resourceVersion"] = "1"
        self._server.put(f"{_MIGRATIONS}/{migration['metadata']['name']}/status", current)

    def end(self):
        self._ended.set()
        self.join()


class MigrateByController(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint)).start().wait_until_ready()
        for number in range(20):
            cls.server.create_secret(f"s-{number}", text="x")
        cls.admin = kubeconfig(cls.cluster.folder / "admin.kubeconfig", cls.server)
        for name in ("kekctl-migrate", "kekctl-migrate-by-controller"):
            cls.kubectl("apply", "-f", str(_RBAC / f"{name}.yaml"))
        token = cls.kubectl("--namespace", "kekd", "create", "token", "kekctl-migrate").strip()
        cls.user = kubeconfig(cls.cluster.folder / "user.kubeconfig", cls.server, {"token": token})

    @classmethod
    def kubectl(cls, *arguments):
        return subprocess.run([parts.kubectl(), "--kubeconfig", str(cls.admin), *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout

    def migrate(self, *arguments):
        result = subprocess.run(
            [parts.program("kekctl"), "-o", "json", "--config", str(self.kekd.config), "migrate", "--kubeconfig", str(self.user),
             "--resources", "secrets", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150, check=False)
        return result.returncode, json.loads(result.stdout) if result.stdout else None, result.stderr

    def migrate_with_controller(self, *arguments):
        controller = _Controller(self.server)
        controller.start()
        try:
            code, report, stderr = self.migrate("--via", "storage-version-migration", *arguments)
        finally:
            controller.end()
        self.assertEqual(code, 0, stderr)
        self.assertEqual(report["via"], "storage-version-migration")
        self.assertTrue(report["complete"])
        self.assertEqual(len(controller.migrated), 1)
        self.assertEqual(self.server.get(_MIGRATIONS)["items"], [])

    def test_1_stale_objects(self):
        key_id = self.kekd.rotate()

        def known():
            self.server.kms_health()
            self.server.create_secret("probe", text="x")
            stored = self.cluster.stored("probe").key_id
            self.server.delete_secret("probe")
            return stored == key_id

        wait_for(known, 90, "the API server writes under the new key", interval=1)
        self.migrate_with_controller()
        for number in range(20):
            self.assertEqual(self.cluster.stored_at(secret_key(f"s-{number}")).key_id, key_id)

    def test_2_nothing_is_stale_and_it_is_set_going_nevertheless(self):
        self.migrate_with_controller()
        for one in self.server.get("/api/v1/namespaces/default/secrets")["items"]:
            self.assertNotIn("annotations", one["metadata"])

    def test_3_nobody_takes_it_up(self):
        started = time.monotonic()
        code, report, stderr = self.migrate("--via", "storage-version-migration")
        self.assertEqual(code, 1, stderr)
        self.assertIn("StorageVersionMigrator", report["resources"][0]["failure"])
        self.assertLess(time.monotonic() - started, 120)
        self.assertEqual(self.server.get(_MIGRATIONS)["items"], [])
