#!/usr/bin/env python3
"""kekd under a service manager: what it says, takes and keeps, its watchdog, and its reload.

KEKD_BIN_DIR is the folder of kekd and kekctl.
"""

import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))

from harness import parts  # noqa: E402  (the path comes first)
from harness.kekd import Kekd  # noqa: E402
from harness.process import wait_for  # noqa: E402
from harness.service_manager import ServiceManager  # noqa: E402

_PTRACE_DETACH, _PTRACE_SEIZE, _PTRACE_INTERRUPT = 17, 0x4206, 0x4207
_WATCHDOG_USEC = 400000
_libc = ctypes.CDLL(None, use_errno=True)


def ptrace(request, thread):
    if _libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


def thread_named(pid, name):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise LookupError(f"kekd has no thread {name}")


class ServiceManagerTestCase(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kekd-sm-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.kekd = Kekd(self.folder).init()
        self.admin_socket = str(self.kekd.folder / "admin.sock")

    def manager(self, **options):
        manager = ServiceManager(self.kekd, **options)
        self.addCleanup(manager.destroy)
        return manager

    def edit_configuration(self, before, after):
        text = self.kekd.config.read_text()
        self.assertIn(before, text)
        self.kekd.config.write_text(text.replace(before, after))

    def assert_serves(self):
        self.kekd.kekctl("check", "--count", "1")


class Notification(ServiceManagerTestCase):

    def test_says_what_it_serves(self):
        for abstract in (False, True):
            manager = self.manager(abstract=abstract).start()
            self.assertEqual(manager.status(), f"serving e2e ({self.kekd.key_id()})")
            self.kekd.rotate()
            manager.wait_for_message(f"STATUS=serving e2e ({self.kekd.key_id()})")
            manager.stop()
            self.assertTrue(any(message.startswith("STOPPING=1") for message in manager.messages))
            manager.destroy()

    def test_says_nothing_of_being_ready_when_it_is_not(self):
        manager = self.manager()
        (self.kekd.folder / "keyring.key").unlink()
        manager.start(ready=False)
        self.assertEqual(manager.wait(), 3)
        manager.read_messages()
        self.assertEqual(manager.messages, [])


class Sockets(ServiceManagerTestCase):

    def test_socket_units(self):
        manager = self.manager()
        manager.listen(self.admin_socket, "admin")
        manager.listen(self.kekd.socket, "kms")
        manager.start()
        self.assertEqual(manager.kept, [], "what the manager has made it need not be given to keep")
        environment = subprocess.run(["cat", f"/proc/{manager.pid}/environ"], capture_output=True, check=True).stdout
        self.assertIn(b"LISTEN_FDS=2", environment)  # as it began; that it is gone since is a unit's test
        self.assert_serves()
        manager.stop()
        for path in (self.admin_socket, self.kekd.socket):
            self.assertTrue(stat.S_ISSOCK(os.stat(path).st_mode), "a socket unit's file is not kekd's to remove")
        manager.start()
        self.assert_serves()

    def test_abstract_socket_unit(self):
        name = f"@kekd-sm-{os.getpid()}"
        self.edit_configuration(f'"{self.kekd.socket}"', f'"{name}"')
        manager = self.manager()
        manager.listen(name)
        manager.start()
        self.assert_serves()

    def test_socket_that_is_not_configured(self):
        manager = self.manager()
        other = str(self.folder / "other.sock")
        manager.listen(other, "stray")
        manager.start(ready=False)
        self.assertEqual(manager.wait(), 2)
        self.assertIn(f"passed the socket {other} (FileDescriptorName=stray)", manager.log_text())

    def test_socket_with_a_wider_mode(self):
        manager = self.manager()
        manager.listen(self.kekd.socket, mode=0o666)
        manager.start(ready=False)
        self.assertEqual(manager.wait(), 6)
        self.assertIn("SocketMode=", manager.log_text())

    def test_own_sockets_are_kept_over_restart_and_crash(self):
        abstract = f"@kekd-kept-{os.getpid()}"
        for path in (self.kekd.socket, abstract):
            manager = self.manager().start()
            self.assertEqual([name for _, name in manager.kept], ["kekd-kept", "kekd-kept"])
            address = "\0" + path[1:] if path == abstract else path
            for end in (manager.stop, lambda: (manager.signal(signal.SIGKILL), manager.wait())):
                end()
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(address)  # waits in the backlog for the next kekd
                    manager.start()
                    client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                    client.settimeout(10)
                    self.assertEqual(len(client.recv(9, socket.MSG_WAITALL)), 9)
                self.assert_serves()
            manager.stop()
            manager.destroy()
            if path != abstract:
                self.edit_configuration(f'"{path}"', f'"{abstract}"')

    def test_kept_sockets_that_are_of_no_use(self):
        manager = self.manager().start()
        manager.stop()
        moved = str(self.kekd.folder / "moved.sock")
        self.edit_configuration(f'"{self.kekd.socket}"', f'"{moved}"')
        os.unlink(self.admin_socket)
        self.kekd.socket = moved
        manager.start()
        self.assert_serves()
        manager.read_messages(0.2)
        kept = [socket.socket(fileno=os.dup(fd)) for fd, _ in manager.kept]
        self.assertEqual(sorted(listener.getsockname() for listener in kept), sorted([self.admin_socket, moved]))
        for listener in kept:
            listener.close()

    def test_systemd_socket_activate(self):
        activate = shutil.which("systemd-socket-activate")
        if activate is None:
            self.skipTest("systemd is not installed")
        process = subprocess.Popen(
            [activate, f"--listen={self.kekd.socket}", "--fdname=kms", parts.program("kekd"), "--config", self.kekd.config],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        wait_for(lambda: os.path.exists(self.kekd.socket), 10, "the socket is there")
        os.chmod(self.kekd.socket, 0o600)
        # It starts kekd when somebody connects, who then waits for it.
        wait_for(lambda: subprocess.run([parts.program("kekctl"), "--config", self.kekd.config, "check", "--count", "1"],
                                        stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0,
                 20, "kekd serves on the socket that it was started for")


class Watchdog(ServiceManagerTestCase):

    def pings(self, manager, seconds):
        manager.read_messages()
        before = len(manager.messages)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            manager.read_messages(0.05)
        return sum(message == "WATCHDOG=1" for message in manager.messages[before:])

    def test_stops_while_a_thread_hangs(self):
        manager = self.manager(watchdog_usec=_WATCHDOG_USEC).start()
        self.assertGreater(self.pings(manager, 1), 3)
        for name in ("kekd-accept", "kekd-kms"):
            thread = thread_named(manager.pid, name)
            try:
                ptrace(_PTRACE_SEIZE, thread)
            except OSError as error:
                self.skipTest(f"can't stop a single thread here: {error}")
            ptrace(_PTRACE_INTERRUPT, thread)
            os.waitpid(thread, 0x40000000)  # __WALL
            self.pings(manager, 0.5)  # one may still be due
            self.assertEqual(self.pings(manager, 1), 0, name)
            self.assertIn("a thread does not come round", manager.status())
            ptrace(_PTRACE_DETACH, thread)
            self.assertGreater(self.pings(manager, 1.5), 2, name)
            self.assertIn("serving", manager.status())

    def test_goes_on_while_an_admin_call_takes_long(self):
        manager = self.manager(watchdog_usec=_WATCHDOG_USEC).start()
        thread = thread_named(manager.pid, "kekd-admin")
        try:
            ptrace(_PTRACE_SEIZE, thread)
        except OSError as error:
            self.skipTest(f"can't stop a single thread here: {error}")
        ptrace(_PTRACE_INTERRUPT, thread)
        os.waitpid(thread, 0x40000000)
        self.assertGreater(self.pings(manager, 1.5), 4)
        ptrace(_PTRACE_DETACH, thread)


class Reload(ServiceManagerTestCase):

    def setUp(self):
        super().setUp()
        self.manager_ = self.manager().start()

    def reload(self):
        self.manager_.read_messages()
        self.manager_.messages.clear()
        self.manager_.signal(signal.SIGHUP)
        begun = self.manager_.wait_for_message("RELOADING=1")
        self.assertRegex(begun, r"MONOTONIC_USEC=\d+")
        return self.manager_.wait_for_message("READY=1")

    def warnings(self):
        return json.loads(self.kekd.kekctl("-o", "json", "status"))["kekd"]["warnings"]

    def mode(self):
        return stat.S_IMODE(os.stat(self.kekd.socket).st_mode)

    def test_takes_over_what_may_change(self):
        key = self.kekd.folder / "keyring.key"
        another = self.kekd.folder / "another.key"
        shutil.copy2(key, another)
        self.edit_configuration("keyring.key", "another.key")
        self.edit_configuration(f'"{self.kekd.socket}"', f'"{self.kekd.socket}"\n    mode: "0660"\n    allowedUsers: ["12345"]')
        with self.kekd.config.open("a") as config:
            config.write("log:\n  level: debug\n  format: json\n")
        self.assertNotIn("degraded", self.reload())
        self.assertEqual(self.mode(), 0o660)
        self.assertEqual(self.warnings(), [])
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.kekd.socket)
            client.settimeout(10)
            self.assertEqual(client.recv(1), b"", "root is no longer among the allowed users")
        self.assertIn('"event":"refused a connection"', self.manager_.log_text())

    def test_changes_nothing_if_one_thing_is_wrong(self):
        key_id = self.kekd.key_id()
        good = self.kekd.config.read_text()
        changed = good.replace(f'"{self.kekd.socket}"', f'"{self.kekd.socket}"\n    mode: "0660"')
        other = Kekd(self.folder, "other").init()
        wrong = {
            "unknown field": changed + "typo: 1\n",
            "stateDirectory": changed.replace("/state", "/other-state"),
            "restart kekd": changed + "memory:\n  locking: preferred\n",
            "does not open this keyring": changed.replace("/kekd/keyring.key", "/other/keyring.key"),
            "missing.key": changed.replace("keyring.key", "missing.key"),
        }
        for why, text in wrong.items():
            self.assertNotEqual(text, changed, why)
            self.kekd.config.write_text(text)
            self.assertRegex(self.reload(), rf"STATUS=degraded: reload failed at .*{why}")
            self.assertEqual(self.mode(), 0o600, why)
            (line,) = [line for line in self.manager_.log_text().splitlines() if "reload failed" in line][-1:]
            self.assertIn(why, line)
            self.kekd.config.write_text(good)
            (warning,) = self.warnings()
            self.assertRegex(warning, rf"^reload failed at \d+-.*{why}")
            self.assertIn(f"warning: {warning}", self.kekd.kekctl("status"))
            self.assert_serves()
        self.assertNotIn("degraded", self.reload())
        self.assertEqual(self.warnings(), [])
        self.assertEqual(self.kekd.key_id(), key_id)
        self.assertEqual(other.folder.name, "other")

    def test_another_ring_in_the_folder(self):
        other = Kekd(self.folder, "other").init()
        for name in ("keyring", "keyring.1"):
            shutil.copy2(other.folder / "keyring" / name, self.kekd.folder / "keyring" / name)
        for high_water in (other.folder / "state").iterdir():
            shutil.copy2(high_water, self.kekd.folder / "state")
        self.edit_configuration("/kekd/keyring.key", "/other/keyring.key")
        self.assertIn("another keyring lies in", self.reload())

    def test_connections_of_who_is_no_longer_allowed(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.kekd.socket)
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            client.settimeout(10)
            self.assertTrue(client.recv(4096))
            self.edit_configuration(f'"{self.kekd.socket}"', f'"{self.kekd.socket}"\n    allowedUsers: ["12345"]')
            self.reload()
            while client.recv(4096):
                pass


if __name__ == "__main__":
    unittest.main(verbosity=2)
