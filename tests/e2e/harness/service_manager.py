"""Plays service manager to a kekd: holds its sockets, hears what it says, restarts it."""

import array
import fcntl
import os
import pathlib
import signal
import socket
import subprocess
import time

from . import parts
from .process import ProcessError, tail, wait_for

_FIRST_PASSED = 3
# Beyond what a shell uses itself.
_HIGH = 300


class ServiceManager:
    """One service. Messages are kept in the order they came; descriptors with FDSTORE=1 are kept for the next start."""

    def __init__(self, kekd, watchdog_usec=None, keep=True, abstract=False):
        self.kekd = kekd
        self.log_path = kekd.folder / "kekd.log"
        self.units = []  # (socket, name) as of socket units
        self.kept = []  # (descriptor, name)
        self.messages = []
        self.binary = parts.program("kekd")
        self._keep = keep
        self._watchdog_usec = watchdog_usec
        self._popen = None
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = f"@kekd-notify-{os.getpid()}-{id(self)}" if abstract else str(kekd.folder / f"notify-{id(self)}")
        self._notify.bind("\0" + address[1:] if abstract else address)
        self._address = address

    def listen(self, path, name="kms", mode=0o600):
        """A socket unit: makes the socket and holds it from now on."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\0" + path[1:] if path.startswith("@") else path)
        if not path.startswith("@"):
            os.chmod(path, mode)
        listener.listen(128)
        self.units.append((listener, name))

    @property
    def pid(self):
        return self._popen.pid

    def start(self, ready=True):
        """Starts kekd; with ready, returns when it has said READY=1."""
        passed = [(listener.fileno(), name) for listener, name in self.units] + self.kept
        environment = dict(os.environ, NOTIFY_SOCKET=self._address)
        if self._watchdog_usec:
            environment["WATCHDOG_USEC"] = str(self._watchdog_usec)
        if passed:
            environment["LISTEN_FDS"] = str(len(passed))
            environment["LISTEN_FDNAMES"] = ":".join(name for _, name in passed)

        self.messages.clear()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, _HIGH) for fd, _ in passed]
        # The shell makes itself kekd: LISTEN_PID must be the pid of the process that gets the descriptors.
        moves = " ".join(f"{_FIRST_PASSED + i}<&{fd} {fd}<&-" for i, fd in enumerate(high))
        script = f'exec {moves}; export LISTEN_PID=$$; exec "$0" "$@"'
        command = ["setpriv", "--pdeathsig", "KILL", "bash", "-c", script, self.binary, "--config", str(self.kekd.config)]
        with open(self.log_path, "ab") as log:
            self._popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                                           pass_fds=high)
        for fd in high:
            os.close(fd)
        if ready:
            self.wait_for_message("READY=1")
        return self

    def log_text(self):
        return pathlib.Path(self.log_path).read_text(errors="replace")

    def read_messages(self, wait=0.0):
        """Takes in what has come, for at most that many seconds until the first."""
        self._notify.settimeout(wait or 0.001)
        while True:
            control = array.array("i")
            try:
                data, ancillary, _, _ = self._notify.recvmsg(65536, socket.CMSG_SPACE(4 * control.itemsize))
            except (socket.timeout, BlockingIOError):
                return
            for level, kind, raw in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    control.frombytes(raw[:len(raw) - len(raw) % control.itemsize])
            message = data.decode()
            self.messages.append(message)
            fields = dict(line.split("=", 1) for line in message.splitlines())
            if fields.get("FDSTOREREMOVE") == "1":
                for fd, name in [entry for entry in self.kept if entry[1] == fields["FDNAME"]]:
                    os.close(fd)
                    self.kept.remove((fd, name))
            for fd in control:
                if self._keep and fields.get("FDSTORE") == "1":
                    self.kept.append((fd, fields.get("FDNAME", "stored")))
                else:
                    os.close(fd)
            self._notify.settimeout(0.001)

    def wait_for_message(self, part, timeout=30):
        """The first message since the start that contains it."""
        def found():
            self.read_messages(0.02)
            for message in self.messages:
                if part in message:
                    return message
            if self._popen.poll() is not None:
                raise ProcessError(f"kekd ended with {self._popen.returncode}:\n{tail(self.log_path)}")
            return None
        return wait_for(found, timeout, f"kekd says {part} (log: {self.log_path})", interval=0)

    def status(self):
        """The newest STATUS= text."""
        self.read_messages()
        texts = [line[len("STATUS="):] for message in self.messages for line in message.splitlines()
                 if line.startswith("STATUS=")]
        return texts[-1] if texts else None

    def signal(self, number):
        os.kill(self._popen.pid, number)

    def stop(self, timeout=20):
        """SIGTERM; returns how long it took in seconds."""
        begin = time.monotonic()
        self.signal(signal.SIGTERM)
        code = self._popen.wait(timeout)
        if code != 0:
            raise ProcessError(f"kekd ended with {code} on SIGTERM:\n{tail(self.log_path)}")
        self.read_messages()
        return time.monotonic() - begin

    def wait(self, timeout=30):
        """The exit code of a kekd that ends by itself."""
        return self._popen.wait(timeout)

    def destroy(self):
        if self._popen is not None and self._popen.poll() is None:
            os.kill(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        self._notify.close()
        for listener, _ in self.units:
            listener.close()
        while self.kept:
            os.close(self.kept.pop()[0])
