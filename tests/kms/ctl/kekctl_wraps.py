"""What opens a keyring, as an operator changes it: prompts, credentials, a running kekd, two at once, and kills."""

import os
import pathlib
import pty
import random
import select
import shutil
import signal
import subprocess
import threading
import time
import unittest

from kekctl_harness import BIN, KekctlTestCase

PASSPHRASE = "correct horse battery staple"


class Wraps(KekctlTestCase):

    def setUp(self):
        super().setUp()
        self.kekctl("keyring", "init")
        self.passphrase = self.folder / "passphrase"
        self.write_secret(self.passphrase, PASSPHRASE + "\n")

    @staticmethod
    def write_secret(path, text):
        path.touch(mode=0o600)
        path.write_text(text)

    def unlock_with(self, *ways):
        """Changes the configuration's unlock list."""
        head, tail = self.config.read_text().split("  unlock:")
        tail = tail[tail.index("  socket:"):]
        self.config.write_text(f"{head}  unlock: [{', '.join(ways)}]\n{tail}")

    def kekd_log(self):
        return (self.folder / "kekd.log").read_text()

    def wraps(self):
        return {wrap["number"]: wrap for wrap in self.kekctl_json("keyring", "wrap", "list")["wraps"]}

    def at_terminal(self, answers, *arguments):
        """Runs kekctl with a terminal of its own on which `answers` are typed; its exit code and what was shown."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(BIN / "kekctl", ["kekctl", "--config", str(self.config), *arguments])
        shown = b""
        answers = list(answers)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                chunk = os.read(terminal, 4096)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
            if answers and shown.rstrip().endswith(b":"):
                os.write(terminal, answers.pop(0).encode() + b"\n")
        else:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        return os.waitstatus_to_exitcode(status), shown.decode()

    def test_prompt_shows_nothing_and_asks_twice(self):
        code, shown = self.at_terminal([PASSPHRASE, PASSPHRASE], "keyring", "wrap", "add", "--passphrase-prompt")
        self.assertEqual(code, 0, shown)
        self.assertNotIn("horse", shown)
        self.assertIn("once more", shown)
        code, shown = self.at_terminal([PASSPHRASE, "another thing"], "keyring", "wrap", "add", "--passphrase-prompt")
        self.assertEqual(code, 2, shown)
        self.assertIn("differ", shown)
        self.assertEqual(len(self.wraps()), 2)
        code, shown = self.at_terminal(["too short"], "keyring", "wrap", "add", "--passphrase-prompt")
        self.assertEqual(code, 2, shown)
        self.assertIn("it must have 12", shown)
        self.assertNotIn("once more", shown)
        # And it opens: once asked, once typed.
        self.unlock_with("{passphrase: {prompt: true}}")
        code, shown = self.at_terminal([PASSPHRASE], "keyring", "verify")
        self.assertEqual(code, 0, shown)
        code, shown = self.at_terminal(["wrong " + PASSPHRASE], "keyring", "verify")
        self.assertEqual(code, 5, shown)

    def test_prompt_without_a_terminal(self):
        result = subprocess.run([BIN / "kekctl", "--config", self.config, "keyring", "wrap", "add", "--passphrase-prompt"],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                                start_new_session=True)
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("there is no terminal", result.stderr)

    def test_relative_paths_are_those_of_the_configuration(self):
        folder = pathlib.Path.cwd()
        self.addCleanup(os.chdir, folder)
        kekctl, ring_key = (BIN / "kekctl").absolute(), self.folder / "ring.key"
        self.unlock_with("{keyFile: '%s'}" % ring_key, "{keyFile: '%s'}" % (self.folder / "second.key"))
        os.chdir(self.folder)
        for arguments in (["keyring", "new-key-file", "second.key"],
                          ["keyring", "wrap", "add", "--key-file", "./second.key"],
                          ["keyring", "backup", "--out", "prod.backup", "--passphrase-file", "passphrase"]):
            result = subprocess.run([kekctl, "--config", self.config, *arguments], capture_output=True, text=True,
                                    timeout=60)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertNotIn("kekd does not use it", result.stdout)
            self.assertRegex(result.stdout, str(self.folder / "(second.key|prod.backup)"))
        os.chdir(folder)
        self.assertEqual(self.wraps()[2]["reference"], str(self.folder / "second.key"))

    def test_secrets_are_never_arguments(self):
        self.refused(2, "keyring", "wrap", "add", "--passphrase", PASSPHRASE)
        self.refused(2, "keyring", "wrap", "add", PASSPHRASE)

    def test_cold_start_survives_the_loss_of_all_but_one(self):
        self.kekctl("keyring", "wrap", "add", "--passphrase-file", self.passphrase)
        self.unlock_with("{keyFile: '%s'}" % (self.folder / "ring.key"), "{passphrase: {file: '%s'}}" % self.passphrase)
        (self.folder / "ring.key").unlink()
        kekd = self.start_kekd()
        self.kekctl("check", "--count", "3")
        kekd.send_signal(signal.SIGTERM)
        self.assertEqual(kekd.wait(30), 0)
        # With the last one lost too, it says of each why.
        self.passphrase.rename(self.folder / "gone")
        text = self.refused(3, "key", "list")
        self.assertIn("ring.key", text)
        self.assertIn("passphrase file", text)

    def wait_until(self, condition):
        deadline = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), deadline, self.kekd_log())
            time.sleep(0.05)

    def unlock_warnings(self):
        return [text for text in self.kekctl_json("status")["keyrings"][0]["warnings"] if "unlock" in text]

    def test_part_of_the_unlock_list_that_no_longer_opens_the_ring_is_told(self):
        """Where another part opens it, nothing else would tell until that one is lost too."""
        self.kekctl("keyring", "wrap", "add", "--passphrase-file", self.passphrase)
        other = self.folder / "other.key"
        self.kekctl("keyring", "new-key-file", other)
        key_file = self.folder / "ring.key"
        self.unlock_with("{keyFile: '%s'}" % other, "{keyFile: '%s'}" % key_file,
                         "{passphrase: {file: '%s'}}" % self.passphrase, "{passphrase: {prompt: true}}")
        self.write_secret(self.passphrase, "another passphrase than the ring's")
        kekd = self.start_kekd()
        self.assertIn(f'opened_by="key file {key_file}"', self.kekd_log())
        self.wait_until(lambda: len(self.unlock_warnings()) == 2)
        first, second = self.unlock_warnings()
        self.assertIn(f"key file {other} does not open the keyring: it is the key file of another one", first)
        self.assertIn(f"passphrase file {self.passphrase} does not open the keyring: ", second)
        self.assertIn("mend that, or take it out", second)
        self.assertIn(f"warning  key file {other} does not open", self.kekctl("status"))
        self.assertEqual(self.kekd_log().count("does not open the keyring"), 2, self.kekd_log())
        self.assertNotIn("another passphrase", self.kekd_log())
        # A reload looks again, and what was mended is no longer complained of.
        self.write_secret(self.passphrase, PASSPHRASE)
        other.unlink()
        kekd.send_signal(signal.SIGHUP)
        self.wait_until(lambda: len(self.unlock_warnings()) == 1)
        self.assertIn(f"key file {other} does not open the keyring: it does not exist", self.unlock_warnings()[0])
        self.unlock_with("{passphrase: {file: '%s'}}" % self.passphrase, "{keyFile: '%s'}" % key_file)
        kekd.send_signal(signal.SIGHUP)
        self.wait_until(lambda: not self.unlock_warnings())
        self.assertIn(f'opened_by="passphrase file {self.passphrase}"', self.kekd_log())

    def test_credential(self):
        credentials = self.folder / "credentials"
        credentials.mkdir(0o700)
        key = subprocess.run([BIN / "kekctl", "keyring", "new-key-file", "-"], stdout=subprocess.PIPE, check=True).stdout
        self.assertRegex(key, rb"^kekd-key-file-1 [0-9a-f]{64} [0-9a-f]{8}\n$")
        (credentials / "kekd-prod").write_bytes(key)
        (credentials / "kekd-prod").chmod(0o400)
        os.environ["CREDENTIALS_DIRECTORY"] = str(credentials)
        self.addCleanup(os.environ.pop, "CREDENTIALS_DIRECTORY", None)
        self.kekctl("keyring", "wrap", "add", "--credential", "kekd-prod")
        self.unlock_with("{credential: kekd-prod}")
        self.start_kekd()
        self.kekctl("keyring", "wrap", "remove", "1")
        self.assertEqual({number: wrap["type"] for number, wrap in self.wraps().items()}, {2: "credential"})
        os.environ.pop("CREDENTIALS_DIRECTORY")
        self.assertIn("LoadCredential=kekd-prod", self.refused(3, "keyring", "wrap", "list", "--check"))

    def test_removing_through_a_running_kekd(self):
        second = self.folder / "second.key"
        self.kekctl("keyring", "new-key-file", second)
        self.kekctl("keyring", "wrap", "add", "--key-file", second)
        kekd = self.start_kekd()
        # What kekd starts with must not be taken away from it.
        self.assertIn("unlock", self.refused(5, "keyring", "wrap", "remove", "1", "--key-file", second))
        self.unlock_with("{keyFile: '%s'}" % second)
        kekd.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while "reloaded" not in self.kekd_log():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.kekctl("key", "create")
        self.kekctl("keyring", "wrap", "remove", "1")
        self.kekctl("key", "promote", "2")
        self.kekctl("check", "--count", "3")
        self.assertEqual(list(self.wraps()), [2])
        kekd.send_signal(signal.SIGTERM)
        self.assertEqual(kekd.wait(30), 0)
        self.assertTrue(self.kekctl_json("keyring", "verify")["good"])
        self.unlock_with("{keyFile: '%s'}" % (self.folder / "ring.key"))
        self.assertIn("does not open", self.refused(5, "key", "list"))

    def upgrade(self, expect, *arguments):
        """The documented procedure."""
        script = pathlib.Path(__file__).parents[3] / "docs/procedures/upgrade.sh"
        environment = os.environ | {"KEKCTL": f"{BIN / 'kekctl'} --config {self.config}",
                                    "INSTALL": f"touch {self.folder}/installed", "RESTART_KEKD": ":"}
        result = subprocess.run([script, *arguments], env=environment, capture_output=True, text=True, timeout=120)
        self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        return result.stdout

    def test_upgrade_of_a_ring_that_an_older_kekd_made(self):
        golden = pathlib.Path(__file__).parents[2] / "keystore/testdata"
        shutil.rmtree(self.folder / "ring")
        shutil.rmtree(self.folder / "state")
        for folder in ("ring", "state"):
            (self.folder / folder).mkdir(0o700)
        for name, place in (("record", "ring/keyring"), ("key", "ring.key"),
                            ("high-water", "state/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0.high-water")):
            shutil.copyfile(golden / f"keyring_v1.{name}", self.folder / place)
            (self.folder / place).chmod(0o600)
        # It is served and changed as it is.
        kekd = self.start_kekd()
        self.kekctl("check", "--count", "3")
        self.kekctl("key", "create")
        self.assertEqual(self.kekctl_json("keyring", "show")["format"], 1)
        self.assertIn("keyring upgrade", self.refused(3, "keyring", "wrap", "add", "--passphrase-file", self.passphrase))
        self.assertIn("keyring backup", self.refused(3, "keyring", "upgrade"))
        self.upgrade(1)
        self.assertFalse((self.folder / "installed").exists())
        self.run_kekctl("keyring", "backup", "--out", self.folder / "prod.backup", "--passphrase-file", self.passphrase)
        self.upgrade(0)
        self.upgrade(0, "format")
        self.refused(3, "keyring", "upgrade")
        self.kekctl("keyring", "wrap", "add", "--passphrase-file", self.passphrase)
        self.kekctl("check", "--count", "3")
        # Which backups a removal leaves readable is said.
        self.assertIn("prod.backup", self.kekctl("keyring", "wrap", "remove", "2"))
        kekd.send_signal(signal.SIGTERM)
        self.assertEqual(kekd.wait(30), 0)
        shown = self.kekctl_json("keyring", "show")
        self.assertEqual((shown["format"], shown["ringKeyNumber"], len(shown["versions"])), (4, 2, 5))

    def test_of_two_at_once_one_wins_and_the_other_is_told(self):
        self.start_kekd()
        keys = [self.folder / f"key.{i}" for i in range(6)]
        for key in keys:
            self.kekctl("keyring", "new-key-file", key)
        results = {}

        def add(key):
            results[key] = subprocess.run([BIN / "kekctl", "--config", self.config, "keyring", "wrap", "add", "--key-file", key],
                                          capture_output=True, text=True, timeout=120)

        threads = [threading.Thread(target=add, args=(key,)) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = [key for key, result in results.items() if result.returncode == 0]
        self.assertGreaterEqual(len(won), 1)
        for result in results.values():
            if result.returncode != 0:
                self.assertEqual(result.returncode, 3, result.stderr)
                self.assertRegex(result.stderr, r"by uid \d+ \(pid \d+\): added wrap")
        self.assertEqual(sorted(self.wraps()), list(range(1, len(won) + 2)))

    def test_killed_kekctl_leaves_nothing_half_done(self):
        second = self.folder / "second.key"
        self.kekctl("keyring", "new-key-file", second)
        generator = random.Random(2026)
        for running in (False, True):
            kekd = self.start_kekd() if running else None
            for _ in range(12):
                wraps = self.wraps()
                extra = [number for number in wraps if number != 1]
                verb = (["remove", str(extra[0])] if extra else ["add", "--key-file", second])
                killed = subprocess.Popen([BIN / "kekctl", "--config", self.config, "keyring", "wrap", *verb],
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(generator.uniform(0, 0.06))
                killed.kill()
                killed.wait()
                # What a kekd that was asked still has to do is done by the time it answers again.
                after = self.wraps()
                self.assertIn(1, after)
                self.assertLessEqual(len(after), 2)
                self.assertTrue(self.kekctl_json("keyring", "verify")["good"])
            if kekd is not None:
                kekd.send_signal(signal.SIGTERM)
                self.assertEqual(kekd.wait(30), 0)


if __name__ == "__main__":
    unittest.main()
