"""kekctl rotate on a real cluster: under write load, killed at every step, aborted, by two operators, and what it refuses."""

import json
import signal
import subprocess
import threading
import time
import unittest

from harness import parts, token
from harness.api_server import TOKEN
from harness.cluster import Cluster, ClusterTestCase, encryption_config
from harness.kekd import KekctlError

OBJECTS = 150
STEPS = ("generate", "self-test", "prove", "promote", "observe", "migrate", "scan")


def kubeconfig(path, server, token=TOKEN):
    path.write_text(f"""\
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
users: [{{name: test, user: {{token: {token}}}}}]
clusters: [{{name: test, cluster: {{server: "https://127.0.0.1:{server.port}", insecure-skip-tls-verify: true}}}}]
""")
    return path


class Writers:
    """Creates and reads Secrets as fast as one client can, and remembers every request that failed."""

    def __init__(self, server):
        self.server, self.failures, self.written = server, [], []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.is_set():
            name = f"load-{len(self.written)}-{len(self.failures)}"
            try:
                self.server.create_secret(name, text=name)
                self.server.get_secret(name)
                self.written.append(name)
            except Exception as error:  # whatever it was, the load saw it
                self.failures.append(str(error))
            time.sleep(0.02)


class RotateCase(ClusterTestCase):
    """A cluster with objects, and kekctl rotate with what it needs of it."""

    @classmethod
    def fill(cls):
        cls.server = cls.cluster.api_server(config_text=encryption_config(cls.kekd.endpoint)).start().wait_until_ready()
        for i in range(OBJECTS):
            cls.server.create_secret(f"secret-{i}", text=f"text {i}")
        cls.access = cls.access_to(cls.server)

    @classmethod
    def access_to(cls, server, token=TOKEN, etcd=None):
        path = kubeconfig(cls.cluster.folder / f"kubeconfig-{server.port}", server, token)
        return ["--kubeconfig", str(path), "--insecure-skip-tls-verify", "--api-servers", f"127.0.0.1:{server.port}",
                "--endpoints", (etcd or cls.cluster.etcd).url]

    def rotate(self, *arguments, access=True, timeout=240):
        """(exit code, what it printed as JSON or None, standard error)"""
        command = [parts.program("kekctl"), "--config", str(self.kekd.config), "-o", "json", "rotate", *arguments,
                   *(self.access if access else [])]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
                                env=self.kekd.environment)
        return result.returncode, json.loads(result.stdout) if result.stdout else None, result.stderr

    def must_rotate(self, *arguments, **options):
        code, out, err = self.rotate(*arguments, **options)
        self.assertEqual(code, 0, f"{out} {err}")
        return out["rotation"]

    def assert_nothing_stale(self):
        """By the scan, and by every object itself after an API server's cold start."""
        self.kekd.kekctl("scan", "--endpoints", self.cluster.etcd.url, "--policy", "secrets=primary")

    def assert_all_readable(self, more=()):
        secrets = self.server.list_secrets()
        for i in range(OBJECTS):
            self.assertIn(f"secret-{i}", secrets)
        for name in more:
            self.assertIn(name, secrets)


