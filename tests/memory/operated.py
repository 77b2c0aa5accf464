"""No secret lies in kekctl's memory when it ends, nor while it waits for somebody to type, but in locked memory; whatever it
did. Nor in what it prints."""

import base64
import os
import pathlib
import pty
import re
import secrets
import select
import shutil
import signal
import subprocess
import time

import memory_case
from kekctl_harness import BIN

# No two bytes in a row that a YAML file or a shell would mind.
_PASSPHRASE = base64.b32encode(secrets.token_bytes(25)).decode()
_SCRYPT_KIB = 128 << 10
_LATER_PASSPHRASE = base64.b32encode(secrets.token_bytes(25)).decode()


class Operated(memory_case.MemoryTestCase):
    before = staticmethod(memory_case.die_with_parent)

    def setUp(self):
        super().setUp()
        self.dumps = []
        self.printed = []
        self.passphrase = self.private_file(self.bench / "passphrase", _PASSPHRASE + "\n")

    def kekctl_to_its_end(self, *arguments, expect=0):
        dump, printed = self.run_to_its_end(BIN / "kekctl", "--config", self.config, *map(str, arguments), expect=expect,
                                            preexec_fn=self.before)
        self.dumps.append((" ".join(map(str, arguments[:3])), dump))
        self.printed.append(printed)

    def shares(self, folder):
        """The secrets of the shares' files."""
        lines = []
        for path in folder.iterdir():
            (digits,) = re.findall(r"^kekd-share-1 ([0-9a-f]{96})$", path.read_text(), re.MULTILINE)
            lines.append(f"share {digits[24:88]}\n")  # without head and check digits
        return "".join(lines)

    def assert_clean(self, known):
        for what, dump in self.dumps:
            with self.subTest(what):
                self.assert_nothing_outside(self.find(known, dump), what)
        printed = self.private_file(self.bench / "printed", "\n".join([*self.printed, "nothing more"]))
        self.assert_nothing_outside(self.find(known, printed), "printed")

    def test_what_it_did_with_a_keyring(self):
        run = self.kekctl_to_its_end
        run("keyring", "init")
        known = self.ring_secrets()
        run("keyring", "wrap", "add", "--passphrase-file", self.passphrase)
        run("key", "create")
        run("key", "promote", "2")
        run("key", "list")
        known += self.ring_secrets("", self.passphrase)
        second = self.bench / "second.key"
        run("keyring", "new-key-file", second)
        known += f"key-file {second.read_text().split()[1]}\n"
        run("keyring", "wrap", "add", "--key-file", second)
        run("keyring", "wrap", "list")
        run("keyring", "wrap", "remove", "3", "--passphrase-file", self.passphrase)
        run("keyring", "verify")
        known += self.ring_secrets("", self.passphrase)
        run("keyring", "backup", "--out", self.bench / "backup", "--passphrase-file", self.passphrase)
        run("keyring", "verify", "--backup", self.bench / "backup", "--passphrase-file", self.passphrase)
        shutil.rmtree(self.folder / "ring")
        (self.folder / "ring.key").unlink()
        run("keyring", "restore", "--backup", self.bench / "backup", "--passphrase-file", self.passphrase)
        known += self.ring_secrets("", self.passphrase)
        self.assert_clean(known)

    def test_what_it_did_with_shares(self):
        run = self.kekctl_to_its_end
        run("keyring", "init")
        known = self.ring_secrets()
        folder = self.bench / "shares"
        folder.mkdir(mode=0o700)
        run("keyring", "backup", "--out", self.bench / "backup", "--shares", "2/3", "--share-dir", folder)
        known += self.shares(folder)
        first, second, _ = sorted(folder.iterdir())
        run("keyring", "verify", "--backup", self.bench / "backup", "--share", first, "--share", second)
        shutil.rmtree(self.folder / "ring")
        (self.folder / "ring.key").unlink()
        run("keyring", "restore", "--backup", self.bench / "backup", "--share", second, "--share", first)
        known += self.ring_secrets()
        # Words are not looked for in what it prints, where they belong; that the shares are not in its memory is.
        self.assert_clean(known)

    def test_what_it_refused(self):
        self.kekctl("keyring", "init")
        known = self.ring_secrets() + f"passphrase {_LATER_PASSPHRASE.encode().hex()}\n"
        wrong = self.private_file(self.bench / "wrong", _LATER_PASSPHRASE + "\n")
        self.kekctl("keyring", "backup", "--out", str(self.bench / "backup"), "--passphrase-file", str(self.passphrase))
        run = self.kekctl_to_its_end
        run("keyring", "verify", "--backup", self.bench / "backup", "--passphrase-file", wrong, expect=2)
        run("keyring", "wrap", "add", "--passphrase-file", self.private_file(self.bench / "short", "elevenbytes\n"), expect=2)
        key_file = self.folder / "ring.key"
        good = key_file.read_text()
        key_file.write_text(good[:30] + ("0" if good[30] != "0" else "1") + good[31:])
        run("key", "list", expect=5)
        run("keyring", "verify", expect=5)
        self.assert_clean(known)

    def test_while_a_passphrase_is_typed(self):
        """Stopped at the question for it once more, when the first has been typed."""
        self.kekctl("keyring", "init")
        known = self.ring_secrets() + f"passphrase {_PASSPHRASE.encode().hex()}\n"
        pid, terminal = pty.fork()
        if pid == 0:
            self.before()
            os.execv(BIN / "kekctl", ["kekctl", "--config", str(self.config), "keyring", "wrap", "add", "--passphrase-prompt"])
        kekctl = Child(pid)
        self.addCleanup(kekctl.end)
        self.addCleanup(os.close, terminal)
        self.read_until(terminal, b": ")
        os.write(terminal, _PASSPHRASE.encode() + b"\n")
        shown = self.read_until(terminal, b"once more: ")
        self.assertNotIn(_PASSPHRASE[:8].encode(), shown)
        self.dumps.append(("asks once more", self.dump(kekctl)))
        found = self.find(known, self.dumps[0][1])
        self.assertTrue(found.hidden or "passphrase" in found.kinds_in_arena(), "the search misses what is there")
        self.assert_clean(known)

    def test_while_a_key_is_derived_from_a_passphrase(self):
        self.kekctl("keyring", "init")
        kekctl = subprocess.Popen([BIN / "kekctl", "--config", self.config, "keyring", "wrap", "add",
                                   "--passphrase-file", self.passphrase],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=self.before)
        self.addCleanup(kekctl.wait)
        self.addCleanup(kekctl.kill)
        smaps = pathlib.Path(f"/proc/{kekctl.pid}/smaps")
        while not self.biggest(smaps) >= _SCRYPT_KIB:
            self.assertIsNone(kekctl.poll(), "the working memory of scrypt was not seen")
        dump = self.dump(kekctl)
        self.assertEqual(kekctl.wait(60), 0)
        known = self.ring_secrets("", self.passphrase)
        found = self.find(known, dump)
        # Working memory is never hidden from root, but it is locked and not dumped.
        self.assertGreaterEqual(found.readable["arena"], _SCRYPT_KIB << 10)
        self.assert_nothing_outside(found, "while scrypt runs")

    @staticmethod
    def biggest(smaps):
        return max((int(line.split()[1]) for line in smaps.read_text().splitlines() if line.startswith("Locked:")), default=0)

    def read_until(self, terminal, end):
        shown = b""
        deadline = time.monotonic() + 30
        while not shown.endswith(end):
            self.assertLess(time.monotonic(), deadline, shown)
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 4096)
        return shown


class Child:
    """A child that subprocess did not make."""

    def __init__(self, pid):
        self.pid = pid

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class OperatedWithoutHiddenMemory(Operated):
    """Where secrets in locked memory can be told from those elsewhere only by where they lie."""
    before = staticmethod(memory_case.without_memfd_secret)


if __name__ == "__main__":
    memory_case.main()
