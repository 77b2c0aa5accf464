"""Runs kekctl, and kekd if asked, on a configuration in a folder of its own."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ.get("KEKD_BIN_DIR", "build/release/bin"))

CONFIG = """\
apiVersion: kekd.dev/v1
kind: KekdConfiguration
stateDirectory: {folder}/state
admin:
  socket:
    path: {folder}/admin.sock
keyring:
  name: prod
  directory: {folder}/ring
  unlock:
  - keyFile: {folder}/ring.key
  socket:
    path: {folder}/kekd.sock
memory:
  locking: preferred
"""


class KekctlTestCase(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kekctl-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.config = self.folder / "kekd.yaml"
        self.config.write_text(CONFIG.format(folder=self.folder))
        self.config.chmod(0o644)

    def run_kekctl(self, *arguments, expect=0, **options):
        """Returns the finished process; stdout and stderr are texts."""
        result = subprocess.run([BIN / "kekctl", "--config", self.config, *arguments], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=60, check=False, **options)
        self.assertEqual(result.returncode, expect, f"{arguments}\n{result.stdout}{result.stderr}")
        return result

    def kekctl(self, *arguments):
        """What a verb prints that must succeed, and must have nothing to complain about."""
        result = self.run_kekctl(*arguments)
        self.assertEqual(result.stderr, "", arguments)
        return result.stdout

    def kekctl_json(self, *arguments):
        return json.loads(self.kekctl("-o", "json", *arguments))

    def refused(self, code, *arguments):
        """Expects a refusal: nothing on stdout, one or two lines "kekctl: ..." on stderr, which are returned."""
        result = self.run_kekctl(*arguments, expect=code)
        self.assertEqual(result.stdout, "", arguments)
        lines = result.stderr.splitlines()
        self.assertIn(len(lines), (1, 2), result.stderr)
        for line in lines:
            self.assertTrue(line.startswith("kekctl: "), line)
            self.assertFalse(line.endswith("."), line)
        return result.stderr

    def states(self):
        return {version["version"]: version["state"] for version in self.kekctl_json("key", "list")["versions"]}

    def start_kekd(self):
        log = self.folder / "kekd.log"
        with open(log, "wb") as output:
            kekd = subprocess.Popen([BIN / "kekd", "--config", self.config], stdin=subprocess.DEVNULL, stderr=output)
        self.addCleanup(kekd.wait)
        self.addCleanup(kekd.kill)
        deadline = time.monotonic() + 30
        while " ready " not in log.read_text():
            self.assertIsNone(kekd.poll(), log.read_text())
            self.assertLess(time.monotonic(), deadline, "kekd is not ready")
            time.sleep(0.02)
        return kekd
