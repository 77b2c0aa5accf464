"""A ring key that a token wraps: the token opens the keyring when kekd starts, and what is removed opens nothing any more."""

import os
import pathlib
import shutil
import signal
import struct
import subprocess
import time
import unittest

from harness import parts, token
from harness.cluster import ClusterTestCase
from harness.kekd import KekctlError
from harness.process import ProcessError, wait_for
from hsm import children

UNREACHABLE = 4
DAMAGED = 5
REFUSED = 3


class RingKeyTestCase(ClusterTestCase):
    """Keys in software under a ring key that a token wraps."""

    unlock = ("pkcs11", "keyFile")

    @classmethod
    def set_up_cluster(cls):
        cls.token = cls.make_token()
        cls.kekd = cls.cluster.kekd(token=cls.token, unlock=cls.unlock).init()

    @classmethod
    def make_token(cls):
        made = token.Token(cls.cluster.folder)
        made.init_backend = "software"
        return made

    def refused(self, code, text, *arguments):
        with self.assertRaises(KekctlError) as caught:
            self.kekd.kekctl(*arguments)
        self.assertEqual(caught.exception.code, code, caught.exception)
        self.assertRegex(caught.exception.stderr, text)

    def unlocked_by(self, *ways):
        self.kekd.unlock = list(ways)
        self.kekd.write_configuration()

    def keys(self):
        """Those on the token: the wrap that each is under, by its label."""
        return [(key["label"], key["ringKeyWrap"]) for key in self.kekd.kekctl_json("hsm", "list")["keys"]]

    def wraps(self):
        return {wrap["number"]: wrap["type"] for wrap in self.kekd.kekctl_json("keyring", "wrap", "list")["wraps"]}

    def assert_serves(self):
        self.assertEqual(self.kekd.status()["healthz"], "ok")
        self.kekd.kekctl("check", "--count", "3")

    def end_of_a_start(self):
        """The exit code of a kekd that can't start, and its log."""
        process = self.kekd.process
        mark = process.log_size()
        began = time.monotonic()
        process.start()
        wait_for(lambda: not process.running(), 60, "kekd ends")
        print(f"kekd ended after {time.monotonic() - began:.1f} s", flush=True)
        return process.terminate(), process.log_text(mark)


@unittest.skipIf(token.missing(), token.missing())
class TokenThenKeyFile(RingKeyTestCase):

    def test_1_is_what_it_says(self):
        self.assertEqual(self.wraps(), {1: "pkcs11 key", 2: "key file"})
        self.assertEqual(self.keys(), [("kekd-e2e-ring-key", 1)])
        checked = self.kekd.kekctl("keyring", "wrap", "list", "--check")
        self.assertRegex(checked, r"1 +pkcs11 key +kekd-e2e-ring-key on token e2e .* token e2e\n")
        self.assertNotIn("nothing", checked)
        self.assertIn("kekd-e2e-ring-key on token e2e", self.kekd.kekctl("keyring", "show"))
        self.kekd.kekctl("keyring", "verify")
        self.kekd.kekctl("config", "check")
        doctor = self.kekd.kekctl("hsm", "doctor")
        self.assertRegex(doctor, r"wrap 1 of the ring key: AES-256, opens the ring key")
        self.assertNotIn("does not know", doctor)

    def test_2_opens_it_and_is_not_needed_afterwards(self):
        self.kekd.start()
        self.assertEqual(self.kekd.status()["openedBy"], "token e2e")
        self.assertIn('opened_by="token e2e"', self.kekd.process.log_text())
        self.assertRegex(self.kekd.kekctl("status"), r"opened +by token e2e")
        # The first check of what opens it has a worker of its own for a moment.
        wait_for(lambda: not children(self.kekd.process.pid), 20, "no worker is left")
        self.token.take_away()
        self.assert_serves()
        self.kekd.rotate("software")
        self.assert_serves()

    def test_3_the_key_file_opens_it_while_the_token_is_away(self):
        self.kekd.stop()
        self.kekd.start()
        status = self.kekd.status()
        self.assertEqual(status["openedBy"], f"key file {self.kekd.key_file()}")
        self.assert_serves()
        warned = wait_for(lambda: [text for text in self.kekd.status()["warnings"] if "token e2e" in text], 20, "a warning")
        self.assertRegex(warned[0], "token e2e does not open the keyring: C_Initialize: CKR_GENERAL_ERROR")
        self.assertRegex(self.kekd.kekctl("keyring", "wrap", "list", "--check"), "opens none of them.*: token e2e: ")
        # Nor can a ring key be changed that it would have to wrap anew.
        self.refused(UNREACHABLE, "nothing was changed: wrap 1 .* stays", "keyring", "wrap", "remove", "2")

    def test_4_is_tried_again_after_a_reload(self):
        self.token.give_back()
        self.kekd.process.send(signal.SIGHUP)
        wait_for(lambda: not [text for text in self.kekd.status()["warnings"] if "token e2e" in text], 60, "no warning")
        self.unlocked_by("keyFile", "pkcs11")
        self.kekd.stop()
        self.kekd.start()
        self.assertEqual(self.kekd.status()["openedBy"], f"key file {self.kekd.key_file()}")
        self.unlocked_by("pkcs11")
        self.kekd.process.send(signal.SIGHUP)
        wait_for(lambda: self.kekd.status()["openedBy"] == "token e2e", 20, "the token opens it")

    def test_5_a_backup_opens_without_the_token(self):
        backup = self.cluster.folder / "e2e.backup"
        words = self.cluster.folder / "words"
        words.touch(mode=0o600)
        words.write_text("correct horse battery staple\n")
        opening = ("--passphrase-file", str(words))
        self.kekd.kekctl("keyring", "backup", "--out", str(backup), *opening)
        self.kekd.stop()
        self.kekd.keyring_folder().rename(self.cluster.folder / "lost")
        self.kekd.keyring_folder().mkdir(mode=0o700)
        self.token.take_away()
        self.kekd.kekctl("keyring", "verify", "--backup", str(backup), *opening)
        # The configuration says that the token opens it: that can't be known now.
        self.refused(UNREACHABLE, "token e2e: C_Initialize", "keyring", "restore", "--backup", str(backup), *opening)
        self.unlocked_by("keyFile")
        self.kekd.kekctl("keyring", "restore", "--backup", str(backup), *opening)
        self.kekd.start()
        self.assert_serves()
        self.token.give_back()


