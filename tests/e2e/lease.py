"""The API server's three-minute write lease: writes go on without kekd for that long, then stop, and resume when it is back.

Time is the API server's own and cannot be moved, so this takes as long as it says.
"""

import os
import time
import unittest

from harness.api_server import ApiError
from harness.cluster import ClusterTestCase, encryption_config
from harness.process import wait_for

_LEASE_SECONDS = 180


class _LeaseCase(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint)).start().wait_until_ready()

    def write(self, name):
        """None when the write went through, else the API server's message."""
        try:
            self.server.create_secret(name, text="lease")
        except ApiError as error:
            self.assertEqual(error.status, 500)
            return error.message
        return None

    def check_lease(self, take_away, give_back, recovery_seconds):
        self.assertIsNone(self.write("before"))
        stored_before = self.cluster.stored("before")
        take_away()
        away = time.monotonic()

        number = 0
        while time.monotonic() - away < _LEASE_SECONDS - 70:
            # The lease began at the last good Status, at most one poll of 60 s (80 s when a probe absorbed one) earlier.
            self.assertIsNone(self.write(f"within-{number}"))
            number += 1
            time.sleep(10)
        message = wait_for(lambda: self.write(f"late-{time.monotonic_ns()}"), 100, "writes stop after the lease", interval=2)
        lasted = time.monotonic() - away
        self.assertLessEqual(lasted, _LEASE_SECONDS + 10)
        self.assertRegex(message, "expired at")
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

    def test_lease(self):
        self.check_lease(self.kekd.process.pause, self.kekd.process.resume, recovery_seconds=25)


@unittest.skipUnless(os.environ.get("KEKD_LONG_TESTS") == "1", "takes 3 to 7 minutes: set KEKD_LONG_TESTS=1")
class KilledKekd(_LeaseCase):
    """kekd is gone; recovery waits for the API server's gRPC client, which backs off up to 120 s."""

    def test_lease(self):
        self.check_lease(self.kekd.kill, self.kekd.start, recovery_seconds=150)


del _LeaseCase
