"""kekd is restarted and upgraded while API servers call it: no call may fail."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import parts
from harness.kekd import Kekd
from harness.process import wait_for
from harness.service_manager import ServiceManager

_RESTARTS = 100 if os.environ.get("KEKD_LONG_TESTS") else 8
_CONNECTIONS = 4
# Between two restarts, so that clients are in full flow again.
_PAUSE = 0.1


class RestartUnderLoad(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kekd-load-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.kekd = Kekd(self.folder).init()

    def manager(self, **options):
        manager = ServiceManager(self.kekd, **options)
        self.addCleanup(manager.destroy)
        return manager

    def upgrade(self):
        """Another kekd at another path, as an upgrade lays it down."""
        path = self.folder / "kekd-upgraded"
        shutil.copy2(os.environ.get("KEKD_OTHER_KEKD") or parts.program("kekd"), path)
        return str(path)

    def start_load(self, clients):
        load = subprocess.Popen([parts.program("kms_load"), self.kekd.socket, str(_CONNECTIONS), clients],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(load.wait)
        self.addCleanup(load.kill)
        return load

    def restart_under_load(self, manager, clients, restarts=_RESTARTS, encrypts=0):
        """What the clients counted; kekd's two binaries take turns, each when it has been asked that often."""
        binaries = [parts.program("kekd"), self.upgrade()]
        manager.start()
        load = self.start_load(clients)
        stops = []
        for number in range(restarts):
            time.sleep(_PAUSE)
            wait_for(lambda: self.kekd.status()["encrypts"] >= encrypts, 20, "kekd is asked")
            stops.append(manager.stop())
            manager.binary = binaries[(number + 1) % 2]
            manager.start()
        wait_for(lambda: self.kekd.status()["encrypts"] > 0, 20, "the last kekd is asked")
        output, _ = load.communicate(timeout=30)
        counted = json.loads(output)
        print(f"{restarts} restarts: {counted}, slowest stop {max(stops) * 1000:.0f} ms")
        self.assertGreater(counted["calls"], restarts * 10)
        return counted

    def test_socket_units(self):
        manager = self.manager()
        manager.listen(self.kekd.socket)
        self.assertEqual(self.restart_under_load(manager, "wait")["failed"], 0)

    def test_sockets_kept_over_the_restart(self):
        self.assertEqual(self.restart_under_load(self.manager(), "wait")["failed"], 0)

    def test_clients_that_do_not_wait_for_a_connection(self):
        manager = self.manager()
        manager.listen(self.kekd.socket)
        self.assertEqual(self.restart_under_load(manager, "fail")["failed"], 0)

    def test_nobody_keeps_the_sockets(self):
        # As in a static pod. kube-apiserver waits for a connection within its 3 s, so it loses no call but time.
        manager = self.manager(keep=False)
        counted = self.restart_under_load(manager, "wait", min(_RESTARTS, 20), encrypts=100 * _CONNECTIONS)
        self.assertEqual(counted["failed"], 0)
