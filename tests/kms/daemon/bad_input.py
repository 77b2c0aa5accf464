#!/usr/bin/env python3
"""Bad input to kekd and kekctl as an operator would give it: each gets its own message and exit code, and the keyring is whole after it.

KEKD_BIN_DIR is the folder of kekd and kekctl.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))

from harness import parts  # noqa: E402  (the path comes first)
from harness.kekd import Kekd, KekctlError  # noqa: E402

OK, FAILURE, USAGE, REFUSED, UNREACHABLE, INTEGRITY, PERMISSION = range(7)
NOBODY = 65534


def closed_for(address, uid):
    """Whether a process of that user is let in by no more than a connection that ends at once."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(10)
                peer.connect(address)
                code = 0 if peer.recv(1) == b"" else 1
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


class BadInputTest(unittest.TestCase):
    """Each test has a keyring of its own, with version 1 active."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kekd-bad-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.kekd = Kekd(self.folder).init()
        self.addCleanup(self.kekd.kill)
        self.record = self.kekd.folder / "keyring" / "keyring"
        self.key_file = self.kekd.folder / "keyring.key"

    def edit_configuration(self, before, after):
        text = self.kekd.config.read_text()
        self.assertIn(before, text)
        self.kekd.config.write_text(text.replace(before, after))

    def assert_kekd_ends(self, code, *texts):
        """kekd does not start, says why and ends with the code."""
        result = subprocess.run([parts.program("kekd"), "--config", self.kekd.config], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout, "")
        for text in texts:
            self.assertIn(text, result.stderr)

    def assert_kekctl_ends(self, code, arguments, *texts):
        with self.assertRaises(KekctlError) as raised:
            self.kekd.kekctl(*arguments)
        self.assertEqual(raised.exception.code, code, raised.exception)
        for text in texts:
            self.assertIn(text, raised.exception.stderr)

    def assert_whole(self):
        """The keyring is good, and kekd serves it."""
        self.kekd.kekctl("keyring", "verify")
        self.kekd.start()
        self.kekd.kekctl("check", "--count", "1")
        self.kekd.stop()

    def test_world_readable_key_file(self):
        self.key_file.chmod(0o644)
        self.assert_kekd_ends(PERMISSION, str(self.key_file), "0644", "chmod 0600")
        self.assert_kekctl_ends(PERMISSION, ["key", "create"], "0644")
        self.key_file.chmod(0o600)
        self.assert_whole()

    def test_key_file_of_another_ring(self):
        other = Kekd(self.folder, "other").init()
        mine = self.key_file.read_bytes()
        self.key_file.write_bytes((other.folder / "keyring.key").read_bytes())
        self.assert_kekd_ends(INTEGRITY, "does not open this keyring")
        self.key_file.write_bytes(mine)
        self.assert_whole()

    def test_damaged_key_file(self):
        mine = self.key_file.read_bytes()
        self.key_file.write_bytes(mine.replace(mine[20:21], b"0" if mine[20:21] != b"0" else b"1", 1))
        self.assert_kekd_ends(INTEGRITY, str(self.key_file))
        self.key_file.write_bytes(mine)
        self.assert_whole()

    def test_missing_key_file(self):
        moved = self.key_file.rename(self.folder / "moved")
        self.assert_kekd_ends(REFUSED, str(self.key_file))
        self.assertFalse(self.key_file.exists())
        moved.rename(self.key_file)
        self.assert_whole()

    def test_corrupt_keyring(self):
        good = self.record.read_bytes()
        for damaged in (good[:-1], b"", good[:100] + bytes([good[100] ^ 1]) + good[101:], b"something else"):
            self.record.write_bytes(damaged)
            self.assert_kekd_ends(INTEGRITY, "damaged", "kekctl keyring verify")
            self.assert_kekctl_ends(INTEGRITY, ["keyring", "verify"])
            self.assert_kekctl_ends(REFUSED, ["keyring", "init"])  # never over what is there
            self.assertEqual(self.record.read_bytes(), damaged)
        self.record.write_bytes(good)
        self.assert_whole()

    def test_keyring_of_a_newer_format(self):
        good = self.record.read_bytes()
        # What only a newer kekd can authenticate; and ours, with nothing but the number altered.
        self.record.write_bytes(good[:8] + b"\x00\x05" + good[10:-1] + bytes([good[-1] ^ 1]))
        self.assert_kekd_ends(INTEGRITY, "format 5", "newer kekd")
        self.record.write_bytes(good[:8] + b"\x00\x05" + good[10:])
        self.assert_kekd_ends(INTEGRITY, "its format number was altered")
        self.record.write_bytes(good)
        self.assert_whole()

    def test_rolled_back_keyring(self):
        old = self.record.read_bytes()
        self.kekd.rotate()
        self.record.write_bytes(old)
        self.assert_kekd_ends(INTEGRITY, "rolled back", "accept-rollback --generation 1")
        self.assert_kekctl_ends(INTEGRITY, ["key", "create"], "rolled back")
        self.assert_kekctl_ends(REFUSED, ["keyring", "accept-rollback", "--generation", "2"], "not 2")
        self.kekd.kekctl("keyring", "accept-rollback", "--generation", "1")
        self.kekd.rotate()
        self.assertGreater(self.kekd.kekctl_json("key", "list")["generation"], 3)
        self.assert_whole()

    def test_lost_high_water_file(self):
        (high_water,) = (self.kekd.folder / "state").iterdir()
        content = high_water.read_bytes()
        high_water.unlink()
        self.assert_kekd_ends(INTEGRITY, str(high_water), "accept-rollback")
        high_water.write_bytes(content)
        self.assert_whole()

    def test_missing_keyring(self):
        shutil.rmtree(self.kekd.folder / "keyring")
        self.assert_kekd_ends(REFUSED, "kekctl keyring init")
        self.assertFalse((self.kekd.folder / "keyring").exists())

    def test_name_that_is_not_the_rings(self):
        self.edit_configuration("name: e2e", "name: other")
        self.assert_kekd_ends(REFUSED, '\\"e2e\\"', '\\"other\\"')
        for arguments in (["key", "list"], ["key", "create"]):
            self.assert_kekctl_ends(REFUSED, arguments, '"e2e"', '"other"')

    def test_typo_in_the_configuration(self):
        self.edit_configuration("stateDirectory", "stateDirectroy")
        line = 1 + self.kekd.config.read_text().splitlines().index(next(
            line for line in self.kekd.config.read_text().splitlines() if "stateDirectroy" in line))
        self.assert_kekd_ends(USAGE, f"{self.kekd.config}:{line}", "stateDirectroy", "stateDirectory")
        self.assert_kekctl_ends(USAGE, ["config", "check"], "stateDirectroy")

    def test_configuration_that_others_can_write(self):
        self.kekd.config.chmod(0o666)
        self.assert_kekd_ends(PERMISSION, str(self.kekd.config))

    def test_socket_path_that_is_too_long(self):
        self.edit_configuration("kekd.sock", "s" * 108)
        self.assert_kekd_ends(USAGE, "107")

    def test_socket_folder_that_is_missing(self):
        self.edit_configuration(self.kekd.socket, str(self.folder / "missing" / "kekd.sock"))
        self.assert_kekd_ends(REFUSED, "missing")

    def test_socket_folder_that_others_can_write_to(self):
        shared = self.folder / "shared"
        shared.mkdir()
        shared.chmod(0o777)
        self.edit_configuration(self.kekd.socket, str(shared / "kekd.sock"))
        self.assert_kekd_ends(PERMISSION, str(shared), "0777")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_socket_folder_that_is_not_writable(self):
        self.folder.chmod(0o755)
        for path in [self.kekd.folder, *self.kekd.folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        locked = self.folder / "locked"
        locked.mkdir(mode=0o755)
        self.edit_configuration(self.kekd.socket, str(locked / "kekd.sock"))
        try:
            result = subprocess.run([parts.program("kekd"), "--config", self.kekd.config], stdin=subprocess.DEVNULL,
                                    capture_output=True, text=True, timeout=30, check=False, user=NOBODY, group=NOBODY,
                                    extra_groups=[])
        except PermissionError:
            self.skipTest("another user can't reach the build folder")
        self.assertEqual(result.returncode, PERMISSION, result.stderr)
        self.assertIn(str(locked / "kekd.sock"), result.stderr)

    def test_busy_socket(self):
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.kekd.socket)
            other.listen()
            self.assert_kekd_ends(UNREACHABLE, self.kekd.socket)
        self.kekd.start()  # a dead one is replaced
        self.kekd.stop()

    def test_second_kekd(self):
        self.kekd.start()
        self.assert_kekd_ends(UNREACHABLE, "in use")
        self.kekd.kekctl("check", "--count", "1")
        self.kekd.stop()

    def test_file_in_the_sockets_place(self):
        pathlib.Path(self.kekd.socket).write_text("precious")
        self.assert_kekd_ends(REFUSED, "is no socket")
        self.assertEqual(pathlib.Path(self.kekd.socket).read_text(), "precious")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_client_of_the_wrong_uid(self):
        self.folder.chmod(0o755)
        self.edit_configuration(f'"{self.kekd.socket}"', '"@kekd-bad-%d"' % os.getpid())
        self.kekd.start()
        self.assertTrue(closed_for("\0kekd-bad-%d" % os.getpid(), NOBODY))
        self.assertIn(f"uid {NOBODY}", self.kekd.process.log_text())
        self.kekd.kekctl("check", "--count", "1")
        self.kekd.stop()

    @unittest.skipUnless(os.geteuid() == 0, "needs root to mount a small file system")
    def test_full_disk_during_key_create(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "kekd-test", disk], check=False,
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"can't mount a tmpfs: {mounted.stderr}")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        shutil.copytree(self.kekd.folder / "keyring", disk / "keyring")
        os.chmod(disk / "keyring", 0o700)
        self.edit_configuration(str(self.kekd.folder / "keyring") + '"', str(disk / "keyring") + '"')
        filler = disk / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass
        for running in (False, True):
            if running:
                self.kekd.start()
            self.assert_kekctl_ends(FAILURE, ["key", "create"], "No space left")
            self.assertEqual(self.kekd.kekctl_json("key", "list")["generation"], 1)
            self.assertNotIn("keyring.tmp", os.listdir(disk / "keyring"))
        filler.unlink()
        self.kekd.kekctl("key", "create")
        self.assertEqual(len(self.kekd.versions()), 2)
        self.kekd.stop()
        self.assert_whole()

    def test_killed_kekd_leaves_the_ring_whole(self):
        self.kekd.start()
        self.kekd.rotate()
        self.kekd.kill()
        self.assert_whole()
        self.assertEqual(self.kekd.kekctl_json("key", "list")["generation"], 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
