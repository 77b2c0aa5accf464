"""kekctl scan and kekctl recover on what a real API server has written: live, from a snapshot, from the data folder."""

import base64
import json
import pathlib
import shutil
import subprocess
import tempfile

from harness import parts
from harness.api_server import secret_key
from harness.cluster import ClusterTestCase, encryption_config
from harness.kekd import Kekd

_SECRETS = "/registry/secrets/"


def run_kekctl(*arguments, config=None):
    """(exit code, standard output, standard error); without a configuration of its own, from a host that has none."""
    command = [parts.program("kekctl"), "--config", str(config or "/nonexistent/kekd.yaml"), *map(str, arguments)]
    if config is None:
        command = [parts.program("kekctl"), *map(str, arguments)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    return result.returncode, result.stdout, result.stderr


class Scan(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.elsewhere = pathlib.Path(tempfile.mkdtemp(prefix="kekd-e2e-scan-"))
        cls.addClassCleanup(shutil.rmtree, cls.elsewhere)
        cls.snapshot = cls.elsewhere / "etcd.snapshot"
        cls.kekd = cls.cluster.kekd().init().start()
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint))
        cls.server.start().wait_until_ready()
        for number in range(30):
            cls.server.create_secret(f"old-{number}", text=f"value {number}")
        cls.kekd.rotate()
        cls.server.cold_restart().wait_until_ready()
        for number in range(10):
            cls.server.create_secret(f"new-{number}", text=f"value {number}")

    def scan(self, *arguments, expect=0):
        code, stdout, stderr = run_kekctl("-o", "json", "scan", *arguments, config=self.kekd.config)
        self.assertEqual(code, expect, stdout[-2000:] + stderr)
        return json.loads(stdout)

    def live(self, *arguments, expect=0):
        return self.scan("--endpoints", self.cluster.etcd.url, *arguments, expect=expect)

    def of_secrets(self, report, place="current"):
        """{(how it is stored, version of the key): objects}."""
        return {(group["storedAs"], group["version"]): group["objects"]
                for group in report["groups"] if group["resource"] == "secrets" and group["place"] == place}

    def test_1_live_and_snapshot_say_the_same(self):
        live = self.live()
        self.assertEqual(self.of_secrets(live), {("KMS v2", 1): 30, ("KMS v2", 2): 10})
        states = {group["version"]: group["state"] for group in live["groups"] if group["resource"] == "secrets"}
        self.assertEqual(states, {1: "stale", 2: "primary"})
        self.assertTrue(live["complete"])
        self.assertEqual(sum(group["objects"] for group in live["groups"]), len(self.cluster.etcd.keys("/registry/")))
        self.cluster.etcd.save_snapshot(self.snapshot)
        snapshot = self.scan("--snapshot", self.snapshot)
        self.assertEqual(self.of_secrets(snapshot), self.of_secrets(live))
        self.assertTrue(snapshot["complete"], snapshot["source"])
        self.assertEqual(snapshot["source"]["kind"], "snapshot")

    def test_2_policy_and_evidence(self):
        report = self.live("--policy", "secrets=ours")
        self.assertEqual(report["policy"]["verdict"], "met")
        report = self.live("--policy", "secrets=primary", expect=1)
        self.assertEqual([violation["objects"] for violation in report["policy"]["violations"]], [30])
        self.live("--policy", "*=encrypted", expect=1)

        key, public, out = (self.elsewhere / name for name in ("sign.pem", "sign.pub", "report.json"))
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
        key.chmod(0o600)
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
        metrics = self.elsewhere / "kekd.prom"
        written = self.live("--policy", "secrets=ours", "--report", out, "--signing-key", key, "--metrics", metrics)
        self.assertEqual(json.loads(out.read_text()), written)
        subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", out,
                        "-sigfile", f"{out}.sig"], check=True, capture_output=True)
        self.assertIn("kekd_scan_policy_met 1\n", metrics.read_text())
        # Nothing is overwritten.
        self.assertEqual(run_kekctl("scan", "--snapshot", self.snapshot, "--report", out, config=self.kekd.config)[0], 3)

    def test_3_every_object_opens_and_three_damaged_ones_are_found(self):
        report = self.scan("--snapshot", self.snapshot, "--decrypt")
        self.assertEqual(sum(group["opened"] for group in report["groups"]), 40)
        self.assertEqual(report["damaged"]["total"], 0)

        etcd = self.cluster.etcd
        damaged = [secret_key(f"old-{number}") for number in (3, 14, 25)]
        before = {key: etcd.raw_value(key) for key in damaged}
        flipped = bytearray(before[damaged[0]])
        # Inside the encrypted data, which lies right behind the prefix.
        flipped[80] ^= 1
        etcd.put(damaged[0], bytes(flipped))
        etcd.put(damaged[1], before[damaged[2]])  # another object's
        etcd.put(damaged[2], before[damaged[2]][:-30])  # cut off
        report = self.live("--decrypt", expect=5)
        self.assertEqual(sorted(finding["key"] for finding in report["damaged"]["first"]), sorted(damaged))
        self.assertEqual(report["damaged"]["total"], 3)
        self.assertEqual(sum(group["opened"] for group in report["groups"]), 37)
        # Outage is not damage: with the key file away nothing is said of any object.
        key_file = self.kekd.key_file()
        key_file.rename(key_file.with_suffix(".away"))
        try:
            code, stdout, stderr = run_kekctl("scan", "--snapshot", self.snapshot, "--decrypt", config=self.kekd.config)
        finally:
            key_file.with_suffix(".away").rename(key_file)
        self.assertNotEqual(code, 0)
        self.assertNotIn("damaged", stdout + stderr)
        for key, value in before.items():
            etcd.put(key, value)
        self.live("--decrypt")

    def test_4_file_that_is_damaged_is_never_clean(self):
        whole = self.snapshot.read_bytes()
        broken = self.elsewhere / "broken.snapshot"
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        for content in (bytes(flipped), whole[:-4096], whole[:len(whole) // 3], whole[:-32] + bytes(32)):
            broken.write_bytes(content)
            code, stdout, stderr = run_kekctl("-o", "json", "scan", "--snapshot", broken, "--policy", "secrets=ours",
                                              config=self.kekd.config)
            self.assertEqual(code, 5, stdout[-500:] + stderr)
            if stdout:
                report = json.loads(stdout)
                self.assertFalse(report["complete"])
                self.assertNotEqual(report["policy"]["verdict"], "met")

    def test_5_recover_without_an_api_server(self):
        out = self.elsewhere / "one"
        code, stdout, stderr = run_kekctl("recover", "secrets/default/new-3", "--snapshot", self.snapshot, "--out", out,
                                          "--reason", "a test", config=self.kekd.config)
        self.assertEqual(code, 0, stdout + stderr)
        manifest = json.loads((out / "secrets/default/new-3.json").read_text())
        self.assertEqual((manifest["kind"], manifest["metadata"]["name"], manifest["metadata"]["namespace"]),
                         ("Secret", "new-3", "default"))
        self.assertEqual(base64.b64decode(manifest["data"]["text"]), b"value 3")
        self.assertIn("a test", (out / "recover.log").read_text())
        out = self.elsewhere / "all"
        code, stdout, stderr = run_kekctl("recover", "--all", "--resource", "secrets", "--endpoints", self.cluster.etcd.url,
                                          "--out", out, "--reason", "a test", config=self.kekd.config)
        self.assertEqual(code, 0, stdout + stderr)
        found = {path.stem: json.loads(path.read_text()) for path in (out / "secrets/default").iterdir()}
        self.assertEqual(len(found), 40)
        self.assertEqual(base64.b64decode(found["old-7"]["data"]["text"]), b"value 7")
        for path in out.rglob("*"):
            self.assertEqual(path.stat().st_mode & 0o777, 0o700 if path.is_dir() else 0o600, path)
        # What was recovered is what an API server takes.
        self.server.delete_secret("new-3")
        self.server.post("/api/v1/namespaces/default/secrets", found["new-3"])
        self.assert_secret(self.server, "new-3", text="value 3")
        # By the API's name of the resource, which etcd's key does not have.
        out = self.elsewhere / "service"
        code, stdout, stderr = run_kekctl("recover", "services/default/kubernetes", "--snapshot", self.snapshot, "--out", out,
                                          "--reason", "a test", config=self.kekd.config)
        self.assertEqual(code, 0, stdout + stderr)
        self.assertTrue((out / "services/default/kubernetes.stored").read_bytes().startswith(b"k8s\0"))
        # What finds nothing leaves nothing.
        code, _, stderr = run_kekctl("recover", "--all", "--resource", "secret", "--snapshot", self.snapshot,
                                     "--out", self.elsewhere / "none", "--reason", "a test", config=self.kekd.config)
        self.assertEqual(code, 3, stderr)
        self.assertFalse((self.elsewhere / "none").exists())
        code, _, stderr = run_kekctl("recover", "secrets/default/none", "--snapshot", self.snapshot,
                                     "--out", self.elsewhere / "none", "--reason", "a test", config=self.kekd.config)
        self.assertEqual(code, 3, stderr)

    def test_6_another_ring_opens_nothing_and_calls_nothing_damaged(self):
        other = Kekd(self.elsewhere, "other").init()
        code, stdout, stderr = run_kekctl("-o", "json", "scan", "--snapshot", self.snapshot, "--decrypt", config=other.config)
        self.assertEqual(code, 4, stdout + stderr)
        report = json.loads(stdout)
        self.assertEqual((report["damaged"]["total"], report["untried"]), (0, 40))

    def test_7_data_folder_and_its_history(self):
        etcd = self.cluster.etcd
        code, _, stderr = run_kekctl("scan", "--data-dir", etcd.data_folder, config=self.kekd.config)
        self.assertEqual(code, 3, stderr)
        self.assertIn("running", stderr)
        # As if they had been written before encryption: 50 plaintexts that are overwritten, compacted, defragmented.
        plain = b"k8s\0" + b"\x0a\x0c\x0a\x02v1\x12\x06Secret\x12\x10plaintext-secret" + b"x" * 400
        keys = [f"{_SECRETS}default/plain-{number}" for number in range(50)]
        for key in keys:
            etcd.put(key, plain)
        encrypted = etcd.raw_value(secret_key("old-1"))
        for key in keys:
            etcd.put(key, encrypted)
        self.server.kill()
        etcd.stop()
        report = self.scan("--data-dir", etcd.data_folder, "--history")
        self.assertEqual(self.of_secrets(report, "old revision")[("plaintext", None)], 50)
        self.assertGreaterEqual(self.of_secrets(report, "write-ahead log")[("plaintext", None)], 50)
        self.assertNotIn(("plaintext", None), self.of_secrets(report))
        report = self.scan("--data-dir", etcd.data_folder, "--history", "--policy", "secrets=encrypted", expect=1)
        self.assertEqual({violation["place"] for violation in report["policy"]["violations"]} & {"old revision"},
                         {"old revision"})
        # Without --history the past is not looked at, and not said to be clean.
        report = self.scan("--data-dir", etcd.data_folder, "--policy", "secrets=encrypted")
        self.assertFalse(report["source"]["history"])


class Refusals(ClusterTestCase):

    def test_files_of_another_kind(self):
        folder = self.cluster.folder
        other = folder / "other"
        for content in (b"", b"x" * 100, b"\0" * 8192, b"SQLite format 3\0" + bytes(8192)):
            other.write_bytes(content)
            code, stdout, stderr = run_kekctl("scan", "--snapshot", other)
            self.assertNotEqual(code, 0, content[:20])
            self.assertEqual(stdout, "")
            self.assertIn(str(other), stderr)
        code, _, stderr = run_kekctl("scan", "--snapshot", folder / "none")
        self.assertEqual(code, 3, stderr)
        code, _, stderr = run_kekctl("scan")
        self.assertEqual(code, 2, stderr)
        code, _, stderr = run_kekctl("scan", "--endpoints", "http://127.0.0.1:1")
        self.assertEqual(code, 4, stderr)
        self.assertIn("127.0.0.1:1", stderr)
