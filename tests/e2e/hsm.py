"""A real kube-apiserver whose keys lie on a token: it comes and goes, its worker is killed, and nothing is lost."""

import os
import pathlib
import signal
import threading
import time
import unittest

from harness import token
from harness.cluster import ClusterTestCase, encryption_config
from harness.kekd import KekctlError
from harness.process import wait_for


def children(pid):
    """The processes that a process has started and that still are."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


class Writer(threading.Thread):
    """Calls kekd as an API server does, round trip by round trip, and notes when one was good and when one was not."""

    def __init__(self, kekd):
        super().__init__(daemon=True)
        self.kekd = kekd
        self.stop = threading.Event()
        self.good = []
        self.bad = []

    def run(self):
        while not self.stop.is_set():
            try:
                self.kekd.kekctl("check", "--count", "1")
                self.good.append(time.monotonic())
            except Exception as error:  # noqa: BLE001  (whatever it is, the call was no good)
                self.bad.append((time.monotonic(), str(error)))
            time.sleep(0.05)


@unittest.skipIf(token.missing(), token.missing())
class Hsm(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.token = token.Token(cls.cluster.folder)
        cls.kekd = cls.cluster.kekd(token=cls.token).init().start()
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint)).start().wait_until_ready()
        cls.server.create_secret("before", text="on the token")

    def assert_served(self, name):
        self.server.create_secret(name, text=name)
        self.assert_secret(self.server, name, text=name)
        self.server.cold_restart().wait_until_ready()  # no seed is cached any more: the token has to open them
        self.assert_secret(self.server, name, text=name)
        self.assert_secret(self.server, "before", text="on the token")

    def test_1_secrets_are_encrypted_under_the_token_key(self):
        (version,) = self.kekd.versions().values()
        self.assertEqual((version["backend"], version["custody"], version["algorithm"]),
                         ("pkcs11", "device", "AES-256-GCM"))
        self.assertEqual(self.cluster.stored("before").key_id, self.kekd.key_id())
        self.assert_served("restarted")

    def test_2_doctor_finds_nothing_wrong(self):
        report = self.kekd.kekctl_json("hsm", "doctor")
        self.assertTrue(report["ok"], report)
        (key,) = report["keys"]
        self.assertEqual((key["version"], key["extractable"], key["sensitive"], key["modifiable"]),
                         (1, False, True, False))
        self.assertEqual(key["verdict"], "made in the token and never left it, says the token")

    def test_2a_key_show_tells_what_the_token_says(self):
        shown = self.kekd.kekctl_json("key", "show", "1")
        self.assertEqual(shown["canary"], {"tried": True, "good": True, "error": None})
        (said,) = shown["tokens"]
        self.assertEqual((said["error"], said["verdict"]),
                         (None, "made in the token and never left it, says the token"))
        (key,) = said["objects"]
        (listed,) = self.kekd.kekctl_json("hsm", "doctor")["keys"]
        self.assertEqual(key["says"], listed["says"])  # the same, by the same code
        self.assertEqual((key["says"]["CKA_LOCAL"], key["says"]["CKA_KEY_GEN_MECHANISM"], key["says"]["size"],
                          key["says"]["CKA_ALLOWED_MECHANISMS"]), (True, "CKM_AES_KEY_GEN", 256, None))
        self.token.take_away()
        try:
            away = self.kekd.kekctl("key", "show", "1")
        finally:
            self.token.give_back()
        self.assertIn(self.kekd.key_id(), away)  # what the record says is told all the same
        self.assertRegex(away, "token e2e: says nothing: ")
        wait_for(lambda: self.kekd.status()["healthz"] == "ok", 20, "Status is ok with the token", interval=0.1)

    def test_3_token_away_and_back_under_load(self):
        pid = self.kekd.process.pid
        writer = Writer(self.kekd)
        writer.start()
        try:
            wait_for(lambda: writer.good, 20, "the first good call")
            self.token.take_away()
            wait_for(lambda: writer.bad, 20, "a call that fails while the token is away")
            wait_for(lambda: self.kekd.status()["healthz"] != "ok", 10, "Status tells that the token is away", interval=0.1)
            self.server.get_secret("before")  # from the API server's memory
            with self.assertRaisesRegex(KekctlError, "nothing was changed"):
                self.kekd.kekctl("key", "create", "--backend", "pkcs11")
            time.sleep(3)
            self.token.give_back()
            back = time.monotonic()
            first = wait_for(lambda: next((at for at in writer.good if at > back), None), 10, "a good call again",
                             interval=0.01)
            wait_for(lambda: self.kekd.status()["healthz"] == "ok", 10, "Status is ok again", interval=0.02)
            print(f"token back: first good call after {first - back:.2f} s (a round trip of kekctl included), Status ok "
                  f"after {time.monotonic() - back:.2f} s; {len(writer.bad)} calls failed meanwhile", flush=True)
        finally:
            writer.stop.set()
            writer.join()
        self.assertEqual(self.kekd.process.pid, pid)
        self.kekd.process.require_running()
        self.assert_served("after-the-token-was-away")

    def test_4_worker_killed(self):
        for _ in range(3):
            (worker,) = children(self.kekd.process.pid)
            os.kill(worker, signal.SIGKILL)
            self.kekd.kekctl("check", "--count", "5")
            (again,) = children(self.kekd.process.pid)
            self.assertNotEqual(again, worker)
        self.assert_served("after-the-worker-was-killed")

    def test_5_worker_hangs(self):
        (worker,) = children(self.kekd.process.pid)
        os.kill(worker, signal.SIGSTOP)
        # What hangs is noticed and replaced while the calls still have time left.
        self.kekd.kekctl("check", "--count", "1")
        (again,) = children(self.kekd.process.pid)
        self.assertNotEqual(again, worker)

    def test_6_software_and_token_in_one_ring(self):
        on_token = self.kekd.key_id()
        in_software = self.kekd.rotate()
        self.assertNotEqual(on_token, in_software)
        self.kekd.kekctl("check", "--count", "5")
        self.assert_served("two-backends")
        self.kekd.rotate(backend="pkcs11")
        states = {number: (one["backend"], one["state"]) for number, one in self.kekd.versions().items()}
        self.assertEqual(states, {1: ("pkcs11", "deactivated"), 2: ("software", "deactivated"), 3: ("pkcs11", "active")})
        self.assert_served("three-versions")

    def test_7_wrong_pin_is_sent_once(self):
        self.kekd.stop()
        self.token.pin_file.write_text("not-the-pin")
        try:
            self.kekd.start()
            for _ in range(5):
                with self.assertRaises(KekctlError):
                    self.kekd.kekctl("check", "--count", "1")
            with self.assertRaises(KekctlError) as doctor:
                self.kekd.kekctl("hsm", "doctor")
            self.assertEqual(doctor.exception.code, 1)
            self.assertRegex(str(doctor.exception), "FAIL  PIN: ")
        finally:
            self.token.pin_file.write_text(token.PIN)
        wait_for(lambda: self.kekd.status()["healthz"] == "ok", 20, "Status is ok with the right PIN", interval=0.1)
        self.assert_served("after-the-wrong-pin")
