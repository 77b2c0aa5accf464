"""The API server's three-minute write lease: writes go on without kekd for that long, then stop, and resume when it is back.

Time is the API server's own and cannot be moved, so this takes as long as it says. KMSv2ProviderKeyIDStaleness is after the
Kubernetes project's own test of that name (docs/upstream-cases.md).
"""

import hashlib
import os
import time
import unittest

from harness.api_server import ApiError, pod
from harness.cluster import ClusterTestCase, encryption_config
from harness.encrypted_object import SOURCE_TYPE_AES_GCM_KEY, SOURCE_TYPE_HKDF_SEED
from harness.process import wait_for

_LEASE_SECONDS = 180


class _LeaseCase(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        config = encryption_config(cls.kekd.endpoint, resources=("secrets", "pods"))
        cls.server = cls.cluster.api_server(config_text=config).start().wait_until_ready()

    def write(self, name):
        """None when the write went through, else the API server's message."""
        try:
            self.server.create_secret(name, text="lease")
        except ApiError as error:
            self.assertEqual(error.status, 500)
            return error.message
        return None

    def check_lease(self, take_away, give_back, recovery_seconds, within=lambda: None, after=lambda: None):
        """`within` and `after` are called while kekd is away, before and after the lease has ended."""
        self.assertIsNone(self.write("before"))
        stored_before = self.cluster.stored("before")
        self.kekd_key_id = self.kekd.key_id()
        take_away()
        away = time.monotonic()

        within()
        number = 0
        while time.monotonic() - away < _LEASE_SECONDS - 70:
            # The lease began at the last good Status, at most one poll of 60 s (80 s when a probe absorbed one) earlier.
            self.assertIsNone(self.write(f"within-{number}"))
            number += 1
            time.sleep(10)
        message = wait_for(lambda: self.write(f"late-{time.monotonic_ns()}"), 100, "writes stop after the lease", interval=2)
        lasted = time.monotonic() - away
        self.assertLessEqual(lasted, _LEASE_SECONDS + 10)
        key_id_hash = hashlib.sha256(self.kekd_key_id.encode()).hexdigest()
        self.assertIn(f'encryptedDEKSource with keyID hash "sha256:{key_id_hash}" expired at 2', message)
        after()
        # What is cached is still read, and nothing crashed.
        self.assert_secret(self.server, "before", text="lease")
        self.assertEqual(self.server.health("/livez")[0], 200)

        give_back()
        back = time.monotonic()
        wait_for(lambda: self.write(f"again-{time.monotonic_ns()}") is None, recovery_seconds, "writes resume", interval=0.5)
        print(f"writes stopped {lasted:.0f} s after kekd went away and resumed {time.monotonic() - back:.1f} s after it was back")
        # The same key_id, so the same seed goes on: nothing became stale.
        self.assertIsNone(self.write("after"))
        stored_after = self.cluster.stored("after")
        self.assertEqual(stored_after.key_id, stored_before.key_id)
        self.assertEqual(stored_after.encrypted_dek_source, stored_before.encrypted_dek_source)


class HungKekd(_LeaseCase):
    """kekd keeps its connections and answers nobody; recovery is the API server's next 10 s poll."""

    def test_KMSv2ProviderKeyIDStaleness(self):
        pods = "/api/v1/namespaces/default/pods"
        key = "/registry/pods/default/stale"

        def version(body):
            return body["metadata"]["resourceVersion"]

        def rewrite():
            """A no-op update."""
            return version(self.server.put(f"{pods}/stale", self.server.get(f"{pods}/stale")))

        # 1. Nothing changed: a no-op update writes nothing.
        first = version(self.server.post(pods, pod("stale")))
        self.assertEqual(rewrite(), first)
        stored = self.cluster.stored_at(key)
        self.assertEqual(stored.key_id, self.kekd.key_id())
        # 2. The key_id changed: it writes, 3. once.
        new_key_id = self.kekd.rotate()
        second = wait_for(lambda: (rewritten := rewrite()) != first and rewritten, 60, "the resource version changes", interval=1)
        self.assertEqual(rewrite(), second)
        self.assertEqual(self.cluster.stored_at(key).key_id, new_key_id)
        self.assertNotEqual(self.cluster.stored_at(key).encrypted_dek_source, stored.encrypted_dek_source)
        self.server.delete(f"{pods}/stale")

        third = None

        def within():
            nonlocal third
            # 4. kekd is down, and the lease holds: a new Pod. 5. A no-op update of it writes nothing.
            self.assertIn("DeadlineExceeded", wait_for(self.red, 40, "the health check is red", interval=0.5))
            third = version(self.server.post(pods, pod("stale")))
            self.assertEqual(rewrite(), third)

        def after():
            # 6. The lease has ended: no new Pod. 7. A no-op update still goes through, and writes nothing.
            with self.assertRaises(ApiError):
                self.server.post(pods, pod("never"))
            self.assertEqual(rewrite(), third)
            self.assertEqual(self.cluster.stored_at(key).key_id, new_key_id)

        self.check_lease(self.kekd.process.pause, self.kekd.process.resume, recovery_seconds=25, within=within, after=after)
        # 8. kekd is back: a no-op update writes nothing.
        self.assertEqual(rewrite(), third)
        # 9. Another type of DEK source is another write. No API server can be told to write it, so it is put there.
        self.cluster.etcd.put(key, self.cluster.seal(self.kekd, key, self.cluster.open(self.kekd, key), SOURCE_TYPE_AES_GCM_KEY))
        self.assertEqual(self.cluster.stored_at(key).source_type, SOURCE_TYPE_AES_GCM_KEY)
        before = version(self.server.get(f"{pods}/stale"))
        self.assertNotEqual(rewrite(), before)
        self.assertEqual(self.cluster.stored_at(key).source_type, SOURCE_TYPE_HKDF_SEED)

    def red(self):
        status, body = self.server.kms_health()
        return status == 500 and body


@unittest.skipUnless(os.environ.get("KEKD_LONG_TESTS") == "1", "takes 3 to 7 minutes: set KEKD_LONG_TESTS=1")
class KilledKekd(_LeaseCase):
    """kekd is gone; recovery waits for the API server's gRPC client, which backs off up to 120 s."""

    def test_lease(self):
        self.check_lease(self.kekd.kill, self.kekd.start, recovery_seconds=150)


del _LeaseCase
