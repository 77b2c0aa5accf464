"""What a real API server has kekd encrypt, and what kekctl opens of it, is nowhere in their memory afterwards."""

import base64
import pathlib
import secrets
import shutil
import sys
import tempfile
import unittest

from harness import parts
from harness.cluster import ClusterTestCase, encryption_config

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "memory"))

import memory_case  # noqa: E402  (the path comes first)


@unittest.skipUnless(memory_case.can_look(), "no CAP_SYS_PTRACE: only root can look into the memory of kekd")
class Memory(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.bench = pathlib.Path(tempfile.mkdtemp(prefix="kekd-memory.", dir="/dev/shm"))
        cls.addClassCleanup(shutil.rmtree, cls.bench)
        cls.kekd = cls.cluster.kekd().init().start()
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint))
        cls.server.start().wait_until_ready()
        cls.texts = [base64.b32encode(secrets.token_bytes(25)).decode() for _ in range(30)]
        for number, text in enumerate(cls.texts):
            cls.server.create_secret(f"kept-{number}", text=text)
        cls.kekd.rotate()
        cls.server.cold_restart().wait_until_ready()
        cls.snapshot = cls.bench / "etcd.snapshot"
        cls.cluster.etcd.save_snapshot(cls.snapshot)
        cls.known = cls.bench / "secrets"
        cls.known.write_text("".join(f"value {text.encode().hex()}\n" for text in cls.texts))

    def assert_nothing_outside(self, dump, *what):
        found = memory_case.find(self.known, dump)
        self.assertGreater(found.readable["ordinary"], 1 << 20)
        self.assertEqual([str(hit) for hit in found.outside], [], what)

    def kekctl_to_its_end(self, name, *arguments):
        dump = self.bench / name
        result = memory_case.run_to_its_end(dump, parts.program("kekctl"), "--config", str(self.kekd.config), *map(str, arguments),
                                            preexec_fn=memory_case.without_memfd_secret)
        self.assertEqual(result.returncode, 0, result.stdout[-2000:] + result.stderr)
        self.assert_nothing_outside(dump, arguments)

    def test_1_search_finds_the_values_where_they_are(self):
        out = self.bench / "found"
        self.kekd.kekctl("recover", "--all", "--resource", "secrets", "--snapshot", str(self.snapshot), "--out", str(out),
                         "--reason", "a test")
        files = [path for path in out.rglob("*") if path.is_file()]
        found = memory_case.find(self.known, *files)
        self.assertEqual(sum(hit.secrets for hit in found.outside), len(self.texts))

    def test_2_scan_that_opens_everything(self):
        self.kekctl_to_its_end("live", "scan", "--endpoints", self.cluster.etcd.url, "--decrypt")
        self.kekctl_to_its_end("snapshot", "scan", "--snapshot", self.snapshot, "--decrypt", "--history")

    def test_3_recover(self):
        self.kekctl_to_its_end("one", "recover", "secrets/default/kept-3", "--snapshot", self.snapshot, "--out", self.bench / "a",
                               "--reason", "a test")
        self.kekctl_to_its_end("all", "recover", "--all", "--resource", "secrets", "--endpoints", self.cluster.etcd.url,
                               "--out", self.bench / "b", "--reason", "a test")

    def test_4_kekd(self):
        dump = self.bench / "kekd"
        memory_case.dump(self.kekd.process.pid, dump)
        self.assert_nothing_outside(dump, "kekd")


if __name__ == "__main__":
    unittest.main()
