#!/usr/bin/env python3
"""What a real etcd writes is read from its files as etcd itself tells it, and what it leaves behind is found.

KEKD_BIN_DIR is the folder of dump_etcd_file; KEKD_ETCD_VERSION chooses another etcd than Debian's.
Exit code 0 when all passed, 1 when one failed, 77 when no etcd can be had here.
"""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))

from harness import parts  # noqa: E402  (the path comes first)
from harness.etcd import Etcd  # noqa: E402

_SKIPPED = 77
_PREFIX = "/registry/"
_OVERWRITTEN = "/registry/secrets/default/overwritten"
_OLD = b"the password that was there before"
_NEW = b"the password that is there now"
_TXN = 100  # operations; etcd takes 128


class Dump:
    def __init__(self, path, history=False):
        result = subprocess.run([parts.program("dump_etcd_file"), *(["--history"] if history else []), str(path)],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        self.status, self.error = result.returncode, result.stderr
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        self.facts = lines.pop()["facts"] if lines else {}
        self.objects = [(line["place"], bytes.fromhex(line["key"]).decode(), bytes.fromhex(line["value"])) for line in lines]

    def at(self, place):
        return {key: value for where, key, value in self.objects if where == place}

    def places_of(self, value):
        return {place for place, _, found in self.objects if found == value}


class RealEtcd(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kekd-etcd-file."))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.etcd = Etcd(self.folder).start()
        self.addCleanup(self.etcd.kill)
        self.data = self.folder / "etcd-0"

    def etcdctl(self, *arguments, stdin=""):
        result = subprocess.run([*shlex.split(self.etcd.command()), *arguments], input=stdin, text=True,
                                capture_output=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def put_many(self, pairs):
        pairs = list(pairs)
        for begin in range(0, len(pairs), _TXN):
            puts = "".join(f"put {key} {value}\n" for key, value in pairs[begin:begin + _TXN])
            self.etcdctl("txn", stdin=f"\n{puts}\n\n")

    def fill(self):
        """Some thousand keys, some with values of many pages, one overwritten, one deleted, some outside of the range."""
        self.put_many((f"/registry/pods/pod-{number}", f"value-{number}-" + "x" * (number % 700)) for number in range(3000))
        self.put_many((f"/elsewhere/{number}", "mine") for number in range(250))
        for number in range(4):
            self.etcdctl("put", f"/registry/large/{number}", stdin="L" * (90_000 * number + 1))
        self.etcdctl("put", _OVERWRITTEN, _OLD.decode())
        self.etcdctl("put", _OVERWRITTEN, _NEW.decode())
        self.etcdctl("put", "/registry/deleted", "gone")
        self.etcdctl("del", "/registry/deleted")

    def values(self):
        return self.etcd.values(_PREFIX)

    def revision(self):
        return json.loads(self.etcdctl("get", "x", "--write-out", "json"))["header"]["revision"]

    def assert_clean(self, dump):
        self.assertEqual(dump.status, 0, dump.error)
        self.assertEqual(dump.facts["gaps"], [])

    def test_a_snapshot_is_what_etcd_tells(self):
        self.fill()
        values = self.values()
        path = self.folder / "snapshot.db"
        self.etcd.save_snapshot(path)
        dump = Dump(path)
        self.assert_clean(dump)
        self.assertEqual(dump.at("current"), values)
        self.assertEqual(len(dump.objects), len(values))
        self.assertEqual(dump.facts["kind"], "snapshot")
        self.assertEqual(dump.facts["otherKeys"], 250)
        self.assertEqual(dump.facts["revision"], self.revision())
        self.assertRegex(dump.facts["version"], r"^3\.[456]$")

        history = Dump(path, history=True)
        self.assert_clean(history)
        self.assertEqual(history.at("current"), values)
        self.assertIn("old revision", history.places_of(_OLD))
        self.assertEqual(history.at("old revision")["/registry/deleted"], b"gone")

    def test_a_data_folder_through_its_life(self):
        self.fill()
        values = self.values()
        revision = self.revision()
        for path in (self.data, self.data / "member", self.data / "member" / "snap" / "db"):
            dump = Dump(path)
            self.assertEqual(dump.status, 1)
            self.assertIn("in use by a running etcd", dump.error)

        self.etcd.stop()
        for path in (self.data, self.data / "member"):
            dump = Dump(path)
            self.assert_clean(dump)
            # What a later start has to apply comes on top of what is in the database.
            self.assertEqual({**dump.at("current"), **dump.at("pending")}, values)
            self.assertRegex(dump.facts["identity"], r"^[0-9a-f]{16}$")
        database = Dump(self.data / "member" / "snap" / "db")
        self.assertEqual(database.facts["kind"], "database file")
        self.assertEqual([gap["what"] for gap in database.facts["gaps"]],
                         [f"the end of {self.data / 'member' / 'snap' / 'db'}"])

        before = Dump(self.data, history=True)
        self.assert_clean(before)
        self.assertIn("old revision", before.places_of(_OLD))
        self.assertIn("write-ahead log", before.places_of(_OLD))

        self.etcd.start()
        self.etcdctl("compact", str(revision), "--physical")
        self.etcd.stop()
        compacted = Dump(self.data, history=True)
        self.assert_clean(compacted)
        self.assertEqual(compacted.facts["compacted"], revision)
        self.assertNotIn("old revision", compacted.places_of(_OLD))
        self.assertIn("free space", compacted.places_of(_OLD))
        self.assertIn("current", compacted.places_of(_NEW))
        self.assertEqual(compacted.at("current"), values)

        self.etcd.start()
        self.etcdctl("defrag")
        self.etcd.stop()
        defragmented = Dump(self.data, history=True)
        self.assert_clean(defragmented)
        self.assertEqual(defragmented.places_of(_OLD), {"write-ahead log"})
        self.assertEqual(defragmented.at("current"), values)

    def test_what_a_killed_etcd_had_not_applied_is_pending(self):
        self.etcd.stop()
        os.environ["ETCD_BACKEND_BATCH_INTERVAL"] = "1h"
        self.addCleanup(os.environ.pop, "ETCD_BACKEND_BATCH_INTERVAL")
        self.etcd.start()
        self.fill()
        values = self.values()
        self.etcd.kill()
        dump = Dump(self.data)
        self.assert_clean(dump)
        self.assertIn("pending", dump.places_of(_NEW))
        self.assertEqual(set(dump.at("current")) | set(dump.at("pending")) - {"/registry/deleted"}, set(values))

    def test_what_else_lies_there_is_named(self):
        self.etcd.stop()
        wal = next((self.data / "member" / "wal").glob("*.wal"))
        shutil.copy(wal, f"{wal}.broken")
        (self.data / "member" / "snap" / "db.tmp.123").write_bytes(b"x")
        gaps = [gap["what"] for gap in Dump(self.data).facts["gaps"]]
        self.assertEqual(sorted(gaps), sorted([f"{wal}.broken", str(self.data / "member" / "snap" / "db.tmp.123")]))


if __name__ == "__main__":
    try:
        parts.etcd()
    except unittest.SkipTest as reason:
        print(f"SKIPPED: {reason}", file=sys.stderr)
        sys.exit(_SKIPPED)
    unittest.main(verbosity=2)