@unittest.skipIf(token.missing(), token.missing())
class TokenAlone(RingKeyTestCase):

    unlock = ("pkcs11",)

    def test_1_without_it_kekd_ends_and_says_why(self):
        self.kekd.start()
        self.assert_serves()
        self.kekd.stop()
        self.token.take_away()
        code, log = self.end_of_a_start()
        self.assertEqual(code, UNREACHABLE)
        self.assertRegex(log, "can't open the ring key of keyring .*token e2e: C_Initialize: CKR_GENERAL_ERROR")
        self.refused(UNREACHABLE, "token e2e", "keyring", "show")
        self.token.give_back()
        self.kekd.start()
        self.assert_serves()
        self.kekd.stop()

    def test_2_another_key_of_the_same_name_is_refused(self):
        (key,) = self.kekd.kekctl_json("hsm", "list")["keys"]
        mine = self.token.files()
        kept = self.cluster.folder / "mine"
        mine.rename(kept)
        other = token.Token(self.cluster.folder)  # of the same name, with no key on it
        self.token = type(self).token = other
        code, log = self.end_of_a_start()
        self.assertEqual(code, DAMAGED)
        self.assertRegex(log, "token e2e does not open this keyring: the token has no secret key")
        importer = parts.__file__.replace("e2e/harness/parts.py", "hsm/tokens/import_key.py")
        subprocess.run([importer, other.values["MODULE"], token.LABEL, token.PIN, key["label"], key["id"]],
                       input=os.urandom(32), check=True, env={**os.environ, **other.environment})
        code, log = self.end_of_a_start()
        self.assertEqual(code, DAMAGED)
        self.assertRegex(log, "token e2e does not open this keyring: its key of that name is another than the one")
        shutil.rmtree(mine)
        kept.rename(mine)
        self.kekd.start()
        self.assert_serves()
        self.kekd.stop()