class Rotate(RotateCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        cls.fill()

    def test_1_preflight_changes_nothing(self):
        before = self.kekd.versions()
        code, out, err = self.rotate("--until", "preflight")
        self.assertEqual(code, 0, err)
        self.assertIsNone(out["rotation"])
        self.assertEqual(self.kekd.versions(), before)

    def test_2_waits_for_a_backup_of_a_software_key(self):
        code, out, _ = self.rotate("--reason", "the first one")
        self.assertEqual(code, 3)
        self.assertEqual(out["rotation"]["step"], "promote")
        self.assertIn("kekctl keyring backup", out["next"])
        passphrase = self.cluster.folder / "passphrase"
        passphrase.write_text("correct horse battery staple\n")
        passphrase.chmod(0o600)
        self.kekd.kekctl("keyring", "backup", "--out", str(self.cluster.folder / "backup"), "--passphrase-file", str(passphrase))

    def test_3_goes_to_its_end_under_load_without_a_refused_write(self):
        with Writers(self.server) as load:
            done = self.must_rotate("resume")
        self.assertEqual(done["step"], "done")
        self.assertEqual(done["reason"], "the first one")
        self.assertEqual(load.failures, [])
        self.assertGreater(len(load.written), 10)
        self.assert_nothing_stale()
        self.assert_all_readable(load.written)

    def test_4_killed_after_every_step_and_gone_on_with(self):
        self.must_rotate("--until", "generate")
        for step in STEPS[1:]:
            self.kekd.kill()
            self.kekd.start()
            rotation = self.must_rotate("resume", "--until", step, "--without-backup")
            self.assertNotEqual(rotation["step"], step)
        self.assertEqual(rotation["step"], "done")
        self.assert_nothing_stale()
        self.assert_all_readable()

    def test_5_killed_at_any_moment_and_gone_on_with(self):
        """kill -9 of kekctl, and of kekd, after more and more time: nothing is lost and the last one ends it."""
        self.must_rotate("--until", "generate")
        kills = 0
        for delay in (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6):
            kekctl = subprocess.Popen(
                [parts.program("kekctl"), "--config", str(self.kekd.config), "rotate", "resume", "--without-backup", *self.access],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.kekd.environment)
            time.sleep(delay)
            if kekctl.poll() is None:
                kekctl.send_signal(signal.SIGKILL)
                kills += 1
            kekctl.wait()
            if delay in (0.2, 1.5):
                self.kekd.kill()
                self.kekd.start()
            self.server.get_secret("secret-0")
        self.assertGreater(kills, 3)
        self.assertEqual(self.must_rotate("resume", "--without-backup")["step"], "done")
        self.assert_nothing_stale()
        self.assert_all_readable()

    def test_6_of_two_operators_one_is_told_of_the_other(self):
        self.must_rotate("--until", "generate")
        first = subprocess.Popen(
            [parts.program("kekctl"), "--config", str(self.kekd.config), "rotate", "resume", "--without-backup", *self.access],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.kekd.environment)
        try:
            first.stderr.readline()  # it has begun
            first.send_signal(signal.SIGSTOP)
            code, _, err = self.rotate("resume")
            self.assertEqual(code, 4)
            self.assertRegex(err, rf"pid {first.pid}, since 20")
            code, _, err = self.rotate("--reason", "me too")
            self.assertEqual(code, 4)
        finally:
            first.send_signal(signal.SIGCONT)
            first.communicate(timeout=200)
        self.assertEqual(first.returncode, 0)

    def test_7_abort_before_the_promotion_and_after(self):
        primary = self.kekd.key_id()
        before = self.must_rotate("--until", "prove")
        code, _, err = self.rotate("--reason", "another")
        self.assertEqual(code, 3)
        self.assertIn("rotate resume", err)
        aborted = self.must_rotate("abort", "--reason", "not today", access=False)
        self.assertEqual((aborted["step"], aborted["endReason"]), ("aborted", "not today"))
        # By a ring that was rolled back nobody knows whether it was promoted: only a look at etcd tells.
        self.assertEqual(self.kekd.versions()[before["to"]]["state"], "pre-activation")
        self.assertEqual(self.kekd.key_id(), primary)

        after = self.must_rotate("--until", "promote", "--without-backup")
        self.must_rotate("abort", access=False)
        self.assertEqual(self.kekd.versions()[after["to"]]["state"], "active")
        self.assertEqual(self.kekd.key_id(), after["toKeyId"])
        self.assert_all_readable()
        # What the aborted one left is the next one's work.
        self.assertEqual(self.must_rotate("--without-backup")["step"], "done")
        self.assert_nothing_stale()

    def test_7b_resume_looks_where_it_is_sent(self):
        self.must_rotate("--until", "promote", "--without-backup")
        other = Cluster()
        try:
            server = other.api_server().start()
            code, _, err = self.rotate("resume", *self.access_to(server, etcd=other.etcd), access=False)
            self.assertEqual(code, 3, err)
        finally:
            other.destroy()
        code, _, err = self.rotate("resume", *self.access[:-1], self.access[-1], "--api-servers", "127.0.0.1:1", access=False)
        self.assertEqual(code, 2, err)  # given twice
        self.assertEqual(self.must_rotate("resume")["step"], "done")

    def test_8_compromise_rotates_away_and_says_what_is_left(self):
        version = self.kekd.status()["primaryVersion"]
        out = self.kekd.kekctl("compromise", str(version), "--reason", "disk was stolen", "--without-backup", *self.access)
        self.assertIn("nothing in etcd is under it any more", out)
        self.assertIn("backup of etcd", out)
        self.assertIsNotNone(self.kekd.versions()[version]["compromised"])
        self.assertNotEqual(self.kekd.status()["primaryVersion"], version)
        self.assert_nothing_stale()

    def test_9_retire_destroys_what_nothing_needs(self):
        newest = self.kekd.status()["primaryVersion"]
        with self.assertRaisesRegex(KekctlError, "is the primary"):
            self.kekd.kekctl("retire", str(newest), *self.access)
        with self.assertRaisesRegex(KekctlError, "--kubeconfig"):
            self.kekd.kekctl("retire", "1", "--backups-checked", "--endpoints", self.cluster.etcd.url)
        with self.assertRaisesRegex(KekctlError, "backups-checked"):
            self.kekd.kekctl("retire", "1", *self.access)
        with self.assertRaisesRegex(KekctlError, "--confirm e2e.1"):
            self.kekd.kekctl("retire", "1", "--backups-checked", *self.access)
        with self.assertRaisesRegex(KekctlError, "is not the key's name"):
            self.kekd.kekctl("retire", "1", "--backups-checked", "--confirm", "e2e.2", *self.access)
        # One API server of two can't be asked: it may write under any key.
        one_away = [*self.access, "--api-servers", f"127.0.0.1:{self.server.port},127.0.0.1:1"]
        del one_away[one_away.index("--api-servers"):one_away.index("--api-servers") + 2]
        with self.assertRaisesRegex(KekctlError, "--copies-taken"):
            self.kekd.kekctl("retire", "1", "--backups-checked", "--confirm", "e2e.1", *one_away)
        # An etcd of another cluster has nothing under the key, and proves nothing.
        other = Cluster()
        try:
            other.api_server().start()
            with self.assertRaisesRegex(KekctlError, "different clusters"):
                self.kekd.kekctl("retire", "1", "--backups-checked", "--confirm", "e2e.1", *self.access[:-1], other.etcd.url)
        finally:
            other.destroy()
        # A value whose key can't be told may be under this one.
        self.cluster.etcd.put("/registry/secrets/default/odd", b"k8s:enc:kms:v2:kekd:not a message")
        with self.assertRaisesRegex(KekctlError, "whose key can't be told"):
            self.kekd.kekctl("retire", "1", "--backups-checked", "--confirm", "e2e.1", *self.access)
        self.cluster.etcd.delete("/registry/secrets/default/odd")
        self.assertEqual(self.kekd.versions()[1]["state"], "deactivated")

        retire = subprocess.Popen(
            [parts.program("kekctl"), "--config", str(self.kekd.config), "retire", "1", "--backups-checked", "--confirm", "e2e.1",
             *self.access], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn("waiting until etcd has compacted", retire.stderr.readline())
        self.assertIsNone(retire.poll())
        self.server.create_secret("one-more", text="for a newer revision")
        revision = int(self.server.get_secret("one-more")["metadata"]["resourceVersion"])
        subprocess.run(f"{self.cluster.etcd.command()} compact {revision}", shell=True, check=True, capture_output=True)
        out, err = retire.communicate(timeout=60)
        self.assertEqual(retire.returncode, 0, err)
        self.assertIn("destroyed key version e2e.1", out)
        self.assertEqual(self.kekd.versions()[1]["state"], "destroyed")
        self.assert_all_readable()

    def test_a_bad_input_changes_nothing(self):
        before = self.kekd.versions()
        # No permission.
        status, _ = self.server.request("POST", "/api/v1/namespaces/default/serviceaccounts",
                                        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}})
        self.assertEqual(status, 201)
        status, answer = self.server.request(
            "POST", "/api/v1/namespaces/default/serviceaccounts/nobody/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
        self.assertEqual(status, 201)
        token = answer["status"]["token"]
        path = kubeconfig(self.cluster.folder / "nobody", self.server, token)
        nobody = ["--kubeconfig", str(path), "--insecure-skip-tls-verify", "--endpoints", self.cluster.etcd.url]
        self.assert_refused(6, "secrets|kube-system", *nobody)
        # Nobody at all.
        path = kubeconfig(self.cluster.folder / "wrong", self.server, "no-such-token")
        self.assert_refused(6, "credential|Unauthorized|401", "--kubeconfig", str(path), "--insecure-skip-tls-verify", "--endpoints",
                            self.cluster.etcd.url)
        # The etcd of another cluster.
        other = Cluster()
        try:
            other.api_server().start()
            self.assert_refused(3, "another cluster", *self.access[:-1], other.etcd.url)
        finally:
            other.destroy()
        # Nobody answers.
        self.assert_refused(4, "127.0.0.1:1", *self.access[:-1], "http://127.0.0.1:1")
        self.assert_refused(3, "/nonexistent", "--kubeconfig", "/nonexistent", "--endpoints", self.cluster.etcd.url)
        self.assertEqual(self.kekd.versions(), before)

    def assert_refused(self, code, pattern, *access):
        got, out, err = self.rotate("--reason", "bad input", *access, access=False)
        self.assertEqual(got, code, f"{out} {err}")
        self.assertRegex(err, pattern)


@unittest.skipIf(token.missing(), token.missing())
class RotateToHsm(RotateCase):
    """The same operation moves a keyring from software to a token and back, in place."""

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd(token=token.Token(cls.cluster.folder))
        cls.kekd.kekctl("keyring", "init")
        cls.kekd.start()
        cls.fill()

    def test_1_to_the_token_and_back(self):
        to_token = self.must_rotate("--backend", "pkcs11")
        self.assertEqual(self.kekd.versions()[to_token["to"]]["backend"], "pkcs11")
        self.assert_nothing_stale()
        self.server.cold_restart().wait_until_ready()
        type(self).access = self.access_to(self.server)
        self.assert_all_readable()
        back = self.must_rotate("--backend", "software", "--without-backup")
        self.assertEqual(self.kekd.versions()[back["to"]]["backend"], "software")
        self.assert_nothing_stale()
        self.assert_all_readable()
