"""No secret lies in kekd's memory but where it belongs: after thousands of calls, changes of keys and of what opens the ring,
refused and abandoned calls, with locked memory of either kind. Nor in its log, its files, or what the system tells of it."""

import base64
import pathlib
import secrets
import signal
import subprocess
import time

import memory_case
from kekctl_harness import BIN

_CALLS = 20000 if memory_case.LONG else 2000
_CONNECTIONS = 9  # three loads of three
_SLICE = 23  # GRPC_SLICE_INLINED_SIZE
_PASSPHRASE = base64.b85encode(secrets.token_bytes(24)).decode().replace("#", "x").replace("{", "y")
# Kinds that must be in kekd's locked memory while it serves: else the search itself finds nothing. (A KEK is there as what AES
# makes of it, which begins with the key on processors with instructions for AES.)
_LIVING = {"ring-key", "ring-derived-key", "xaes-subkey"}


class Load:
    """memory_load with its connections, which it keeps."""

    def __init__(self, case, calls):
        self._case = case
        self.plaintexts = case.bench / f"plaintexts-{time.monotonic_ns()}"
        self.ciphertexts = case.bench / f"ciphertexts-{time.monotonic_ns()}"
        self._process = subprocess.Popen(
            [BIN / "memory_load", case.folder / "kekd.sock", str(calls), self.plaintexts, self.ciphertexts],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=memory_case.die_with_parent)
        case.addCleanup(self.close)
        case.assertEqual(self._process.stdout.readline(), b"done\n")

    def close(self):
        if self._process.stdin.closed:
            return
        self._process.stdin.close()
        self._process.stdout.close()
        self._case.assertEqual(self._process.wait(20), 0)


class Served(memory_case.MemoryTestCase):

    def setUp(self):
        super().setUp()
        self.secrets = ""
        self.passphrase = self.private_file(self.bench / "passphrase", _PASSPHRASE + "\n")
        self.kekctl("keyring", "init")
        text = self.config.read_text()
        self.config.write_text(text.replace(f"- keyFile: {self.folder}/ring.key",
                                            f"- keyFile: {self.folder}/ring.key\n  - passphrase: {{file: {self.passphrase}}}")
                               + "log:\n  level: debug\n")

    def start(self, before):
        log = self.folder / "kekd.log"
        with open(log, "ab") as output:
            self.kekd = subprocess.Popen([BIN / "kekd", "--config", self.config], stdin=subprocess.DEVNULL, stderr=output,
                                         preexec_fn=before)
        self.addCleanup(self.kekd.wait)
        self.addCleanup(self.kekd.kill)
        self.wait_for_log("ready")

    def wait_for_log(self, text, times=1):
        log = self.folder / "kekd.log"
        deadline = time.monotonic() + 60
        while log.read_text().count(text) < times:
            self.assertIsNone(self.kekd.poll(), log.read_text())
            self.assertLess(time.monotonic(), deadline, f"\"{text}\" is not in the log:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)

    def load(self, calls):
        load = Load(self, calls)
        self.secrets += load.plaintexts.read_text() + self.ring_secrets(load.ciphertexts, self.passphrase)
        return load

    def use(self):
        """All that changes what kekd knows; every secret there ever was is noted before it goes."""
        self.kekctl("keyring", "wrap", "add", "--passphrase-file", str(self.passphrase))
        first = self.load(_CALLS)
        self.kekctl("key", "create")
        self.kekctl("key", "promote", "2")
        second = self.load(_CALLS // 10)
        self.kekctl("check")
        self.kekctl("keyring", "backup", "--out", str(self.bench / "backup"), "--passphrase-file", str(self.passphrase))
        self.kekd.send_signal(signal.SIGHUP)
        self.wait_for_log("reloaded the configuration")
        self.kekctl("keyring", "wrap", "add", "--key-file", str(self.second_key_file()))
        self.kekctl("keyring", "wrap", "remove", "3")  # makes a new ring key
        third = self.load(_CALLS // 10)
        self.kekctl("status")
        return first, second, third

    def second_key_file(self):
        path = self.bench / "second.key"
        self.kekctl("keyring", "new-key-file", str(path))
        return path

    def assert_clean(self, found, what, arena):
        self.assertGreater(found.secrets, _CALLS)
        if arena == "hidden":
            self.assertGreater(found.hidden, 0)
        else:
            self.assertEqual(_LIVING - found.kinds_in_arena(), set(), "the search misses what is there")
        self.assert_nothing_outside(found, what)

    def without_rest(self, found):
        """What gRPC keeps of calls in the buffers of connections that are open (docs/threat-model.md): of those that never
        came to kekd's own code, and of a message that came in two reads a piece that is too short for a slice of its own."""
        rest = [hit for hit in found.outside if hit.kind in ("oversized-plaintext", "abandoned-plaintext")
                or (hit.kind in ("plaintext", "refused-plaintext") and hit.longest <= _SLICE and hit.secrets <= _CONNECTIONS)]
        found.outside = [hit for hit in found.outside if hit not in rest]
        return found

    def check(self, before, arena):
        self.start(before)
        loads = self.use()
        self.assert_clean(self.without_rest(self.find(self.secrets, self.dump(self.kekd))), "between two calls", arena)
        for load in loads:
            load.close()
        time.sleep(0.2)
        self.assert_clean(self.find(self.secrets, self.dump(self.kekd)), "when the clients had gone", arena)
        self.assert_not_told()

    def assert_not_told(self):
        """What kekd writes, and what the system tells of it."""
        told = []
        for name in ("cmdline", "environ", "maps", "stack", "status", "comm", "wchan", "syscall", "mountinfo"):
            path = self.bench / f"proc-{name}"
            path.write_bytes(pathlib.Path(f"/proc/{self.kekd.pid}/{name}").read_bytes())
            told.append(path)
        path = self.bench / "printed"
        path.write_text(self.kekctl("status") + self.kekctl("-o", "json", "key", "list") + self.kekctl("keyring", "wrap", "list"))
        told.append(path)
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        # The one file that is a secret is where it belongs: it is found there, which is the proof of the search.
        found = self.find(self.secrets, *files, *told)
        self.assertEqual({(hit.place, hit.kind, hit.form) for hit in found.outside},
                         {(str(self.folder / "ring.key"), "key-file", "hex")})
        self.assertIn("ring.key", {path.name for path in files})
        self.assertIn("kekd.log", {path.name for path in files})

    def test_hidden_memory(self):
        if not self.has_hidden_memory():
            self.skipTest("this kernel has no memfd_secret(2)")
        self.check(memory_case.die_with_parent, "hidden")

    def test_locked_memory(self):
        self.check(memory_case.without_memfd_secret, "locked")

    def has_hidden_memory(self):
        self.start(memory_case.die_with_parent)
        try:
            return "/secretmem" in pathlib.Path(f"/proc/{self.kekd.pid}/maps").read_text()
        finally:
            self.kekd.terminate()
            self.assertEqual(self.kekd.wait(20), 0)
            (self.folder / "kekd.log").unlink()


if __name__ == "__main__":
    memory_case.main()
