"""A real kube-apiserver whose key lies on two tokens: one of them dies under load, and no call is lost."""

import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

from harness import parts, token
from harness.cluster import ClusterTestCase, encryption_config
from harness.kekd import KekctlError
from harness.process import wait_for


def oldest_worker(pid):
    """Of two that are each replaced when they die, it is the one's and the other's in turn."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return min(found)


@unittest.skipIf(token.missing(), token.missing())
class HsmPair(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.pair = token.TokenPair(cls.cluster.folder)
        cls.kekd = cls.cluster.kekd(token=cls.pair).init().start()
        cls.kekd.kekctl("key", "adopt", "--backend", "pkcs11", "--object", "pkcs11:object=twin-key", "--allow-extractable")
        cls.kekd.kekctl("key", "promote", "2")
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint)).start().wait_until_ready()
        cls.server.create_secret("before", text="on both tokens")

    def states(self):
        return [one["state"] for one in self.kekd.status()["tokens"]]

    def await_states(self, *states, timeout=20):
        wait_for(lambda: self.states() == list(states), timeout, f"the tokens are {states}, not {self.states()}",
                 interval=0.1)

    def start_load(self):
        load = subprocess.Popen([parts.program("kms_load"), self.kekd.socket, "2", "wait"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        self.addCleanup(load.wait)
        self.addCleanup(load.kill)
        return load

    def assert_nothing_lost(self, load, what):
        """Nor was Status anything but ok: kms_load counts that as a failure."""
        counted = json.loads(load.communicate(timeout=30)[0])
        print(f"{what}: {counted}", flush=True)
        self.assertGreater(counted["calls"], 100)
        self.assertEqual(counted["failed"], 0)

    def assert_served(self, name):
        self.server.create_secret(name, text=name)
        self.server.cold_restart().wait_until_ready()  # no seed is cached any more: a token has to open them
        self.assert_secret(self.server, name, text=name)
        self.assert_secret(self.server, "before", text="on both tokens")

    def test_1_both_are_up_and_proved(self):
        self.assertEqual(self.states(), ["up", "up"])
        self.assertEqual([one["name"] for one in self.kekd.status()["tokens"]], self.pair.names)
        self.assertRegex(self.kekd.kekctl("status"), r"token +e2e: up since .*\n +token +e2e-twin: up since")
        self.assertEqual(self.cluster.stored("before").key_id, self.kekd.key_id())
        shown = self.kekd.kekctl_json("key", "show", "2")
        self.assertEqual([said["token"] for said in shown["tokens"]], self.pair.names)
        for said in shown["tokens"]:
            self.assertEqual(said["verdict"], "imported, says the token: who has made it and where else it is can't be proved")
        self.assertTrue(shown["canary"]["good"])

    def test_2_one_goes_away_and_comes_back_under_load(self):
        load = self.start_load()
        for index in (0, 1):
            time.sleep(0.3)
            self.pair.take_away(index)
            if index == 0:
                self.await_states("down", "up")
                self.assertEqual(self.kekd.status()["healthz"], "ok")
                (warning,) = [one for one in self.kekd.status()["warnings"] if "token" in one]
                self.assertRegex(warning, r"token e2e \(down\): ")
                self.assert_served("the-first-was-away")
            self.pair.give_back(index)
            self.await_states("up", "up", timeout=45)
        self.assert_nothing_lost(load, "one token away and back, then the other")

    def test_3_a_worker_is_killed_and_another_hangs_under_load(self):
        load = self.start_load()
        for number, name in ((signal.SIGKILL, "killed"), (signal.SIGSTOP, "hangs")):
            for _ in range(2):
                time.sleep(0.3)
                os.kill(oldest_worker(self.kekd.process.pid), number)
                time.sleep(3)
                self.await_states("up", "up", timeout=45)
        self.assert_nothing_lost(load, "workers killed and hung")
        self.assert_served("after-workers-died")

    def test_4_a_key_on_one_token_is_not_promoted(self):
        self.kekd.kekctl("key", "create", "--backend", "pkcs11")
        with self.assertRaises(KekctlError) as refused:
            self.kekd.kekctl("key", "promote", "3")
        self.assertRegex(refused.exception.stderr, r"can't be promoted.*not proved on every token \(token e2e-twin: ")
        self.assertEqual(self.states(), ["up", "lacks a key"])
        self.assertEqual(self.kekd.status()["healthz"], "ok")
        with self.assertRaises(KekctlError) as doctor:
            self.kekd.kekctl("hsm", "doctor")
        self.assertRegex(str(doctor.exception), r"(?s)token \"e2e\".*token \"e2e-twin\".*FAIL  key version 3: ")
        first, second = self.kekd.kekctl_json("hsm", "list")["tokens"]
        self.assertEqual([key["version"] for key in first["keys"]], [2, 3])
        self.assertEqual([key["version"] for key in second["keys"]], [2])

    def test_5_none_is_there(self):
        for index in (0, 1):
            self.pair.take_away(index)
        with self.assertRaises(KekctlError):  # and kekd looks at once where a call has failed
            self.kekd.kekctl("check", "--count", "1")
        wait_for(lambda: self.kekd.status()["healthz"] != "ok", 20, "Status tells that no token is there", interval=0.1)
        self.pair.give_back(0)  # which alone has key version 3
        wait_for(lambda: self.kekd.status()["healthz"] == "ok", 20, "Status is ok with one of them", interval=0.1)
        self.assert_served("one-was-enough")
        self.pair.give_back(1)
        self.await_states("up", "lacks a key", timeout=60)

    def test_6_no_keyring_begins_on_one_of_two(self):
        other = self.cluster.kekd(name="other", token=self.pair)
        with self.assertRaises(KekctlError) as refused:
            other.kekctl("keyring", "init", "--backend", "pkcs11")
        self.assertRegex(refused.exception.stderr, "would be on one token alone, and was removed from it again")
        self.assertEqual([key["version"] for key in self.kekd.kekctl_json("hsm", "list")["tokens"][0]["keys"]], [2, 3])
