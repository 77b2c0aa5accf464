"""What lies in etcd, byte by byte, and how few calls it takes to get it there."""

import concurrent.futures

from harness.api_server import secret_key
from harness.cluster import PROVIDER, ClusterTestCase
from harness.encrypted_object import SOURCE_TYPE_HKDF_SEED

_PLAINTEXT = "correct-horse-battery-staple"

# format, algorithm and key version; then a nonce of 24 bytes, the 32-byte seed and a tag of 16 (docs/formats.md).
_HEADER_OF_VERSION_1 = bytes.fromhex("010100000001")
_CIPHERTEXT_BYTES = 6 + 24 + 32 + 16


class StoredFormat(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        # The configuration that an operator would paste: what kekctl prints must please a real API server.
        config = cls.kekd.kekctl("encryption-config", "--phase", "2", "--provider-name", PROVIDER)
        cls.server = cls.cluster.api_server(config_text=config).start().wait_until_ready()

    def test_1_value_in_etcd(self):
        self.server.create_secret("format", text=_PLAINTEXT)
        raw = self.cluster.etcd.raw_value(secret_key("format"))
        self.assertTrue(raw.startswith(f"k8s:enc:kms:v2:{PROVIDER}:".encode()), raw[:60])
        self.assertNotIn(_PLAINTEXT.encode(), raw)

        stored = self.cluster.stored("format")
        self.assertEqual(stored.provider, PROVIDER)
        self.assertEqual(stored.key_id, self.kekd.key_id())
        self.assertRegex(stored.key_id, r"^e2e\.1\.[0-9a-f]{32}$")
        self.assertEqual(stored.source_type, SOURCE_TYPE_HKDF_SEED)
        self.assertEqual(stored.annotations, {})
        self.assertTrue(stored.encrypted_dek_source.startswith(_HEADER_OF_VERSION_1), stored.encrypted_dek_source.hex())
        self.assertEqual(len(stored.encrypted_dek_source), _CIPHERTEXT_BYTES)
        self.assert_secret(self.server, "format", text=_PLAINTEXT)

    def test_2_thousand_objects_make_one_encrypt(self):
        def create(number):
            self.server.create_secret(f"many-{number:04}", text=f"value {number}")

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(create, range(1000)))

        self.assertEqual(len(self.cluster.etcd.keys(secret_key("many-"))), 1000)
        status = self.kekd.status()
        self.assertEqual(status["encrypts"], 1, status)
        sources = {self.cluster.stored(f"many-{number:04}").encrypted_dek_source for number in range(0, 1000, 100)}
        self.assertEqual(len(sources), 1)

    def test_3_thousand_objects_are_read_after_a_cold_restart(self):
        self.server.cold_restart().wait_until_ready()
        self.assertEqual(len([name for name in self.server.list_secrets() if name.startswith("many-")]), 1000)
        self.assert_secret(self.server, "many-0999", text="value 999")
        # The restarted server made a seed of its own, and learnt the old one; how often it asked is its affair.
        status = self.kekd.status()
        self.assertEqual(status["encrypts"], 2, status)
        self.assertGreaterEqual(status["decrypts"], 1, status)

    def test_4_health_endpoints_with_kekd_up(self):
        for path in ("/healthz/kms-providers", "/readyz/kms-providers"):
            self.assertEqual(self.server.health(path)[0], 200, path)
        self.assertEqual(self.server.health("/livez/kms-providers")[0], 404)
