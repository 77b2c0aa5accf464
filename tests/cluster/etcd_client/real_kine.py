#!/usr/bin/env python3
"""The client with kine, which k3s has in etcd's place, on SQLite under a real kube-apiserver. Exit code 77: one cannot be had."""

import hashlib
import pathlib
import sqlite3
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import parts  # noqa: E402  (the path comes first)
from harness.api_server import ApiServer  # noqa: E402
from harness.process import Process, wait_for  # noqa: E402
from dump import dump  # noqa: E402


class Kine:
    """Owns a database and a process on a unix socket."""

    def __init__(self, folder):
        self._database = folder / "kine.db"
        self._socket = folder / "kine.sock"
        self.url = f"unix://{self._socket}"
        self._process = Process("kine", [
            parts.kine(), "--listen-address", self.url, "--metrics-bind-address", "0",
            "--endpoint", f"sqlite://{self._database}?_journal_mode=WAL&_busy_timeout=30000"], folder / "kine.log")

    def start(self):
        self._process.start()
        wait_for(lambda: self._process.require_running() and self._socket.exists(), 30, "kine listens")
        return self

    def stop(self):
        self._process.kill()

    def rows(self):
        """{key: (size, sha256)} as they are in the database, without kine's own row."""
        with sqlite3.connect(f"file:{self._database}?mode=ro", uri=True) as database:
            rows = database.execute("SELECT name, value FROM kine WHERE deleted = 0 AND name != 'compact_rev_key' AND id IN "
                                    "(SELECT MAX(id) FROM kine GROUP BY name)").fetchall()
        return {name: (len(value or b""), hashlib.sha256(value or b"").hexdigest()) for name, value in rows}


class OnSqlite(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kekd-kine-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.kine = Kine(self.folder)
        self.addCleanup(self.kine.stop)
        self.kine.start()

    def test_reads_what_an_api_server_put_there(self):
        server = ApiServer(self.folder, self.kine).start()
        self.addCleanup(server.kill)
        for i in range(400):
            server.create_secret(f"s{i:03}", text="x" * i)
        server.rewrite_secret("s007")
        server.delete_secret("s008")
        server.kill()

        before = self.kine.rows()
        result = dump(self.kine.url)
        self.assertEqual(result.exit_code, 0, result.error)
        self.assertEqual(result.objects, before)
        self.assertEqual(result.gaps, [])
        self.assertEqual(result.facts["other_keys"], "0")
        self.assertEqual(result.facts["identity"], "")
        self.assertIn("/registry/secrets/default/s399", result.objects)
        self.assertNotIn("/registry/secrets/default/s008", result.objects)
        self.assertEqual(dump(self.kine.url, prefixes="").objects, before)
        part = dump(self.kine.url, prefixes="/registry/secrets/")
        self.assertEqual(len(part.objects), 399)
        self.assertEqual(part.facts["other_keys"], str(len(before) - 399))

    def test_stopped_is_unavailable(self):
        self.kine.stop()
        result = dump(self.kine.url)
        self.assertEqual(result.exit_code, 1)
        self.assertIn(f"UNAVAILABLE: etcd at {self.kine.url}: nobody listens there", result.error)


def main():
    result = unittest.main(argv=sys.argv, verbosity=2, warnings="ignore", exit=False).result
    if not result.wasSuccessful():
        return 1
    if result.skipped and len(result.skipped) >= result.testsRun:
        print(f"SKIPPED: {result.skipped[0][1]}", file=sys.stderr)
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
