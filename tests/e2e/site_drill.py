"""docs/procedures/site.sh: a site is lost, and comes back on a new host from an etcd snapshot and a backup's shares."""

import concurrent.futures
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import time

from harness import parts
from harness.cluster import Cluster, ClusterTestCase, encryption_config
from harness.etcd import Etcd
from harness.procedures import FOLDER, Agent

_LONG = os.environ.get("KEKD_LONG_TESTS") == "1"
_SECRETS = 10_000 if _LONG else 200


class SiteDrill(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.elsewhere = pathlib.Path(tempfile.mkdtemp(prefix="kekd-e2e-site-"))
        cls.addClassCleanup(shutil.rmtree, cls.elsewhere)
        cls.snapshot = cls.elsewhere / "etcd.snapshot"
        kekd = cls.cluster.kekd().init().start()
        server = cls.cluster.api_server(config_text=encryption_config(kekd.endpoint)).start().wait_until_ready()

        def create(number):
            server.create_secret(f"kept-{number}", text=f"value {number}")

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(create, range(_SECRETS // 2)))
            kekd.rotate()
            server.cold_restart().wait_until_ready()
            list(pool.map(create, range(_SECRETS // 2, _SECRETS)))
        cls.back_up(kekd, "right")
        # Of a ring of the same name on another site, and of one with a name of its own.
        cls.back_up(cls.cluster.kekd("other").init(), "wrong")
        cls.back_up(cls.cluster.kekd("third", ring="third").init(), "foreign")
        cls.cluster.etcd.save_snapshot(cls.snapshot)
        cls.cluster.destroy()

    @classmethod
    def back_up(cls, kekd, name):
        (cls.elsewhere / name).mkdir(mode=0o700)
        kekd.kekctl("keyring", "backup", "--out", str(cls.elsewhere / f"{name}.backup"), "--shares", "2/3",
                    "--share-dir", str(cls.elsewhere / name))

    def site(self, verb, kekd, agent, backup):
        shares = sorted((self.elsewhere / backup).iterdir())[1:]
        environment = {
            **os.environ,
            "KEKCTL": f"{shlex.quote(parts.program('kekctl'))} --config {shlex.quote(str(kekd.config))}",
            "SNAPSHOT": str(self.snapshot),
            "BACKUP": str(self.elsewhere / f"{backup}.backup"),
            "OPENED_BY": " ".join(f"--share {shlex.quote(str(path))}" for path in shares),
            "DATA_DIR": str(self.data_folder),
            "ETCD_RESTORE": Etcd.restore_command(),
            "START": agent.command("start", kekd.start),
        }
        result = subprocess.run([str(FOLDER / "site.sh"), verb], env=environment, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=300, check=False)
        return result.returncode, result.stdout + result.stderr

    def test_site_comes_back(self):
        begin = time.monotonic()
        self.data_folder = self.elsewhere / "etcd-data"
        cluster = Cluster(data_folder=self.data_folder)
        self.addClassCleanup(cluster.destroy)
        kekd = cluster.kekd()
        agent = Agent(cluster.folder)
        self.addClassCleanup(agent.stop)
        # The wrong pair is refused before anything is there.
        for verb, backup in (("prove", "wrong"), ("restore", "wrong"), ("prove", "foreign"), ("restore", "foreign")):
            code, output = self.site(verb, kekd, agent, backup)
            self.assertEqual(code, 1, output)
            self.assertIn("it is not proven", output)
            self.assertFalse(self.data_folder.exists())
            self.assertEqual(list(kekd.keyring_folder().iterdir()), [])
        refused = time.monotonic()
        code, output = self.site("restore", kekd, agent, "right")
        self.assertEqual(code, 0, output)
        self.assertIn("they belong together", output)
        restored = time.monotonic()
        server = cluster.api_server(config_text=encryption_config(kekd.endpoint)).start().wait_until_ready()
        secrets = server.list_secrets()
        kept = [name for name in secrets if name.startswith("kept-")]
        self.assertEqual(len(kept), _SECRETS)
        read = time.monotonic()
        for number in (0, _SECRETS // 2, _SECRETS - 1):
            self.assert_secret(server, f"kept-{number}", text=f"value {number}")
        print(f"{_SECRETS} Secrets: four times a wrong pair refused in {refused - begin:.1f} s; proof and restore {restored - refused:.1f} s; "
              f"until an API server had read every Secret {read - restored:.1f} s; the drill {read - refused:.1f} s")
