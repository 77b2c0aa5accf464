"""What an API server's health endpoints say of kekd: healthy, degraded, failing, gone, and back.

A key that no longer is what it was is made by break_key; kekd is restarted with it, and the record put back mends it.
"""

import shutil
import subprocess
import time

from harness import parts
from harness.cluster import ClusterTestCase, encryption_config
from harness.kekd import KekctlError
from harness.process import wait_for

_CHECK = "kms-providers"


class Health(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init()
        # Version 2 is the primary: version 1 can break without concerning writes.
        cls.key_id = cls.kekd.rotate()
        cls.record = cls.kekd.keyring_folder() / "keyring"
        cls.sound_record = cls.cluster.folder / "keyring.sound"
        shutil.copy2(cls.record, cls.sound_record)
        cls.kekd.start()
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint)).start()
        cls.server.wait_until_ready()

    def break_key(self, version):
        """Restarts kekd with that key version broken."""
        self.kekd.stop()
        subprocess.run([parts.program("break_key"), str(self.kekd.config), str(version)], check=True, timeout=30)
        self.kekd.start()

    def body(self, path=f"/readyz/{_CHECK}"):
        return self.server.health(path)[1]

    def wait_for_body(self, text, timeout):
        started = time.monotonic()
        wait_for(lambda: text in self.body(), timeout, f"/readyz/{_CHECK} says '{text}'", interval=0.3)
        print(f"the API server says '{text}' after {time.monotonic() - started:.1f} s")

    def assert_endpoints(self, status, mark):
        """All of /healthz and /readyz have that status, and their list that mark; kekd is no part of /livez."""
        for path in ("/healthz", "/readyz"):
            self.assertEqual(self.server.health(path)[0], status, path)
            self.assertEqual(self.server.health(f"{path}/{_CHECK}")[0], status, path)
            self.assertRegex(self.body(f"{path}?verbose"), rf"(?m)^\[{mark}\]{_CHECK} ")
        self.assertEqual(self.server.health("/livez")[0], 200)
        self.assertNotIn(_CHECK, self.body("/livez?verbose"))
        self.assertEqual(self.server.health(f"/livez/{_CHECK}")[0], 404)

    def test_1_healthy(self):
        self.assert_endpoints(200, r"\+")
        self.assertEqual(self.body(), "ok")

    def test_2_degraded(self):
        self.break_key(1)
        self.wait_for_body("got unexpected healthz status: degraded: key version 1 (backend software), does not decrypt", 40)
        self.assertIn("kms-provider-0", self.body())
        self.assert_endpoints(500, "-")
        # The plain list tells strangers no reason.
        self.assertNotIn("degraded", self.body("/readyz"))
        # Red, and yet writes go on: only an error of the Status call would stop them, after the lease.
        self.server.create_secret("while-degraded", text="two")
        self.assertEqual(self.cluster.stored("while-degraded").key_id, self.key_id)
        status = self.kekd.status()
        self.assertEqual((status["keyId"], status["mustNotEncrypt"]), (self.key_id, False))

    def test_3_failing(self):
        self.break_key(2)
        # One failure is a text; the second, half a minute later, is an error.
        self.wait_for_body("the primary, key version 2 (backend software), does not decrypt", 40)
        self.wait_for_body("code = Unavailable desc = kekd must not encrypt", 60)
        self.assert_endpoints(500, "-")
        with self.assertRaises(KekctlError) as caught:
            self.kekd.status()
        self.assertEqual(caught.exception.code, 1)
        self.assertIn("must not encrypt", caught.exception.stderr)
        # What the API server has in its memory still serves reads, and writes within the lease.
        self.assert_secret(self.server, "while-degraded", text="two")
        self.server.create_secret("while-failing", text="three")

    def test_4_gone(self):
        self.kekd.kill()
        self.wait_for_body("code = DeadlineExceeded", 30)
        self.assert_endpoints(500, "-")
        self.assert_secret(self.server, "while-failing", text="three")

    def test_5_mended_and_back(self):
        shutil.copy2(self.sound_record, self.record)
        self.kekd.start()
        seconds = self.server.wait_for_kms_health(200, timeout=60)
        print(f"green {seconds:.1f} s after kekd was back")
        self.assert_endpoints(200, r"\+")
        status = self.kekd.status()
        self.assertEqual((status["keyId"], status["mustNotEncrypt"], status["healthz"]), (self.key_id, False, "ok"))
        self.assertEqual(status["encrypts"], 0, "the same key_id must need no new Encrypt")
        # Whatever was written meanwhile was under the API server's own seed from before: nothing was lost.
        self.server.cold_restart().wait_until_ready()
        for name, text in (("while-degraded", "two"), ("while-failing", "three")):
            self.assert_secret(self.server, name, text=text)
