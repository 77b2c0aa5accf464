"""Child processes that write to a log file and never outlive the test that started them."""

import ctypes
import os
import signal
import socket
import subprocess
import time

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ProcessError(Exception):
    """A process could not be started, did not get ready or ended when it should not have."""


def _die_with_parent():
    # Runs in the child before exec. A test killed by ctest's timeout cannot clean up; the kernel does it.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def free_port():
    """A TCP port of loopback that was free a moment ago.

    Another process may take it before its user binds; whoever starts a server on it must be ready to try another.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(predicate, timeout, what, interval=0.1):
    """Returns the first truthy value of predicate(); raises ProcessError when it takes longer than timeout seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise ProcessError(f"not within {timeout} s: {what}")
        time.sleep(interval)


def alive(pid):
    """Whether a process of that id still does anything; one that ended and waits to be reaped does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _thread_states(pid):
    """The letter of proc(5) for each thread of a process."""
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/stat", encoding="utf-8", errors="replace") as stat:
                yield stat.read().rpartition(")")[2].split()[0]
        except OSError:  # it has ended meanwhile
            continue


def tail(path, lines=25):
    """The last lines of a log, for an error text."""
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-lines:])
    except OSError as error:
        return f"({error})"


class Process:
    """One child in its own session, with its output in a log file that is appended to over restarts."""

    def __init__(self, name, argv, log_path, env=None):
        self.name = name
        self.argv = [str(part) for part in argv]
        self.log_path = str(log_path)
        self._env = env
        self._popen = None
        self._paused = False

    @property
    def pid(self):
        return self._popen.pid if self._popen else None

    def start(self):
        if self.running():
            raise ProcessError(f"{self.name} runs already")
        self._paused = False
        with open(self.log_path, "ab") as log:
            self._popen = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env,
                start_new_session=True, preexec_fn=_die_with_parent)
        return self

    def running(self):
        return self._popen is not None and self._popen.poll() is None

    def require_running(self):
        if not self.running():
            code = self._popen.returncode if self._popen else None
            raise ProcessError(f"{self.name} ended with {code}; the end of its log:\n{tail(self.log_path)}")
        return True

    def log_size(self):
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    def log_text(self, since=0):
        with open(self.log_path, "rb") as log:
            log.seek(since)
            return log.read().decode("utf-8", errors="replace")

    def send(self, number):
        self.require_running()
        os.kill(self._popen.pid, number)

    def pause(self):
        """SIGSTOP: the process keeps its sockets and answers nobody, from the moment this returns."""
        self.send(signal.SIGSTOP)
        self._paused = True
        # One thread takes the signal and stops the others, when it gets a CPU; until then those go on answering.
        wait_for(lambda: set(_thread_states(self.pid)) == {"T"}, 10, f"{self.name} stops", interval=0.001)

    def resume(self):
        self.send(signal.SIGCONT)
        self._paused = False

    def terminate(self, timeout=20):
        """SIGTERM, as an operator stops it; returns the exit code."""
        if self.running():
            if self._paused:
                self.resume()
            os.kill(self._popen.pid, signal.SIGTERM)
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise ProcessError(
                    f"{self.name} did not end {timeout} s after SIGTERM; the end of its log:\n{tail(self.log_path)}")
        return self._popen.returncode if self._popen else None

    def kill(self):
        """SIGKILL, as a power cut would have it."""
        if self._popen is not None:
            if self._popen.poll() is None:
                os.kill(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
