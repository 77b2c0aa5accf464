"""Sockets other than a file at one path: a name in the abstract namespace, and a folder that kekd and the API server see at
different paths, as a static pod with a hostPath volume does.
"""

import os
import shutil
import subprocess
import unittest

from harness.cluster import ClusterTestCase, encryption_config


class _SocketCase(ClusterTestCase):

    def check_end_to_end(self, server):
        server.create_secret("by-socket", text="through it")
        stored = self.cluster.stored("by-socket")
        self.assertEqual(stored.key_id, self.kekd.key_id())
        self.assertEqual(self.kekd.status()["encrypts"], 1)
        # A cold API server has nothing cached: this read is a Decrypt through the socket.
        server.cold_restart().wait_until_ready()
        self.assert_secret(server, "by-socket", text="through it")
        self.assertGreaterEqual(self.kekd.status()["decrypts"], 1)


class AbstractSocket(_SocketCase):

    @classmethod
    def set_up_cluster(cls):
        # The namespace is the machine's: the folder's random name keeps two runs apart.
        cls.kekd = cls.cluster.kekd(socket=f"@{cls.cluster.folder.name}").init().start()

    def test_end_to_end(self):
        self.assertTrue(self.kekd.endpoint.startswith("unix:///@"), self.kekd.endpoint)
        config = self.kekd.kekctl("encryption-config", "--phase", "2")
        self.assertIn(f"endpoint: {self.kekd.endpoint}\n", config)
        self.check_end_to_end(self.cluster.api_server(config_text=config).start().wait_until_ready())
        self.kekd.stop()


def _mount_namespace_refused():
    """Why no mount namespace with a bind mount can be had here, or None."""
    if not shutil.which("unshare"):
        return "there is no unshare (package util-linux)"
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    return probe.stderr.strip() or "unshare fails" if probe.returncode else None


class HostPath(_SocketCase):
    """The API server in a mount namespace of its own, where the folder of kekd's socket is mounted elsewhere."""

    @classmethod
    def set_up_cluster(cls):
        refusal = _mount_namespace_refused()
        if refusal:
            raise unittest.SkipTest(f"no mount namespace here: {refusal}")
        folder = cls.cluster.folder
        cls.seen_by_kekd = folder / "host"
        cls.seen_by_api_server = folder / "pod"
        for path in (cls.seen_by_kekd, cls.seen_by_api_server):
            path.mkdir(mode=0o755)
        cls.kekd = cls.cluster.kekd(socket=cls.seen_by_kekd / "kekd.sock").init().start()

    def test_end_to_end(self):
        endpoint = f"unix://{self.seen_by_api_server}/kekd.sock"
        server = self.cluster.api_server(config_text=encryption_config(endpoint))
        server.run_in(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                       'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh",
                       str(self.seen_by_kekd), str(self.seen_by_api_server)])
        server.start().wait_until_ready()
        self.assertEqual(os.listdir(self.seen_by_api_server), [], "the mount must be the API server's alone")
        self.check_end_to_end(server)

        # The folder is mounted, not the file: a new kekd's socket appears behind it.
        self.kekd.stop()
        self.kekd.start()
        server.wait_for_kms_health(200, timeout=40)
        server.create_secret("after-restart", text="again")
        self.assert_secret(server, "after-restart", text="again")


del _SocketCase