@unittest.skipIf(token.missing(), token.missing())
class AddedAndRemoved(RingKeyTestCase):

    unlock = ("keyFile",)

    def test_1_is_added_while_kekd_runs(self):
        self.kekd.start()
        added = self.kekd.kekctl("keyring", "wrap", "add", "--pkcs11")
        self.assertIn("added wrap 2 of keyring e2e: kekd-e2e-ring-key on token e2e", added)
        self.assertIn("kekd does not use it", added)
        self.refused(REFUSED, r"token e2e opens wrap 2 \(pkcs11 key kekd-e2e-ring-key on token e2e\) already",
                     "keyring", "wrap", "add", "--pkcs11")
        self.refused(2, "--label is not for --pkcs11", "keyring", "wrap", "add", "--pkcs11", "--label", "x")
        self.assertEqual(self.keys(), [("kekd-e2e-ring-key", 2)])

    def test_2_stays_under_its_key_when_another_is_removed(self):
        self.kekd.kekctl("keyring", "new-key-file", str(self.cluster.folder / "third.key"))
        self.kekd.kekctl("keyring", "wrap", "add", "--key-file", str(self.cluster.folder / "third.key"))
        removed = self.kekd.kekctl("keyring", "wrap", "remove", "3", "--pkcs11")
        self.assertNotIn("destroyed: ", removed)
        self.assertEqual(self.keys(), [("kekd-e2e-ring-key", 2)])
        self.assertIn("opens the ring key", self.kekd.kekctl("hsm", "doctor"))
        self.assert_serves()

    def test_3_removed_its_key_is_destroyed_and_an_old_copy_opens_nothing_newer(self):
        record = self.kekd.keyring_folder() / "keyring"
        old_record = record.read_bytes()
        old_token = self.cluster.folder / "old-token"
        shutil.copytree(self.token.files(), old_token)
        removed = self.kekd.kekctl("keyring", "wrap", "remove", "2")
        self.assertIn("Its key on the token was destroyed: kekd-e2e-ring-key on token e2e", removed)
        self.assertEqual(self.keys(), [])
        self.kekd.rotate("software")
        self.assert_serves()
        self.kekd.stop()
        # Somebody has the token as it was, with its PIN.
        shutil.rmtree(self.token.files())
        shutil.copytree(old_token, self.token.files())
        self.assertEqual(self.keys(), [("kekd-e2e-ring-key", None)])
        self.assertIn("does not know", self.kekd.kekctl("hsm", "doctor"))
        self.unlocked_by("pkcs11")
        self.refused(REFUSED, "no wrap of type", "keyring", "show")
        new_record = record.read_bytes()
        record.write_bytes(old_record)
        self.refused(DAMAGED, "high-water file", "keyring", "show")
        record.write_bytes(new_record)
        self.unlocked_by("keyFile")
        self.kekd.start()
        self.assert_serves()

    def test_4_a_token_that_is_away_keeps_its_key_and_that_is_said(self):
        self.kekd.kekctl("keyring", "wrap", "add", "--pkcs11")
        self.token.take_away()
        self.refused(1, "its key was not destroyed on the token: kekd-e2e-ring-key on token e2e", "keyring", "wrap", "remove",
                     str(max(self.wraps())))
        self.token.give_back()
        self.assertEqual(self.wraps(), {1: "key file"})
        self.assertEqual(self.keys().count(("kekd-e2e-ring-key", None)), 2)

    def test_5_killed_between_key_and_record_it_is_seen(self):
        known = len(self.keys())
        for _ in range(10):
            files = set(self.token.files().rglob("*.object"))
            kekctl = subprocess.Popen([parts.program("kekctl"), "--config", str(self.kekd.config), "keyring", "wrap", "add", "--pkcs11"],
                                      env=self.kekd.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            try:
                wait_for(lambda: set(self.token.files().rglob("*.object")) - files, 20, "a key on the token", interval=0.001)
            finally:
                kekctl.send_signal(signal.SIGKILL)
                kekctl.wait()
            if self.wraps() == {1: "key file"}:
                break
            # It was too late for it: once more.
            self.kekd.kekctl("keyring", "wrap", "remove", str(max(self.wraps())))
        self.assertEqual(self.wraps(), {1: "key file"})
        # A module that was killed while it wrote may have left no key that it would list.
        self.assertLessEqual(known, len(self.keys()))
        self.assertEqual({wrap for _, wrap in self.keys()}, {None})
        self.kekd.kekctl("keyring", "wrap", "add", "--pkcs11")
        self.assertIn(("kekd-e2e-ring-key", max(self.wraps())), self.keys())
        self.assert_serves()


FAULTS = pathlib.Path(parts.program("kekd")).resolve().parents[1] / "lib" / "libp11fault.so"


@unittest.skipIf(token.missing() or not FAULTS.exists(), f"no SoftHSM2, or no {FAULTS}")
class FaultyToken(RingKeyTestCase):
    """A module in front of SoftHSM2 that does what a test orders (tests/hsm/p11fault)."""

    @classmethod
    def make_token(cls):
        made = token.Token(cls.cluster.folder, module=FAULTS)
        made.init_backend = "software"
        cls.control = cls.cluster.folder / "control"
        made.environment["P11FAULT_CONTROL"] = str(cls.control)
        cls.softhsm = made.values["MODULE"]
        cls.order()
        return made

    @classmethod
    def order(cls, *lines):
        new = cls.control.with_name("control.new")
        new.write_text("\n".join([f"module {cls.softhsm}", *lines, ""]))
        new.rename(cls.control)

    def logins(self):
        """How many PINs the token was sent."""
        calls = self.control.with_name("control.counters") / "calls"
        for name, count, *_ in struct.iter_unpack("<32s3Q", calls.read_bytes()):
            if name.rstrip(b"\0") == b"C_Login":
                return count
        raise AssertionError("p11fault counts no C_Login")

    def test_1_one_that_hangs_is_passed_over(self):
        for call in ("C_Initialize", "C_Login", "C_DecryptInit"):
            with self.subTest(call):
                self.order(f"{call} hang always")
                began = time.monotonic()
                self.kekd.start()
                took = time.monotonic() - began
                print(f"{call} hangs: kekd is ready after {took:.1f} s", flush=True)
                self.assertLess(took, 25)  # 10 s of patience, and a busy machine
                self.assertEqual(self.kekd.status()["openedBy"], f"key file {self.kekd.key_file()}")
                self.assert_serves()
                # The check of what opens it is at it, and holds up no reload and no call.
                began = time.monotonic()
                mark = self.kekd.process.log_size()
                self.kekd.process.send(signal.SIGHUP)
                wait_for(lambda: "reloaded" in self.kekd.process.log_text(mark), 5, "the reload", interval=0.02)
                self.assert_serves()
                self.order()
                self.kekd.stop()

    def test_2_a_wrong_pin_is_sent_once(self):
        self.token.pin_file.write_text("wrong-4711")
        before = self.logins()
        for _ in range(4):
            self.kekd.start()  # by the key file
            wait_for(lambda: [text for text in self.kekd.status()["warnings"] if "token e2e" in text], 20, "a warning")
            self.kekd.kekctl("keyring", "wrap", "list", "--check")
            self.kekd.stop()
        self.assertEqual(self.logins() - before, 1)
        self.token.pin_file.write_text(token.PIN)
        self.kekd.start()
        self.assertEqual(self.kekd.status()["openedBy"], "token e2e")
        self.kekd.stop()


class TpmAlone(RingKeyTestCase):
    """What it is for most of all: a TPM keeps the ring key, kekd works in software."""

    unlock = ("pkcs11",)

    @classmethod
    def make_token(cls):
        made = token.Tpm(cls.cluster.folder)
        if made.missing:
            raise unittest.SkipTest(made.missing)
        cls.addClassCleanup(made.destroy)
        return made

    def test_opens_and_is_waited_for(self):
        self.kekd.start()
        self.assertEqual(self.kekd.status()["openedBy"], "token tpm")
        self.assertEqual(self.keys(), [("kekd-e2e-ring-key", 1)])
        self.assertIn("opens the ring key", self.kekd.kekctl("hsm", "doctor"))
        self.token.take_away()
        self.assert_serves()
        self.kekd.stop()
        code, log = self.end_of_a_start()
        self.assertNotEqual(code, 0)
        self.assertIn("token tpm: ", log)
        self.token.give_back()
        # As systemd does it.
        wait_for(self._starts, 60, "kekd starts with the TPM that is back", interval=1)
        self.assert_serves()
        self.kekd.kekctl("keyring", "new-key-file", str(self.kekd.key_file()))
        self.kekd.kekctl("keyring", "wrap", "add", "--key-file", str(self.kekd.key_file()))
        self.unlocked_by("keyFile")
        self.kekd.process.send(signal.SIGHUP)
        wait_for(lambda: self.kekd.status()["openedBy"] != "token tpm", 20, "the key file opens it")
        self.assertIn("was destroyed", self.kekd.kekctl("keyring", "wrap", "remove", "1"))
        self.assertEqual(self.keys(), [])
        self.assert_serves()

    def _starts(self):
        try:
            self.kekd.start()
            return True
        except ProcessError:
            return False
