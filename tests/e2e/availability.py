"""kekd down and back, at each moment an API server can be in: primed, with an uncached object, and not yet started."""

from harness.api_server import ApiError
from harness.cluster import ClusterTestCase, encryption_config
from harness.process import wait_for

# The API server's gRPC client backs off from 1 s by 1.6; after half a minute without kekd it may sit out this long.
_RECONNECT_SECONDS = 40


class Availability(ClusterTestCase):
    """Two API servers of one cluster: each has a seed of its own, so what one wrote is uncached in the other."""

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        config = encryption_config(cls.kekd.endpoint)
        cls.first = cls.cluster.api_server("first", config).start().wait_until_ready()
        cls.second = cls.cluster.api_server("second", config).start().wait_until_ready()
        cls.first.create_secret("shared", text="seen by both")

    def test_1_cached_reads_and_writes_go_on_while_down(self):
        self.assert_secret(self.second, "shared", text="seen by both")
        self.kekd.kill()
        for server in (self.first, self.second):
            self.assert_secret(server, "shared", text="seen by both")
        self.first.create_secret("within-lease", text="lease")
        self.assert_secret(self.first, "within-lease", text="lease")

    def test_2_uncached_reads_fail_while_down(self):
        self.second.create_secret("only-second", text="uncached in the first")
        # The second server made its seed while kekd was up and never wrote with it: the first cannot have seen it.
        self.assert_secret(self.second, "only-second", text="uncached in the first")
        with self.assertRaises(ApiError) as caught:
            self.first.get_secret("only-second")
        self.assertEqual(caught.exception.status, 500)
        self.assertRegex(caught.exception.message, "failed to decrypt DEK")

    def test_3_health_endpoints_are_red_while_down(self):
        self.first.wait_for_kms_health(500, timeout=40)
        status, body = self.first.health("/healthz/kms-providers")
        self.assertEqual(status, 500)
        self.assertIn("kms-provider-0", body)
        self.assertEqual(self.first.health("/livez")[0], 200)
        self.assertEqual(self.first.health("/livez/kms-providers")[0], 404)

    def test_4_recovery(self):
        self.kekd.start()
        for server in (self.first, self.second):
            server.wait_for_kms_health(200, timeout=_RECONNECT_SECONDS)
        self.assertEqual(self.kekd.status()["encrypts"], 0, "the same key_id must need no new Encrypt")
        self.assert_secret(self.first, "only-second", text="uncached in the first")
        self.assert_secret(self.second, "within-lease", text="lease")
        self.first.create_secret("after-recovery", text="back")
        self.assert_secret(self.second, "after-recovery", text="back")

    def test_5_api_server_first_kekd_later(self):
        self.second.kill()
        self.kekd.stop()
        self.first.cold_restart()
        self.assertEqual(self.first.kms_health()[0], 500)
        with self.assertRaises(ApiError) as read:
            self.first.get_secret("shared")
        self.assertEqual(read.exception.status, 500)
        with self.assertRaises(ApiError) as write:
            self.first.create_secret("too-early", text="never")
        self.assertEqual(write.exception.status, 500)

        self.kekd.start()
        self.first.wait_for_kms_health(200, timeout=_RECONNECT_SECONDS)
        wait_for(lambda: self.first.health("/readyz")[0] == 200, 30, "the whole of /readyz is 200", interval=0.5)
        self.assert_secret(self.first, "shared", text="seen by both")
        self.first.create_secret("too-early", text="not any more")
