"""Nobody of the same user gets into kekd's memory: no debugger, no core, no swap, no child that inherits it. Each door is tried
on a process that leaves it open too, so that one that nobody could open is not taken for shut."""

import ctypes
import functools
import os
import pathlib
import platform
import pwd
import resource
import signal
import socket
import subprocess
import time
import unittest

import memory_case
from kekctl_harness import BIN, KekctlTestCase

_SYS_PRCTL, _SYS_PRLIMIT64 = {"x86_64": (157, 302), "aarch64": (167, 261)}.get(platform.machine(), (None, None))
_PR_SET_DUMPABLE = 4
_O_CLOEXEC = 0o2000000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_PTRACE_SEIZE = 0x4206


class _Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


def _must(done, what):
    if done < 0:
        raise OSError(ctypes.get_errno(), what)


def _read(pid, name, address=0):
    with open(f"/proc/{pid}/{name}", "rb") as file:
        file.seek(address)
        file.read(1)


def _read_from_outside(pid, address):
    buffer = ctypes.create_string_buffer(8)
    mine, other = _Piece(ctypes.addressof(buffer), 8), _Piece(address, 8)
    _must(_libc.process_vm_readv(pid, ctypes.byref(mine), 1, ctypes.byref(other), 1, 0), "process_vm_readv")


def _open_doors(pid, address):
    """The ways into a process that this one may take."""
    doors = {name: functools.partial(_read, pid, name)
             for name in ("environ", "maps", "smaps", "auxv", "stack", "syscall", "pagemap")}
    doors["mem"] = functools.partial(_read, pid, "mem", address)
    doors["fd"] = lambda: os.listdir(f"/proc/{pid}/fd")
    doors["exe"] = lambda: os.readlink(f"/proc/{pid}/exe")
    doors["process_vm_readv"] = lambda: _read_from_outside(pid, address)
    doors["PTRACE_SEIZE"] = lambda: _must(_libc.ptrace(_PTRACE_SEIZE, pid, None, None), "ptrace")
    found = []
    for name, door in doors.items():
        try:
            door()
        except PermissionError:
            continue
        except OSError as error:
            name += f" ({error.strerror})"
        found.append(name)
    return found


