#!/usr/bin/env python3
"""Installs into a folder of its own and has systemd's own tools look at the units.

usage: installed_files.py CMAKE BUILD_FOLDER. Exit code 77: systemd is not installed.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

# "systemd-analyze security" times ten: what is left is said in the unit, and that it needs a host's sockets.
_MAX_EXPOSURE = 10

CMAKE, BUILD = sys.argv[1:3] if len(sys.argv) > 2 else ("cmake", "build/release")


def run(*command, **options):
    return subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False, **options)


class InstalledFiles(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="kekd-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.root)
        installed = run(CMAKE, "--install", BUILD, "--component", "kekd", env={"DESTDIR": str(cls.root), "PATH": "/usr/bin:/bin"})
        assert installed.returncode == 0, installed.stderr

    def find(self, name):
        (found,) = self.root.rglob(name)
        return found

    def units(self):
        """A copy of the units that names the programs where they lie."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="units-", dir=self.root))
        for name in ("kekd.service", "kekd.socket", "kekd-admin.socket"):
            text = self.find(f"system/{name}").read_text()
            for line in text.splitlines():
                if line.startswith("ExecStart="):
                    program = line[len("ExecStart="):].split()[0]
                    text = text.replace(program, str(self.root / program.lstrip("/")))
            (folder / name).write_text(text)
        return sorted(folder.iterdir(), key=lambda path: path.suffix)

    def test_units_are_valid(self):
        result = run("systemd-analyze", "verify", "--man=no", *self.units())
        # Only of ours: it reads what else the machine has, too.
        complaints = [line for line in result.stderr.splitlines() if "kekd" in line]
        self.assertEqual(complaints, [])

    def test_service_is_confined(self):
        result = run("systemd-analyze", "security", "--offline=true", f"--threshold={_MAX_EXPOSURE}", self.units()[0])
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_worker_is_where_kekd_looks(self):
        # hsm/worker_process.h: FindWorkerProgram.
        worker = self.find("bin/kekctl").parent.parent / "libexec/kekd/kekd-hsm-worker"
        self.assertEqual(worker.stat().st_mode & 0o7777, 0o755)

    def test_programs_run(self):
        for name in ("kekd", "kekctl"):
            self.assertIn(name, run(self.find(f"bin/{name}"), "--version").stdout)

    def test_user_can_be_made(self):
        empty = self.root / "empty"
        (empty / "etc").mkdir(parents=True)
        result = run("systemd-sysusers", f"--root={empty}", self.find("sysusers.d/kekd.conf"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("kekd:", (empty / "etc" / "passwd").read_text())

    def test_folders_are_declared(self):
        lines = [line.split() for line in self.find("tmpfiles.d/kekd.conf").read_text().splitlines()
                 if line and not line.startswith("#")]
        self.assertEqual({line[1]: (line[0], line[2], line[3], line[4]) for line in lines},
                         {"/etc/kekd": ("d", "0750", "root", "kekd"), "/run/kekd": ("d", "0755", "kekd", "kekd"),
                          "/var/lib/kekd": ("d", "0700", "kekd", "kekd")})

    def test_documents_are_there(self):
        for name in ("systemd.md", "kekd.yaml", "kube-apiserver.patch.yaml"):
            self.assertTrue(self.find(name).stat().st_size > 0)


if __name__ == "__main__":
    if shutil.which("systemd-analyze") is None:
        print("SKIPPED: systemd is not installed", file=sys.stderr)
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
