"""What the tests of secrets in memory share: dumps of stopped processes, and the search in them.

To look into kekd's memory takes root (CAP_SYS_PTRACE): that nobody else can is one of the things that are tested.
"""

import ctypes
import dataclasses
import errno
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kms" / "ctl"))

from kekctl_harness import BIN, KekctlTestCase  # noqa: E402  (the path comes first)

LONG = os.environ.get("KEKD_LONG_TESTS") == "1"
SKIPPED = 77
_SYS_MEMFD_SECRET = 447
_CAP_SYS_PTRACE = 19
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def can_look():
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("CapEff:")[1].split()[0], 16) >> _CAP_SYS_PTRACE & 1


def die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _filter_system_calls(*instructions):
    """A seccomp filter (bpf) over the number of the call; what it lets fall through is let through."""
    die_with_parent()
    instructions = [(0x20, 0, 0, 0), *instructions, (0x06, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in instructions))

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]

    what = Filter(len(instructions), ctypes.addressof(program))
    if _libc.prctl(38, 1, 0, 0, 0) != 0 or _libc.prctl(22, 2, ctypes.byref(what)) != 0:
        os._exit(126)


def _answer(error):
    """The system call is not made; 0: and is told to have been."""
    return (0x06, 0, 0, 0x00050000 | error)


# Each runs in the child before exec.


def without_memfd_secret():
    """A kernel that has no memfd_secret(2), as most have none."""
    _filter_system_calls((0x15, 0, 1, _SYS_MEMFD_SECRET), _answer(errno.ENOSYS))


def pretending(number, first, second):
    """A kernel that does nothing on one system call with these first arguments (None: any), and says that it did."""
    checks = [(0x15, number)]
    for place, value in enumerate((first, second)):
        if value is not None:
            checks += [(0x20, 16 + 8 * place), (0x15, value)]
    # A check that does not hold jumps over the others and the answer.
    checks = [(code, 0, len(checks) - place if code == 0x15 else 0, value) for place, (code, value) in enumerate(checks)]
    _filter_system_calls(*checks, _answer(0))


@dataclasses.dataclass(frozen=True)
class Hit:
    """Bytes of secrets of one kind in one mapping or file."""
    place: str
    kind: str
    form: str
    bytes: int
    secrets: int
    longest: int
    first: int

    def __str__(self):
        return (f"{self.place}: {self.bytes} bytes of {self.secrets} {self.kind} ({self.form}), "
                f"the longest piece {self.longest}, the first at {self.first:#x}")


class Findings:
    """What find_secrets found: in locked memory, where secrets may be, and elsewhere."""

    def __init__(self, report):
        self.secrets = report["secrets"]
        self.arena = []
        self.outside = []
        self.readable = {"arena": 0, "ordinary": 0, "file": 0}
        self.hidden = 0
        for place in report["places"]:
            self.readable[place["type"]] += place["readable"]
            if place["name"].startswith("/secretmem"):
                self.hidden += place["bytes"] - place["readable"]
            hits = self.arena if place["type"] == "arena" else self.outside
            hits += [Hit(place["name"], **found) for found in place["found"]]

    def outside_of(self, kind):
        return sum(hit.bytes for hit in self.outside if hit.kind == kind)

    def kinds_in_arena(self):
        return {hit.kind for hit in self.arena}


def wait_until_stopped(pid):
    deadline = time.monotonic() + 20
    tasks = pathlib.Path(f"/proc/{pid}/task")
    while any(") T " not in (task / "stat").read_text() for task in tasks.iterdir()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} does not stop")
        time.sleep(0.01)


def dump(pid, place):
    """Of a process that runs; it is stopped for that long."""
    place.mkdir(mode=0o700)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until_stopped(pid)
        subprocess.run([BIN / "dump_memory", place, str(pid)], check=True, timeout=60)
    finally:
        os.kill(pid, signal.SIGCONT)


def run_to_its_end(place, *command, **options):
    """Runs a program and dumps it just before its end; returns the finished process."""
    place.mkdir(mode=0o700)
    return subprocess.run([BIN / "dump_memory", place, "--", *command], stdin=subprocess.DEVNULL, check=False, capture_output=True,
                          text=True, timeout=60, **options)


def find(secrets_file, *places):
    result = subprocess.run([BIN / "find_secrets", secrets_file, *places], check=True, timeout=120, capture_output=True, text=True)
    return Findings(json.loads(result.stdout))


class MemoryTestCase(KekctlTestCase):

    def setUp(self):
        if not can_look():
            self.skipTest("no CAP_SYS_PTRACE: only root can look into the memory of kekd")
        super().setUp()
        # Beside the folder that is searched, and in memory: a dump may hold what it should not.
        self.bench = pathlib.Path(tempfile.mkdtemp(prefix="kekd-memory.", dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, self.bench)
        self._dumps = 0

    def private_file(self, path, text):
        path.touch(mode=0o600)
        path.write_text(text, encoding="ascii")
        return path

    def dump(self, process):
        place = self._new_dump()
        dump(process.pid, place)
        return place

    def run_to_its_end(self, *command, expect=0, **options):
        """Runs a program; returns its dump from just before its end, and what it printed."""
        place = self._new_dump()
        result = run_to_its_end(place, *command, **options)
        self.assertEqual(result.returncode, expect, f"{command}\n{result.stdout}{result.stderr}")
        return place, result.stdout + result.stderr

    def ring_secrets(self, ciphertexts="", *passphrase_file):
        """Lines for find_secrets: all that there is to know of the keyring as it is now."""
        result = subprocess.run([BIN / "ring_secrets", self.config, ciphertexts, *passphrase_file], check=True, timeout=60,
                                capture_output=True, text=True)
        return result.stdout

    def find(self, secrets, *places):
        listed = self.private_file(self.bench / "secrets", secrets)
        return find(listed, *places)

    def assert_nothing_outside(self, findings, what):
        self.assertGreater(findings.secrets, 0)
        self.assertGreater(findings.readable["ordinary"] + findings.readable["file"], 0)
        self.assertEqual([str(hit) for hit in findings.outside], [], what)

    def _new_dump(self):
        self._dumps += 1
        return self.bench / f"dump-{self._dumps}"


def main():
    """unittest.main, but that tests which were all skipped are told as such to ctest."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.testsRun == len(result.skipped) else 0)
