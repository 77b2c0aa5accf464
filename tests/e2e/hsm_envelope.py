"""A key that the token only wraps (custody envelope): the token is needed when kekd starts, and by nobody afterwards."""

import os
import signal
import time
import unittest

from harness import token
from harness.cluster import ClusterTestCase, encryption_config
from harness.kekd import KekctlError
from harness.process import wait_for
from hsm import Writer, children


@unittest.skipIf(token.missing(), token.missing())
class HsmEnvelope(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.token = token.Token(cls.cluster.folder)
        cls.kekd = cls.cluster.kekd(token=cls.token).init("--custody", "envelope").start()
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint)).start().wait_until_ready()
        cls.server.create_secret("before", text="wrapped by the token")

    def assert_served(self, name):
        self.server.create_secret(name, text=name)
        self.server.cold_restart().wait_until_ready()  # no seed is cached any more: kekd has to open them
        self.assert_secret(self.server, name, text=name)
        self.assert_secret(self.server, "before", text="wrapped by the token")

    def assert_ok_soon(self, within):
        began = time.monotonic()
        wait_for(lambda: self.kekd.status()["healthz"] == "ok", 20, "Status is ok", interval=0.02)
        took = time.monotonic() - began
        print(f"Status ok after {took:.2f} s", flush=True)
        self.assertLess(took, within)

    def test_1_is_what_it_says(self):
        (version,) = self.kekd.versions().values()
        self.assertEqual((version["backend"], version["custody"], version["algorithm"]),
                         ("pkcs11", "envelope", "XAES-256-GCM"))
        status = self.kekd.status()
        self.assertEqual((status["primaryBackend"], status["primaryCustody"]), ("pkcs11", "envelope"))
        report = self.kekd.kekctl_json("hsm", "doctor")
        self.assertTrue(report["ok"], report)
        self.assertEqual([key["version"] for key in report["keys"]], [1])
        self.assert_served("first")

    def test_2_nobody_notices_that_the_token_and_its_worker_are_gone(self):
        writer = Writer(self.kekd)
        writer.start()
        try:
            wait_for(lambda: writer.good, 20, "the first good call")
            self.token.take_away()
            for worker in children(self.kekd.process.pid):
                os.kill(worker, signal.SIGKILL)
            before = len(writer.good)
            self.assert_served("while-the-token-is-away")
            wait_for(lambda: len(writer.good) >= before + 20, 60, "calls while the token is away")
            self.assertEqual(self.kekd.status()["healthz"], "ok")
        finally:
            writer.stop.set()
            writer.join()
        self.assertEqual(writer.bad, [])
        # A round of the health check is due by now or soon; it asks no token, so that none is started for it.
        checked = self.kekd.status()["lastCanary"]
        wait_for(lambda: self.kekd.status()["lastCanary"] != checked, 60, "another round of the health check", interval=0.5)
        self.assertEqual(self.kekd.status()["healthz"], "ok")
        self.assertEqual(children(self.kekd.process.pid), [])

    def test_3_restarted_without_the_token_it_is_degraded_until_that_is_back(self):
        self.kekd.stop()
        self.kekd.start()
        status = self.kekd.status()
        self.assertRegex(status["healthz"], "degraded: the primary, key version 1 .*does not decrypt")
        with self.assertRaises(KekctlError):
            self.kekd.kekctl("check", "--count", "1")
        self.token.give_back()
        self.assert_ok_soon(within=5)
        self.assert_served("after-the-token-was-away")

    def test_4_moves_to_device_and_to_software_and_back(self):
        for backend, custody in (("pkcs11", "device"), ("software", None), ("pkcs11", "envelope")):
            self.kekd.rotate(backend, *(["--custody", custody] if custody else []))
            self.kekd.kekctl("check", "--count", "5")
            self.assert_served(f"under-{backend}-{custody or 'its-own'}")
        self.kekd.rotate("pkcs11")  # as the primary
        kept = {number: (one["backend"], one["custody"], one["state"]) for number, one in self.kekd.versions().items()}
        self.assertEqual(kept, {1: ("pkcs11", "envelope", "deactivated"), 2: ("pkcs11", "device", "deactivated"),
                                3: ("software", "envelope", "deactivated"), 4: ("pkcs11", "envelope", "deactivated"),
                                5: ("pkcs11", "envelope", "active")})
        self.kekd.stop()
        self.kekd.start()
        self.assertEqual(self.kekd.status()["healthz"], "ok")
        self.assert_served("restarted")

    def test_5_a_backup_brings_it_back_with_the_token_and_not_without(self):
        backup = self.cluster.folder / "e2e.backup"
        words = self.cluster.folder / "words"
        words.touch(mode=0o600)
        words.write_text("correct horse battery staple\n")
        opening = ("--passphrase-file", str(words))
        made = self.kekd.kekctl("keyring", "backup", "--out", str(backup), *opening)
        self.assertIn("as its device has wrapped it", made)
        self.assertIn("nothing that opens without the device", made)
        self.kekd.stop()
        self.kekd.keyring_folder().rename(self.cluster.folder / "lost")
        self.kekd.keyring_folder().mkdir(mode=0o700)
        self.token.take_away()
        self.kekd.kekctl("keyring", "restore", "--backup", str(backup), *opening)
        self.kekd.start()
        self.assertRegex(self.kekd.status()["healthz"], "key version 5 .*does not decrypt")
        self.token.give_back()
        self.assert_ok_soon(within=5)
        self.assert_served("restored")
