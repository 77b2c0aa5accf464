"""./run as a newcomer types it: what it prints, how it stops, that the keyring stays, and what it says when it cannot go on."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
import urllib.parse

from harness import parts
from harness.cluster import ClusterTestCase
from harness.process import Process, alive, wait_for

_RUN = parts.ROOT / "run"


def _environment():
    env = dict(os.environ)
    # With the release build under test, ./run goes its whole way (nothing is left to build); else it takes our binaries.
    if parts.bin_dir() == parts.ROOT / "build" / "release" / "bin":
        env.pop("KEKD_BIN_DIR", None)
    return env


class Newcomer(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        # A space and a quote: paths reach YAML, a URL and two shells.
        cls.dir = cls.cluster.folder / "it's mine"
        cls.runs = 0
        cls.started = None
        cls.addClassCleanup(lambda: cls.started and cls.started.kill())
        cls.key_id = None

    def run_to_end(self, *arguments, timeout=120):
        return subprocess.run([str(_RUN), *arguments], env=_environment(), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout, check=False)

    def start(self):
        """Starts ./run and returns (process, its output so far, seconds) once it waits for Ctrl-C."""
        cls = type(self)
        cls.runs += 1
        run = cls.started = Process("run", [_RUN, "--dir", self.dir], self.cluster.folder / f"run-{cls.runs}.log", _environment())
        begin = time.monotonic()
        run.start()
        # A first run may have a whole release to build.
        wait_for(lambda: run.require_running() and "Ctrl-C stops kekd" in run.log_text(), 900, "./run is up", interval=0.02)
        return run, run.log_text(), time.monotonic() - begin

    def status(self):
        output = subprocess.run([parts.program("kekctl"), "--config", str(self.dir / "kekd.yaml"), "-o", "json", "status"],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True)
        return json.loads(output.stdout)

    def assert_stopped(self, run, kekd_pid):
        wait_for(lambda: not run.running(), 30, "./run has ended")
        self.assertFalse(alive(kekd_pid), "kekd outlived ./run")
        self.assertFalse((self.dir / "kekd.sock").exists(), "the socket is still there")

    def test_1_first_run(self):
        run, output, seconds = self.start()
        print(f"first run up in {seconds:.1f} s")
        endpoint = re.search(r"endpoint:\s*(['\"]?)(unix://.*)\1\s*$", output, re.MULTILINE)
        self.assertIsNotNone(endpoint, output)
        # Whoever takes the first unix:// that is printed has the right one.
        self.assertTrue(output[output.index("unix://"):].startswith(endpoint[2]), output)
        path = urllib.parse.unquote(endpoint[2].removeprefix("unix://").replace("''", "'"))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        self.assertIn("kind: EncryptionConfiguration", output)

        command = re.search(r"^\s+(\S*/kekctl --config .*)$", output, re.MULTILINE)
        self.assertIsNotNone(command, output)
        result = subprocess.run(shlex.split(command[1]), stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)

        status = self.status()
        type(self).key_id = status["keyrings"][0]["keyId"]
        # Ctrl-C in a terminal goes to everything in the foreground, kekd too.
        os.killpg(run.pid, signal.SIGINT)
        self.assert_stopped(run, status["kekd"]["pid"])
        self.assertEqual(run.terminate(), 0, run.log_text())

    def test_2_second_run_serves_the_same_keyring(self):
        run, _, seconds = self.start()
        print(f"second run up in {seconds:.1f} s")
        status = self.status()
        self.assertEqual(status["keyrings"][0]["keyId"], self.key_id)

        another = self.run_to_end("--dir", str(self.dir))
        self.assertEqual(another.returncode, 4, another.stderr)
        self.assertIn("another ./run", another.stderr)

        run.send(signal.SIGTERM)
        self.assert_stopped(run, status["kekd"]["pid"])
        self.assertEqual(run.terminate(), 0, run.log_text())

    def test_3_killed_run_leaves_no_kekd(self):
        run, _, _ = self.start()
        pid = self.status()["kekd"]["pid"]
        run.kill()
        wait_for(lambda: not alive(pid), 20, "kekd ended with the ./run that started it")

    def test_4_moved_folder(self):
        moved = self.cluster.folder / "moved"
        self.dir.rename(moved)
        result = self.run_to_end("--dir", str(moved))
        moved.rename(self.dir)
        self.assertEqual(result.returncode, 1)
        self.assertIn("was the folder moved?", result.stderr)

    def test_4_what_kekd_ended_with(self):
        record = self.dir / "keyring" / "keyring"
        good = record.read_bytes()
        record.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        result = self.run_to_end("--dir", str(self.dir))
        record.write_bytes(good)
        self.assertEqual(result.returncode, 5, result.stderr)

    def test_5_refusals(self):
        long = self.run_to_end("--dir", str(self.cluster.folder / ("x" * 100)))
        self.assertEqual(long.returncode, 2)
        self.assertRegex(long.stderr, "107")
        self.assertEqual(self.run_to_end("--unknown").returncode, 2)
        self.assertEqual(self.run_to_end("--dir").returncode, 2)
        self.assertEqual(self.run_to_end("--help").returncode, 0)

    def test_6_demo(self):
        parts.kube_apiserver()
        result = self.run_to_end("--dir", str(self.dir), "--demo", timeout=300)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("The password can be read in it: YES", result.stdout)
        self.assertIn("k8s:enc:kms:v2:k", result.stdout)
        self.assertIn("The password can be read in it: no", result.stdout)
        self.assertIn("password: correct-horse-battery-staple", result.stdout)
        self.assertFalse((self.dir / "kekd.sock").exists())
