"""A kekd of which is known what it takes: memory, descriptors, threads, bytes of log."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from harness import parts  # noqa: E402  (the path comes first)
from harness.kekd import Kekd  # noqa: E402

LONG = os.environ.get("KEKD_LONG_TESTS") == "1"
MIB = 1 << 20


def is_sanitized():
    """AddressSanitizer keeps freed memory, and shadows what there is."""
    return b"__asan_init" in pathlib.Path(parts.program("kekd")).read_bytes()


class Usage:
    """What a process holds at the moment."""

    def __init__(self, pid):
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        self.rss = int(status["VmRSS"].split()[0]) * 1024
        self.peak = int(status["VmHWM"].split()[0]) * 1024  # since reset_peak
        self.threads = int(status["Threads"])
        links = [self._link(path) for path in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        # gRPC keeps the eventfds that its threads were woken by, one for each that ever waited beside others.
        self.eventfds = links.count("anon_inode:[eventfd]")
        self.descriptors = len(links) - self.eventfds

    @staticmethod
    def _link(path):
        try:
            return os.readlink(path)
        except FileNotFoundError:  # closed meanwhile
            return ""

    def __str__(self):
        return (f"{self.rss / MIB:.1f} MiB (peak {self.peak / MIB:.1f}), {self.descriptors} descriptors and "
                f"{self.eventfds} eventfds, {self.threads} threads")


def reset_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def limited(arguments, descriptors):
    """The command with another limit of descriptors."""
    return ["prlimit", f"--nofile={descriptors}:{descriptors}", "--", *arguments]


class MeasuredTestCase(unittest.TestCase):
    """Each test has a kekd and a keyring of its own."""

    descriptor_limit = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kekd-hostile-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.kekd = Kekd(self.folder).init()
        if self.descriptor_limit:
            self.kekd.process.argv = limited(self.kekd.process.argv, self.descriptor_limit)
        self.kekd.start()
        self.addCleanup(self.kekd.kill)
        self.kekd.kekctl("check", "--count", "50")
        self.pid = self.kekd.process.pid
        self.before = Usage(self.pid)
        self.log_before = self.kekd.process.log_size()
        reset_peak(self.pid)

    def settle(self, predicate, timeout=10):
        """The usage once the predicate holds of it, or at the end of the time."""
        deadline = time.monotonic() + timeout
        while True:
            usage = Usage(self.pid)
            if predicate(usage) or time.monotonic() > deadline:
                return usage
            time.sleep(0.05)

    def assert_back_to_normal(self, what, log_bytes=4096, peak_mib=200):
        """kekd lives, serves, and holds about what it held before."""
        self.kekd.process.require_running()
        slack = 0 if is_sanitized() else 24 * MIB  # what malloc keeps, and what was not there before the first call
        after = self.settle(lambda usage: usage.descriptors <= self.before.descriptors
                            and (is_sanitized() or usage.rss < self.before.rss + slack))
        log = self.kekd.process.log_size() - self.log_before
        print(f"{what}: before {self.before}; after {after}; log {log} bytes", flush=True)
        self.assertLessEqual(after.descriptors, self.before.descriptors)
        # gRPC adds timer and event threads under load, up to a few for each processor.
        self.assertLessEqual(after.threads, self.before.threads + 4 * os.cpu_count())
        self.assertLessEqual(after.eventfds, self.before.eventfds + 4 * os.cpu_count())
        self.assertLess(log, log_bytes, self.kekd.process.log_text(self.log_before)[-2000:])
        if not is_sanitized():
            self.assertLess(after.peak, peak_mib * MIB)
            self.assertLess(after.rss, self.before.rss + slack)
        self.kekd.kekctl("check", "--count", "20")
        return after

    @contextlib.contextmanager
    def witness(self, what):
        """A client that calls Status and Encrypt one after the other: each is answered within kube-apiserver's 3 s."""
        command = [parts.program("kms_storm"), self.kekd.socket, "watch"]
        with subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            try:
                self.assertEqual(process.stdout.readline(), "ready\n")
                yield
                out, err = process.communicate(timeout=60)
            finally:
                process.kill()
        report = json.loads(out)
        print(f"{what}: Status {report['status']}, Encrypt {report['encrypt']} (ms)", flush=True)
        self.assertEqual(report["witness_failed"], 0, err[-500:])
        self.assertGreater(report["status"]["n"], 0)