def open_doors(pid, address, user):
    """_open_doors of another process of that user, or of this one's."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if user:
                os.setgroups([])
                os.setgid(user["group"])
                os.setuid(user["user"])
            os.write(writer, "\n".join(_open_doors(pid, address)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as output:
        found = set(output.read().split("\n")) - {""}
    os.waitpid(child, 0)
    return found


def limit_memlock():
    memory_case.die_with_parent()
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))


def unlimited_core():
    memory_case.die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def with_unlimited_core_for_ever():
    unlimited_core()
    memory_case.pretending(_SYS_PRLIMIT64, None, resource.RLIMIT_CORE)


def dumpable_for_ever():
    unlimited_core()
    memory_case.pretending(_SYS_PRCTL, _PR_SET_DUMPABLE, None)


class Doors(KekctlTestCase):

    def setUp(self):
        super().setUp()
        self.kekctl("keyring", "init")

    def as_another_user(self):
        """Gives everything to a user without rights, if this one has them; the options that start a process as him."""
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def start(self, expect_ready=True, **options):
        log = self.folder / "kekd.log"
        options.setdefault("preexec_fn", memory_case.die_with_parent)
        with open(log, "wb") as output:
            kekd = subprocess.Popen([BIN.resolve() / "kekd", "--config", self.config], stdin=subprocess.DEVNULL, stderr=output,
                                    cwd=self.folder, **options)
        self.addCleanup(kekd.wait)
        self.addCleanup(kekd.kill)
        deadline = time.monotonic() + 30
        while expect_ready and " ready " not in log.read_text():
            self.assertIsNone(kekd.poll(), log.read_text())
            self.assertLess(time.monotonic(), deadline, "kekd is not ready")
            time.sleep(0.02)
        return kekd

    def log(self):
        return (self.folder / "kekd.log").read_text()

    def mappings(self, pid):
        """(first line, flags, bytes locked, size) of each mapping."""
        mappings = []
        for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "Size":
                mappings[-1]["size"] = int(value.split()[0])
            elif name == "Locked":
                mappings[-1]["locked"] = int(value.split()[0])
            elif name == "VmFlags":
                mappings[-1]["flags"] = set(value.split())
            elif "-" in line.split()[0]:
                mappings.append({"line": line})
        return mappings

    def test_no_debugger_of_the_same_user(self):
        user = self.as_another_user()
        kekd = self.start(**user)
        first = 0x1000  # refused or not, before anybody looks what lies there
        if os.geteuid() == 0:
            first = int(pathlib.Path(f"/proc/{kekd.pid}/maps").read_text().split("-")[0], 16)
        self.assertEqual(open_doors(kekd.pid, first, user), set())
        self.assertEqual(os.stat(f"/proc/{kekd.pid}/maps").st_uid, 0)  # as of every process that is not to be looked into

        careless = subprocess.Popen(["sleep", "60"], preexec_fn=memory_case.die_with_parent, **user)
        self.addCleanup(careless.wait)
        self.addCleanup(careless.kill)
        self.wait_until(lambda: pathlib.Path(f"/proc/{careless.pid}/comm").read_text() == "sleep\n")
        first = int(pathlib.Path(f"/proc/{careless.pid}/maps").read_text().split("-")[0], 16)
        opened = open_doors(careless.pid, first, user)
        # Some systems shut these for everybody (Yama); kekd must not rely on it.
        self.assertLessEqual({"environ", "maps", "smaps", "auxv", "fd", "exe"}, opened)
        if self.yama() == "0":
            self.assertLessEqual({"mem", "process_vm_readv", "PTRACE_SEIZE"}, opened)

    def yama(self):
        path = pathlib.Path("/proc/sys/kernel/yama/ptrace_scope")
        return path.read_text().strip() if path.exists() else "0"

    def wait_until(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def test_no_core(self):
        if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
            self.skipTest("the limit of cores is lowered here already")
        careless = subprocess.Popen(["sleep", "60"], cwd=self.folder, preexec_fn=unlimited_core)
        self.addCleanup(careless.kill)
        self.wait_until(lambda: pathlib.Path(f"/proc/{careless.pid}/comm").read_text() == "sleep\n")
        if not self.ends_with_core(careless, signal.SIGSEGV):
            self.skipTest("this system dumps nobody's core")
        kekd = self.start(preexec_fn=unlimited_core)
        self.assertEqual(resource.prlimit(kekd.pid, resource.RLIMIT_CORE), (0, 0))
        self.assertFalse(self.ends_with_core(kekd, signal.SIGSEGV))
        if _SYS_PRCTL is None:
            self.skipTest(f"the numbers of the system calls of {platform.machine()} are not known here")
        # A core that goes to a program knows no limit: that kekd can't be dumped must do alone.
        kekd = self.start(preexec_fn=with_unlimited_core_for_ever)
        self.assertEqual(resource.prlimit(kekd.pid, resource.RLIMIT_CORE)[0], resource.RLIM_INFINITY)
        self.assertFalse(self.ends_with_core(kekd, signal.SIGSEGV))
        # And so must the limit, as whoever runs kekd may set what is dumped.
        kekd = self.start(preexec_fn=dumpable_for_ever)
        self.assertEqual(os.stat(f"/proc/{kekd.pid}/maps").st_uid, os.geteuid())
        self.assertFalse(self.ends_with_core(kekd, signal.SIGSEGV))

    def ends_with_core(self, process, number):
        os.kill(process.pid, number)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = -1
        self.assertEqual(os.WTERMSIG(status), number)
        return os.WCOREDUMP(status)

    def assert_memory_is_locked(self, kekd, hidden):
        mappings = self.mappings(kekd.pid)
        if hidden:
            arena = [one for one in mappings if "/secretmem" in one["line"]]
        else:
            arena = [one for one in mappings if "lo" in one["flags"]]
            self.assertFalse(any("/secretmem" in one["line"] for one in mappings))
        self.assertGreater(sum(one["size"] for one in arena), 0)
        for one in arena:
            # Locked, not dumped, not inherited by a child.
            self.assertLessEqual({"lo", "dd", "dc"}, one["flags"], one["line"])
            if not hidden:
                self.assertEqual(one["locked"], one["size"], one["line"])
            place = mappings.index(one)
            for guard in (mappings[place - 1], mappings[place + 1]):
                self.assertIn(" ---p ", guard["line"])
        for one in mappings:
            self.assertFalse({"wr", "ex"} <= one["flags"], one["line"])

    @unittest.skipUnless(memory_case.can_look(), "no CAP_SYS_PTRACE: only root can see how kekd's memory is mapped")
    def test_locked_memory(self):
        self.assert_memory_is_locked(self.start(preexec_fn=memory_case.without_memfd_secret), hidden=False)

    @unittest.skipUnless(memory_case.can_look(), "no CAP_SYS_PTRACE: only root can see how kekd's memory is mapped")
    def test_hidden_memory(self):
        kekd = self.start()
        if "/secretmem" not in pathlib.Path(f"/proc/{kekd.pid}/maps").read_text():
            self.skipTest("this kernel has no memfd_secret(2)")
        self.assert_memory_is_locked(kekd, hidden=True)

    def test_refuses_memory_that_can_not_be_locked(self):
        user = self.as_another_user()
        text = self.config.read_text()
        self.assertIn("locking: preferred", text)
        self.config.write_text(text.replace("locking: preferred", "locking: required"))
        kekd = self.start(expect_ready=False, preexec_fn=limit_memlock, **user)
        self.assertEqual(kekd.wait(30), 3, self.log())
        self.assertIn('memory.locking is \\"required\\"', self.log())
        self.assertIn("LimitMEMLOCK=8M", self.log())

        self.config.write_text(text)
        kekd = self.start(preexec_fn=limit_memlock, **user)
        self.assertIn("warning secrets may be swapped out", self.log())
        self.assertIn("LimitMEMLOCK=8M", self.log())
        told = self.run_as("-o", "json", "status", **user)
        self.assertIn('"memoryLocked": false', told.stdout)
        kekd.terminate()
        kekd.wait(20)
        # kekctl too, whenever it has held a secret.
        told = self.run_as("keyring", "verify", preexec_fn=limit_memlock, **user)
        self.assertIn("kekctl: warning: secrets may have been swapped out: ", told.stderr)
        self.assertEqual(self.run_as("keyring", "verify", **user).stderr, "")

    def run_as(self, *arguments, **options):
        result = subprocess.run([BIN / "kekctl", "--config", self.config, *arguments], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=60, check=False, **options)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result

    @unittest.skipUnless(memory_case.can_look(), "no CAP_SYS_PTRACE: only root can see kekd's descriptors")
    def test_no_descriptor_for_a_child(self):
        kekd = self.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.folder / "kekd.sock"))
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            self.assertTrue(client.recv(9))  # it is adopted
            inherited = {}
            for info in pathlib.Path(f"/proc/{kekd.pid}/fdinfo").iterdir():
                flags = int(info.read_text().split("flags:")[1].split()[0], 8)
                if not flags & _O_CLOEXEC:
                    inherited[int(info.name)] = os.readlink(f"/proc/{kekd.pid}/fd/{info.name}")
        # What it was started with itself.
        self.assertEqual(set(inherited), {0, 1, 2}, inherited)
        self.assertEqual(pathlib.Path(f"/proc/{kekd.pid}/task/{kekd.pid}/children").read_text(), "")


if __name__ == "__main__":
    memory_case.main()
