"""kekctl with a running kekd, over its admin and KMS sockets."""

import json
import os
import pty
import signal
import socket
import subprocess
import unittest

from kekctl_harness import BIN, KekctlTestCase


class Online(KekctlTestCase):

    def setUp(self):
        super().setUp()
        self.kekctl("keyring", "init")
        self.kekd = self.start_kekd()

    def ring(self):
        (ring,) = self.kekctl_json("status")["keyrings"]
        return ring

    def stop(self):
        self.kekd.send_signal(signal.SIGTERM)
        self.assertEqual(self.kekd.wait(30), 0)

    def test_status(self):
        status = self.kekctl_json("status")
        self.assertEqual(status["kekd"]["pid"], self.kekd.pid)
        ring = self.ring()
        self.assertEqual((ring["name"], ring["healthz"], ring["generation"], ring["primaryVersion"]), ("prod", "ok", 1, 1))
        self.assertEqual(ring["keyId"], self.kekctl_json("key", "list")["versions"][0]["keyId"])
        self.assertIn(ring["keyId"], self.kekctl("status"))

    def on_terminal(self, *arguments, **environment):
        """What is shown on a terminal."""
        controller, terminal = pty.openpty()
        kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        try:
            subprocess.run([BIN / "kekctl", "--config", self.config, *arguments], stdin=subprocess.DEVNULL, stdout=terminal,
                           stderr=subprocess.DEVNULL, timeout=60, check=True, env={**kept, "TERM": "xterm", **environment})
            return os.read(controller, 65536).decode()
        finally:
            os.close(terminal)
            os.close(controller)

    def test_colours_are_for_terminals(self):
        self.assertIn("\x1b[32mok\x1b[0m", self.on_terminal("status"))
        self.assertIn("\x1b[32mactive\x1b[0m", self.on_terminal("key", "list"))
        self.assertNotIn("\x1b", self.on_terminal("status", NO_COLOR="1"))
        self.assertNotIn("\x1b", self.on_terminal("status", TERM="dumb"))
        self.assertNotIn("\x1b", self.on_terminal("status", "-o", "json"))
        self.assertNotIn("\x1b", self.kekctl("status"))

    def test_tables_fit_hundred_columns(self):
        for verb in (["status"], ["key", "list"]):
            for line in self.kekctl(*verb).splitlines():
                self.assertLessEqual(len(line), 100, line)

    def test_check(self):
        text = self.kekctl("check", "--count", "20")
        self.assertNotIn("FAIL", text)
        self.assertIn("Encrypt  20 calls: p50 ", text)
        report = self.kekctl_json("check", "--count", "5")
        self.assertTrue(report["ok"])
        self.assertTrue(all(check["ok"] for check in report["checks"]))
        self.assertGreaterEqual(len(report["checks"]), 15)
        self.assertGreater(report["decrypt"]["p50Microseconds"], 0)

    def test_changes_go_through_kekd(self):
        self.kekctl("key", "create")
        self.kekctl("key", "promote", "2")
        self.assertEqual(self.states(), {1: "deactivated", 2: "active"})
        ring = self.ring()
        self.assertEqual((ring["generation"], ring["primaryVersion"]), (3, 2))
        self.refused(3, "key", "promote", "1")
        self.refused(3, "key", "promote", "9")
        self.refused(3, "key", "create", "--backend", "abacus")
        self.kekctl("check", "--count", "1")

        shown = self.kekctl_json("keyring", "show")
        self.assertTrue(self.kekctl_json("keyring", "verify")["good"])
        self.stop()
        # The same, to the letter, from the files.
        self.assertEqual(self.kekctl_json("keyring", "show"), shown)

    def test_kekd_is_the_only_writer(self):
        self.refused(4, "keyring", "accept-rollback", "--generation", "1")
        self.refused(3, "keyring", "init")
        (self.folder / "admin.sock").rename(self.folder / "elsewhere")
        error = self.refused(4, "key", "create")
        self.assertIn("in use by another process", error)
        self.assertRegex(error, rf"locked by pid {self.kekd.pid}, uid {os.geteuid()}, kekd, since \d+-\d+-\d+T")
        self.assertEqual(self.states(), {1: "active"})
        self.assertIn("kekd is not running", self.refused(4, "status"))

    def test_kekd_that_hangs(self):
        self.kekd.send_signal(signal.SIGSTOP)
        self.addCleanup(self.kekd.send_signal, signal.SIGCONT)
        self.assertIn("did not answer in time", self.refused(4, "status"))

    def test_kekd_that_died(self):
        self.kekd.kill()
        self.kekd.wait()
        self.assertIn("kekd is not running", self.refused(4, "status"))
        self.assertIn("kekd is not running", self.refused(4, "check"))
        self.kekctl("key", "create")
        self.start_kekd()
        self.assertEqual(self.ring()["generation"], 2)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_users_that_are_not_allowed(self):
        closed = [folder for folder in BIN.resolve().parents if not folder.stat().st_mode & 0o001]
        if closed:
            self.skipTest(f"another user can't run what lies in {closed[0]}")
        self.folder.chmod(0o755)
        other = {"user": 12345, "group": 12345, "extra_groups": []}
        for verb, name in (("status", "admin.sock"), ("check", "kekd.sock")):
            result = self.run_kekctl(verb, expect=6, **other)
            self.assertIn("Permission denied", result.stderr)
            (self.folder / name).chmod(0o666)
            result = self.run_kekctl(verb, expect=6, **other)
            self.assertIn("uid 12345", result.stderr)
            self.assertIn("allowedUsers", result.stderr)
        self.assertGreaterEqual(self.ring()["refusedConnections"], 1)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_somebody_else_in_kekds_place(self):
        self.stop()
        self.folder.chmod(0o777)
        ready, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setgid(12345)
            os.setuid(12345)
            impostor = socket.socket(socket.AF_UNIX)
            impostor.bind(str(self.folder / "admin.sock"))
            impostor.listen()
            os.write(told, b"x")
            signal.pause()
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        os.read(ready, 1)
        for verb in (("status",), ("key", "create"), ("keyring", "show")):
            self.assertIn(f"is served by uid 12345 (pid {pid})", self.refused(6, *verb))

    def test_changes_are_logged_with_who_made_them(self):
        self.kekctl("key", "create")
        self.assertRegex((self.folder / "kekd.log").read_text(), rf'by="uid {os.geteuid()} \(pid \d+\)"')

    def test_json_of_a_failure_is_on_stdout_and_the_reason_on_stderr(self):
        self.stop()
        record = self.folder / "ring" / "keyring"
        record.write_bytes(record.read_bytes()[:-1])
        result = self.run_kekctl("-o", "json", "keyring", "verify", expect=5)
        self.assertFalse(json.loads(result.stdout)["good"])
        self.assertTrue(result.stderr.startswith("kekctl: "))


if __name__ == "__main__":
    unittest.main()
