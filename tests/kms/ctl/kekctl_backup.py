"""Backup, verify and restore by kekctl: what opens what, every refusal with its exit code, and what is left on the disk."""

import hashlib
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import time
import unittest

from kekctl_harness import BIN, KekctlTestCase

PASSPHRASE = "correct horse battery staple"


class Backup(KekctlTestCase):

    def setUp(self):
        super().setUp()
        self.backup = self.folder / "prod.backup"
        self.words = self.secret("words", PASSPHRASE + "\n")
        self.shares = self.folder / "shares"
        self.shares.mkdir(mode=0o700)

    def secret(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def make(self, *options):
        return self.kekctl_json("keyring", "backup", "--out", str(self.backup), *(options or ("--passphrase-file", str(self.words))))

    def make_shares(self, numbers="2/3"):
        return self.make("--shares", numbers, "--share-dir", str(self.shares))["shareFiles"]

    def restore(self, *options):
        return ["keyring", "restore", "--backup", str(self.backup), *(options or ("--passphrase-file", str(self.words)))]

    def lose(self, *names):
        for name in names or ("ring", "state", "ring.key"):
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def files(self):
        return {path: path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file()}

    def refused_without_a_trace(self, code, *arguments):
        before = self.files()
        message = self.refused(code, *arguments)
        self.assertEqual(self.files(), before, "something was written")
        return message

    def test_round_trip_with_a_passphrase(self):
        self.kekctl("keyring", "init")
        self.kekctl("key", "create")
        versions = self.kekctl_json("key", "list")["versions"]
        made = self.make()
        self.assertEqual(made["openedBy"], {"type": "passphrase"})
        self.assertEqual([version["proof"] for version in made["versions"]], ["proven", "proven"])
        self.assertTrue(made["recorded"])
        self.assertEqual(self.backup.stat().st_mode & 0o7777, 0o600)
        self.assertIn("nothing is overwritten", self.refused_without_a_trace(
            3, "keyring", "backup", "--out", str(self.backup), "--passphrase-file", str(self.words)))

        verified = self.kekctl_json("keyring", "verify", "--backup", str(self.backup), "--passphrase-file", str(self.words))
        self.assertEqual(verified["current"], {"generation": 2, "covered": True, "missingVersions": []})
        self.kekctl("key", "create")
        verified = self.kekctl_json("keyring", "verify", "--backup", str(self.backup), "--passphrase-file", str(self.words))
        self.assertEqual(verified["current"], {"generation": 3, "covered": False, "missingVersions": [3]})
        self.assertIn("does NOT hold key version 3",
                      self.kekctl("keyring", "verify", "--backup", str(self.backup), "--passphrase-file", str(self.words)))

        self.lose()
        restored = self.kekctl_json(*self.restore())
        self.assertEqual(restored["newKeyFiles"], [str(self.folder / "ring.key")])
        self.assertEqual(restored["backup"]["generation"], 2)
        self.assertEqual(restored["generation"], 3)  # with a wrap by the new key file
        after = self.kekctl_json("key", "list")["versions"]
        self.assertEqual([version["keyId"] for version in after], [version["keyId"] for version in versions])
        self.assertTrue(self.kekctl_json("keyring", "verify")["good"])
        # Everything goes on as with any ring.
        self.kekctl("key", "promote", "2")
        self.assertEqual(self.kekctl_json("key", "list")["generation"], 4)

    def test_round_trip_with_shares(self):
        self.kekctl("keyring", "init")
        files = self.make_shares()
        self.assertEqual(len(files), 3)
        for path in files:
            self.assertEqual(os.stat(path).st_mode & 0o7777, 0o600)
        self.lose()
        verified = self.kekctl_json("keyring", "verify", "--backup", str(self.backup), "--share", files[0], "--share", files[2])
        self.assertIsNone(verified["current"])
        self.assertIsNone(verified["recorded"])
        self.assertEqual(self.files().keys() & {self.folder / "ring" / "keyring"}, set())
        self.assertEqual(self.kekctl_json(*self.restore("--share", files[2], "--share", files[1]))["keyring"], "prod")
        self.assertEqual(self.states(), {1: "active"})

    def test_key_file_that_is_there_still_opens_the_restored_ring(self):
        self.kekctl("keyring", "init")
        self.kekctl("key", "create")
        self.make()
        record = (self.folder / "ring" / "keyring").read_bytes()
        self.lose("ring", "state")
        restored = self.kekctl_json(*self.restore())
        self.assertEqual((restored["generation"], restored["newUnlocks"], restored["newKeyFiles"]), (2, [], []))
        self.assertEqual((self.folder / "ring" / "keyring").read_bytes(), record)

    def test_usage(self):
        self.kekctl("keyring", "init")
        out = ["keyring", "backup", "--out", str(self.backup)]
        file = ["--passphrase-file", str(self.words)]
        for arguments, part in (
                (out, "missing"), ([*out, *file, "--passphrase-prompt"], "only one"), ([*out, *file, "--shares", "2/3"], "only one"),
                ([*out, *file, "--share-dir", str(self.shares)], "goes with"), ([*out, "--shares", "2/3"], "either"),
                ([*out, "--shares", "2/3", "--share-dir", "x", "--share-words", "stdout"], "either"),
                ([*out, "--shares", "2-3", "--share-dir", "x"], "K/N"), ([*out, "--shares", "4/3", "--share-dir", "x"], "can't be made"),
                ([*out, "--shares", "1/3", "--share-dir", "x"], "can't be made"), ([*out, "--shares", "2/17", "--share-dir", "x"], "can't be made"),
                (["keyring", "backup", *file], "--out"), (["keyring", "restore", *file], "--backup"),
                (["keyring", "verify", *file], "--backup FILE is missing"), (["keyring", "init", *file], "--backup FILE is missing")):
            self.assertIn(part, self.refused_without_a_trace(2, *arguments), arguments)
        self.assertIn("does not exist", self.refused_without_a_trace(3, "keyring", "backup", "--out", str(self.folder / "no" / "x"), *file))
        self.assertIn("does not exist", self.refused_without_a_trace(3, *out, "--shares", "2/3", "--share-dir", str(self.folder / "no")))
        self.assertIn("12", self.refused_without_a_trace(2, *out, "--passphrase-file", str(self.secret("weak", "secret"))))
        self.assertIn("chmod 0600", self.make_readable_and_refuse(out))

    def make_readable_and_refuse(self, out):
        self.words.chmod(0o644)
        return self.refused_without_a_trace(6, *out, "--passphrase-file", str(self.words))

    def test_what_does_not_open_a_backup(self):
        self.kekctl("keyring", "init")
        self.make()
        self.lose()
        wrong = self.secret("wrong", "correct horse battery stable")
        self.assertIn("does not open the backup", self.refused_without_a_trace(2, *self.restore("--passphrase-file", str(wrong))))
        self.assertIn("does not exist", self.refused_without_a_trace(3, *self.restore("--passphrase-file", str(self.folder / "no"))))
        self.assertIn("does not open the backup", self.refused_without_a_trace(
            2, "keyring", "verify", "--backup", str(self.backup), "--passphrase-file", str(wrong)))
        good = self.backup.read_bytes()
        for damaged, part in ((good[:-7], "cut off"), (good[:5], "no backup"), (b"", "empty"), (good + b"x", "too many"),
                              (good[:200] + bytes([good[200] ^ 1]) + good[201:], "SHA-256")):
            self.backup.write_bytes(damaged)
            self.assertIn(part, self.refused_without_a_trace(5, *self.restore()))
        self.backup.unlink()
        self.refused_without_a_trace(3, *self.restore())

    def test_shares_that_do_not_open_a_backup(self):
        self.kekctl("keyring", "init")
        foreign = self.folder / "foreign"
        foreign.mkdir(mode=0o700)
        other = self.kekctl_json("keyring", "backup", "--out", str(self.folder / "other.backup"), "--shares", "2/3", "--share-dir", str(foreign))
        files = self.make_shares()
        self.lose()

        def refused(code, *shares):
            return self.refused_without_a_trace(code, *self.restore(*[part for share in shares for part in ("--share", str(share))]))

        self.assertIn("1 share was given, and 2 of the 3 are needed", refused(2, files[0]))
        self.assertIn("is there twice", refused(2, files[0], files[0]))
        self.assertIn("is a share of another backup", refused(2, files[0], other["shareFiles"][1]))
        self.assertIn("opened by any 2 of 3 shares", self.refused_without_a_trace(2, *self.restore()))
        text = pathlib.Path(files[1]).read_text()
        self.assertIn("check digits", refused(5, files[0], self.secret("damaged", text[:-5] + ("0" if text[-5] != "0" else "1") + text[-4:])))
        self.assertIn("96", refused(2, files[0], self.secret("short", text[:-9])))
        self.assertIn("word 2 (in line 1)", refused(2, files[0], self.secret("typed", "babab lusax")))
        self.assertIn("chmod 0600", self.share_that_others_can_read(refused, files))

    def share_that_others_can_read(self, refused, files):
        os.chmod(files[1], 0o640)
        return refused(6, files[0], files[1])

    def test_ring_in_the_way(self):
        self.kekctl("keyring", "init")
        self.make()
        self.kekctl("key", "create")
        (self.folder / "ring" / "keyring.lock").unlink()
        message = self.refused_without_a_trace(3, *self.restore())
        self.assertIn("the same one, of generation 2", message)
        self.assertIn("the backup is of generation 1", message)
        self.assertIn("move the folder", message)
        self.start_kekd()
        self.assertIn("stop that first", self.refused(3, *self.restore()))

    def test_older_than_what_was_here(self):
        self.kekctl("keyring", "init")
        self.make()
        self.kekctl("key", "create")
        self.lose("ring")
        message = self.refused_without_a_trace(3, *self.restore())
        self.assertIn("of generation 1, but generation 2 was committed here", message)
        self.assertIn("'--accept-generation 1'", message)
        self.assertIn("not 2", self.refused_without_a_trace(3, *self.restore(), "--accept-generation", "2"))
        self.assertIn("generation 2, which was committed here", self.kekctl(*self.restore(), "--accept-generation", "1"))
        self.assertEqual(self.states(), {1: "active"})
        self.lose("ring")
        # The word is not needed a second time, and overrules nothing then.
        self.assertIsNone(self.kekctl_json(*self.restore(), "--accept-generation", "1")["overruled"])
        self.kekctl("key", "create")
        self.assertEqual(self.kekctl_json("key", "list")["generation"], 3, "a number came back")

    def test_verify_tells_a_keyring_that_is_not_here_from_one_that_cant_be_opened(self):
        self.kekctl("keyring", "init")
        self.make()
        verify = ["keyring", "verify", "--backup", str(self.backup), "--passphrase-file", str(self.words)]
        self.lose("ring.key")
        result = self.run_kekctl(*verify, expect=3)
        self.assertIn("could not be compared with the keyring here", result.stderr)
        self.assertIn("ring.key", result.stderr)
        self.assertIn("It was not compared", result.stdout)
        self.assertIs(json.loads(self.run_kekctl("-o", "json", *verify, expect=3).stdout)["recorded"], False)
        self.lose("ring")
        self.assertIn("Its keyring is not here", self.kekctl(*verify))

    def test_verify_on_a_host_with_another_keyring(self):
        self.kekctl("keyring", "init")
        self.make()
        verify = ["keyring", "verify", "--backup", str(self.backup), "--passphrase-file", str(self.words)]
        self.lose("ring")
        self.kekctl("keyring", "init")
        uuid = self.kekctl_json("keyring", "show")["ringUuid"]
        self.assertIn(f"The keyring here is another one: prod ({uuid}) in ", self.kekctl(*verify))
        # Also where that can't be opened.
        self.lose("ring.key")
        self.assertIn(f"({uuid}) in ", self.kekctl_json(*verify)["otherKeyring"])

    @unittest.skipIf(os.path.exists("/etc/kekd"), "this host has a configuration")
    def test_verify_on_a_host_without_a_configuration(self):
        self.kekctl("keyring", "init")
        self.make()
        result = subprocess.run([BIN / "kekctl", "keyring", "verify", "--backup", self.backup, "--passphrase-file",
                                 self.words], capture_output=True, text=True, timeout=60)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("Its keyring is not here", result.stdout)

    def test_restore_lists_removed_wraps(self):
        self.kekctl("keyring", "init")
        second = self.secret("second", "another passphrase of some words")
        self.kekctl("keyring", "wrap", "add", "--passphrase-file", str(second))
        self.make()
        self.kekctl("keyring", "wrap", "remove", "2")
        self.lose()
        text = self.kekctl(*self.restore())
        self.assertRegex(text, r"  wrap 2 +passphrase ")
        self.assertIn("'kekctl keyring wrap remove'", text)
        self.lose()
        restored = self.kekctl_json(*self.restore())
        listed = self.kekctl_json("keyring", "wrap", "list")["wraps"]
        self.assertEqual([wrap["number"] for wrap in restored["wraps"]], [wrap["number"] for wrap in listed])
        self.assertIn("passphrase", [wrap["type"] for wrap in restored["wraps"]])

    def test_somebody_else_holds_the_admin_socket(self):
        self.kekctl("keyring", "init")
        self.make()
        self.lose()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.folder / "admin.sock"))
            listener.listen()
            message = self.refused_without_a_trace(3, *self.restore())
        self.assertIn("kekd-admin.socket", message)

    def test_surplus_share_is_proven(self):
        self.kekctl("keyring", "init")
        files = self.make_shares("2/4")
        alone = [part for path in files[:3] for part in ("--share", path)]
        verify = ["keyring", "verify", "--backup", str(self.backup)]
        self.kekctl(*verify, *alone)
        for path in files[:3]:
            good = pathlib.Path(path).read_text()
            self.secret(path, self.altered(good))
            self.assertIn(f"{path} does not fit", self.refused_without_a_trace(5, *verify, *alone))
            self.secret(path, good)

    @staticmethod
    def altered(text):
        """A share with another secret and check digits that fit."""
        comment, line = text.splitlines()
        share = bytearray.fromhex(line.removeprefix("kekd-share-1 "))
        share[20] ^= 1
        share[44:] = hashlib.sha256(b"kekd/backup-share-check/1" + share[:44]).digest()[:4]
        return f"{comment}\nkekd-share-1 {share.hex()}\n"

    def test_other_name(self):
        self.kekctl("keyring", "init")
        self.make()
        self.lose()
        self.config.write_text(self.config.read_text().replace("name: prod", "name: stage"))
        message = self.refused_without_a_trace(3, *self.restore())
        self.assertIn('"prod"', message)
        self.assertIn('"stage"', message)

    def test_init_with_a_backup_and_without(self):
        made = self.kekctl_json("keyring", "init", "--backup", str(self.backup), "--passphrase-file", str(self.words))
        self.assertEqual(made["backup"]["generation"], 1)
        self.assertTrue(made["backup"]["recorded"])
        self.lose()
        self.backup.unlink()
        self.assertIn("There is no backup of it yet", self.kekctl("keyring", "init"))
        self.lose()
        self.assertIsNone(self.kekctl_json("keyring", "init")["backup"])
        self.lose()
        # What can be told before is told before anything is made.
        self.backup.write_text("in the way")
        self.refused_without_a_trace(3, "keyring", "init", "--backup", str(self.backup), "--passphrase-file", str(self.words))
        weak = self.secret("weak", "secret")
        result = self.run_kekctl("keyring", "init", "--backup", str(self.folder / "b"), "--passphrase-file", str(weak), expect=2)
        self.assertIn("the keyring was made, but no backup of it", result.stderr)
        self.assertEqual(self.states(), {1: "active"})

    def test_status_tells_what_is_backed_up(self):
        self.kekctl("keyring", "init")
        kekd = self.start_kekd()

        def ring():
            return self.kekctl_json("status")["keyrings"][0]

        self.assertIsNone(ring()["newestBackup"])
        self.assertEqual(ring()["versionsWithoutBackup"], [1])
        self.assertIn("no verified backup of this keyring is known; 'kekctl keyring backup' makes one", ring()["warnings"])
        self.make()  # while kekd runs
        self.assertEqual(ring()["warnings"], [])
        newest = ring()["newestBackup"]
        self.assertEqual((newest["generation"], newest["holdsEveryKey"], newest["path"]), (1, True, str(self.backup)))
        self.assertIn("holds every key", self.kekctl("status"))
        self.kekctl("key", "create")
        self.assertIn("key version 2 is in no verified backup; 'kekctl keyring backup' makes one", ring()["warnings"])
        self.assertFalse(ring()["newestBackup"]["holdsEveryKey"])
        # Its loss harms nobody; damage is told apart.
        log = next((self.folder / "state").glob("*.backups"))
        content = log.read_bytes()
        log.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        # kekd answers from memory and looks again with its health check: a start is the quickest way to have it look.
        for expected in ("was damaged or altered", "no verified backup"):
            kekd.kill()
            kekd.wait()
            kekd = self.start_kekd()
            self.assertIn(expected, ring()["warnings"][0])
            log.unlink(missing_ok=True)
        self.run_kekctl("keyring", "verify", "--backup", str(self.backup), "--passphrase-file", str(self.words))
        self.assertEqual(ring()["versionsWithoutBackup"], [2])

    def test_new_ring_key_keeps_the_list_of_backups_and_old_backups_open(self):
        self.kekctl("keyring", "init")
        self.make()
        second = self.secret("second", "another passphrase of some words")
        self.kekctl("keyring", "wrap", "add", "--passphrase-file", str(second))
        self.kekctl("keyring", "wrap", "remove", "2")
        kekd = self.start_kekd()
        self.assertEqual(self.kekctl_json("status")["keyrings"][0]["versionsWithoutBackup"], [])
        verified = self.kekctl_json("keyring", "verify", "--backup", str(self.backup), "--passphrase-file", str(self.words))
        self.assertTrue(verified["current"]["covered"])
        # On this host an older ring key can't check the high-water file; on another there is none.
        kekd.kill()
        kekd.wait()
        self.lose("ring")
        self.assertIn("the ring key was changed after", self.refused_without_a_trace(3, *self.restore()))
        # The list of backups is under the later ring key too.
        self.assertIn("begun anew", self.run_kekctl(*self.restore(), "--accept-generation", "1").stderr)
        self.assertEqual(self.states(), {1: "active"})

    def test_backup_that_cant_be_written_down(self):
        self.kekctl("keyring", "init")
        log = next((self.folder / "state").glob("*.high-water")).with_suffix(".backups")
        log.mkdir()
        result = self.run_kekctl("keyring", "backup", "--out", str(self.backup), "--passphrase-file", str(self.words), expect=3)
        self.assertIn("the backup is good, but could not be written down", result.stderr)
        self.assertIn("made backup", result.stdout)
        self.assertTrue(self.backup.exists())

    def words_of(self, text):
        """The shares in what was shown: for each its six numbered lines."""
        return re.findall(r"((?:^ ?\d+: (?:[a-z]{5} ?){4}\r?\n){6})", text, re.MULTILINE)

    def test_words_on_stdout(self):
        self.kekctl("keyring", "init")
        out = ["keyring", "backup", "--out", str(self.backup), "--shares", "2/3", "--share-words", "stdout"]
        self.assertIn("exclude each other", self.refused_without_a_trace(2, "-o", "json", *out))
        shares = self.words_of(self.kekctl(*out))
        self.assertEqual(len(shares), 3)
        typed = [self.secret(f"typed-{number}", share.upper().replace(" ", "-")) for number, share in enumerate(shares)]
        self.lose()
        self.kekctl(*self.restore("--share", str(typed[0]), "--share", str(typed[2])))
        self.assertEqual(self.states(), {1: "active"})

    def test_words_on_the_terminal(self):
        self.kekctl("keyring", "init")
        out = ["keyring", "backup", "--out", str(self.backup), "--shares", "2/2", "--share-words", "terminal"]
        result = self.run_kekctl(*out, expect=3, start_new_session=True)
        self.assertIn("there is none", result.stderr)
        self.assertFalse(self.backup.exists())
        status, shown = self.on_terminal(out, self.type_last_word)
        self.assertEqual(status, 0, shown)
        self.assertEqual([len(self.words_of(text.decode())) for text in shown], [1, 1, 0])
        self.assertIn(b"\x1b[2J", shown[1])
        self.assertIn(b"\x1b[2J", shown[2])
        stdout = (self.folder / "stdout").read_text()
        self.assertIn("made backup", stdout)
        self.assertEqual(self.words_of(stdout), [])

    def test_share_on_the_terminal_stays_until_its_last_word_is_typed(self):
        self.kekctl("keyring", "init")
        out = ["keyring", "backup", "--out", str(self.backup), "--shares", "2/2", "--share-words", "terminal"]
        tries = []

        def stubborn(text):
            tries.append(text)
            return b"\n" if len(tries) == 1 else b"babab\n" if len(tries) == 2 else self.type_last_word(b"".join(tries))

        # Enough lines for every share, typed before any of them is shown.
        status, shown = self.on_terminal(out, stubborn, ahead=b"\n" * 20)
        self.assertEqual(status, 0, shown)
        self.assertEqual([b"not the last word" in text for text in shown[:3]], [False, True, True])
        self.assertNotIn(b"\x1b[2J", b"".join(shown[:3]))
        self.assertEqual(sum(len(self.words_of(text.decode())) for text in shown), 2)

    def test_interrupt_while_a_share_is_shown_leaves_nothing(self):
        self.kekctl("keyring", "init")
        out = ["keyring", "backup", "--out", str(self.backup), "--shares", "2/2", "--share-words", "terminal"]
        for key in (b"\x03", b"abc\x03", b"\x1c", b"\x04"):
            status, shown = self.on_terminal(out, lambda text, key=key: key)
            self.assertGreater(status, 0, shown)
            self.assertEqual(len(shown), 2)
            self.assertIn(b"\x1b[2J", shown[1])
            self.assertIn(b"the backup is not kept", shown[1])
            self.assertFalse(self.backup.exists())
            self.assertEqual((self.folder / "stdout").read_text(), "")

    def type_last_word(self, shown):
        return self.words_of(shown.decode())[-1].split()[-1].upper().encode() + b"\n"

    def on_terminal(self, arguments, answer, ahead=b""):
        """Runs kekctl with a terminal: its exit status, and what was shown until each "press Enter" and after the last. `answer` says what
        is typed then."""
        pid, terminal = pty.fork()
        if pid == 0:
            with open(self.folder / "stdout", "wb") as stdout:
                os.dup2(stdout.fileno(), 1)
            os.execv(BIN / "kekctl", ["kekctl", "--config", str(self.config), *arguments])
        os.write(terminal, ahead)
        shown = [b""]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break
            if not data:
                break
            shown[-1] += data
            if re.search(rb"press Enter[^\n]*: (the screen is cleared\. )?$", shown[-1]):
                os.write(terminal, answer(shown[-1]))
                shown.append(b"")
        else:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        return os.waitstatus_to_exitcode(status), shown

    def test_prompted_passphrase_needs_a_terminal(self):
        self.kekctl("keyring", "init")
        result = self.run_kekctl("keyring", "backup", "--out", str(self.backup), "--passphrase-prompt", expect=3, start_new_session=True)
        self.assertIn("no terminal", result.stderr)
        self.assertFalse(self.backup.exists())

    def test_concurrent_restores_make_one_ring(self):
        self.kekctl("keyring", "init")
        self.make()
        self.lose()
        command = [BIN / "kekctl", "--config", self.config, *self.restore()]
        running = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
        codes = sorted((process.communicate(timeout=60), process.returncode)[1] for process in running)
        self.assertEqual(codes[0], 0)
        self.assertLessEqual(set(codes[1:]), {3, 4})
        self.assertEqual(self.states(), {1: "active"})

    @unittest.skipUnless(os.geteuid() == 0, "needs root to give files away")
    def test_root_restores_and_makes_rings_for_the_daemons_user(self):
        user = 65534
        self.kekctl("keyring", "init")
        self.make()
        for keep_state in (False, True):
            home = self.folder / f"lib{keep_state}"
            home.mkdir(mode=0o755)
            os.chown(home, user, user)
            text = self.config.read_text()
            text = re.sub(r"directory: .*", f"directory: {home}/ring", text)
            text = re.sub(r"stateDirectory: .*", f"stateDirectory: {home}/state", text)
            self.config.write_text(text)
            if keep_state:
                (home / "state").mkdir(mode=0o700)
                os.chown(home / "state", user, user)
            self.run_kekctl(*self.restore())
            for path in (home / "ring", home / "state", *home.glob("*/*")):
                self.assertEqual((path.stat().st_uid, path.stat().st_gid), (user, user), path)


if __name__ == "__main__":
    unittest.main()
