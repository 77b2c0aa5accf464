"""What lies in etcd, byte by byte, and how few calls it takes to get it there.

Tests with a name such as KMSv2Provider are after the Kubernetes project's own of that name (docs/upstream-cases.md).
"""

import concurrent.futures
import hashlib
import re
import subprocess

from harness.api_server import pod, secret_key
from harness.cluster import PROVIDER, ClusterTestCase
from harness.encrypted_object import SOURCE_TYPE_AES_GCM_KEY, SOURCE_TYPE_HKDF_SEED, parse

_PLAINTEXT = "correct-horse-battery-staple"

# format, algorithm and key version; then a nonce of 24 bytes, the 32-byte seed and a tag of 16 (docs/formats.md).
_HEADER_OF_VERSION_1 = bytes.fromhex("010100000001")
_CIPHERTEXT_BYTES = 6 + 24 + 32 + 16


class StoredFormat(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        # The configuration that an operator would paste: what kekctl prints must please a real API server.
        config = cls.kekd.kekctl("encryption-config", "--phase", "2", "--provider-name", PROVIDER, "--resources", "secrets,pods")
        cls.server = cls.cluster.api_server(config_text=config).start().wait_until_ready()

    def metrics(self):
        """The lines on envelopes of our provider, and on transformations of Secrets; a time is FP."""
        lines = self.server.metric_lines("apiserver_envelope_encryption_")
        lines += self.server.metric_lines("apiserver_storage_transformation_operations_total")
        lines = [line for line in lines if PROVIDER in line and ("resource=" not in line or 'resource="secrets"' in line)]
        return [re.sub(r"} \S+$", "} FP", line) if "_seconds" in line else line for line in lines
                if "kms_operations_latency" not in line and "status_last_timestamp" not in line]

    def assert_transformed(self, metrics, direction, count):
        """The lines of one direction, exactly as upstream's test has them, but for the API server's id, which is its own."""
        key_id_hash = "sha256:" + hashlib.sha256(self.kekd.key_id().encode()).hexdigest()
        labels = (f'{{apiserver_id_hash="ID",key_id_hash="{key_id_hash}",provider_name="{PROVIDER}",'
                  f'transformation_type="{direction}"}}')
        for line in (f"apiserver_envelope_encryption_key_id_hash_total{labels} {count}",
                     f"apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds{labels} FP",
                     f'apiserver_storage_transformation_operations_total{{resource="secrets",status="OK",'
                     f'transformation_type="{direction}",transformer_prefix="k8s:enc:kms:v2:{PROVIDER}:"}} {count}'):
            self.assertIn(line, metrics)

    def test_1_KMSv2Provider(self):
        self.server.reset_metrics()
        self.server.create_secret("format", text=_PLAINTEXT)
        key = secret_key("format")
        raw = self.cluster.etcd.raw_value(key)
        self.assertTrue(raw.startswith(f"k8s:enc:kms:v2:{PROVIDER}:".encode()), raw[:60])
        self.assertNotIn(_PLAINTEXT.encode(), raw)
        self.assert_secret(self.server, "format", text=_PLAINTEXT)
        metrics = [re.sub(r'apiserver_id_hash="sha256:[0-9a-f]{64}"', 'apiserver_id_hash="ID"', line) for line in self.metrics()]
        # Read by the watch cache and by us.
        self.assert_transformed(metrics, "from_storage", 2)
        self.assert_transformed(metrics, "to_storage", 1)
        self.assertIn(f'apiserver_envelope_encryption_dek_source_cache_size{{provider_name="{PROVIDER}"}} 1', metrics)
        self.assertEqual(len(metrics), 7, metrics)

        # The payload opens with what kekd gives for the DEK source and the etcd path, and with nothing else.
        plain = self.cluster.open(self.kekd, key)
        self.assertTrue(plain.startswith(b"k8s\0"), plain[:10])
        self.assertIn(_PLAINTEXT.encode(), plain)
        elsewhere = "/elsewhere/format"  # where no API server looks
        self.cluster.etcd.put(elsewhere, raw)
        with self.assertRaises(subprocess.CalledProcessError):
            self.cluster.open(self.kekd, elsewhere)

    def test_2_DefaultValues(self):
        stored = self.cluster.stored("format")
        self.assertEqual(stored.provider, PROVIDER)
        self.assertEqual(stored.key_id, self.kekd.key_id())
        self.assertRegex(stored.key_id, r"^e2e\.1\.[0-9a-f]{32}$")
        self.assertEqual(stored.source_type, SOURCE_TYPE_HKDF_SEED)
        self.assertEqual(stored.annotations, {})
        self.assertTrue(stored.encrypted_dek_source.startswith(_HEADER_OF_VERSION_1), stored.encrypted_dek_source.hex())
        self.assertEqual(len(stored.encrypted_dek_source), _CIPHERTEXT_BYTES)

    def test_3_KMSv2ProviderDEKSourceReuse(self):
        def create(number):
            self.server.post("/api/v1/namespaces/default/pods", pod(f"many-{number:04}"))

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(create, range(1000)))

        stored = [parse(value) for value in self.cluster.etcd.values("/registry/pods/default/").values()]
        self.assertEqual(len(stored), 1000)
        self.assertEqual({one.key_id for one in stored}, {self.kekd.key_id()})
        self.assertEqual({one.source_type for one in stored}, {SOURCE_TYPE_HKDF_SEED})
        self.assertEqual(len({one.encrypted_dek_source for one in stored}), 1)
        # Each has its own key all the same: 32 bytes of info and the nonce's are random.
        self.assertEqual(len({one.encrypted_data[:32] for one in stored}), 1000)
        status = self.kekd.status()
        self.assertEqual(status["encrypts"], 1, status)

    def test_4_KMSv2FeatureFlag(self):
        """A restart on the same etcd: what was written before is read."""
        self.server.cold_restart().wait_until_ready()
        self.assertEqual(len(self.server.get("/api/v1/namespaces/default/pods")["items"]), 1000)
        self.assert_secret(self.server, "format", text=_PLAINTEXT)
        # The restarted server made a seed of its own, and learnt the old one; how often it asked is its affair.
        status = self.kekd.status()
        self.assertEqual(status["encrypts"], 2, status)
        self.assertGreaterEqual(status["decrypts"], 1, status)

    def test_5_health_endpoints_with_kekd_up(self):
        for path in ("/healthz/kms-providers", "/readyz/kms-providers"):
            self.assertEqual(self.server.health(path)[0], 200, path)
        self.assertEqual(self.server.health("/livez/kms-providers")[0], 404)

    def test_6_KMSv2ProviderLegacyData(self):
        """Values as the API servers of 1.27 and 1.28 wrote them, with a DEK source under a key of our ring."""
        before = self.kekd.key_id()
        plain = self.cluster.open(self.kekd, secret_key("format"))
        for source_type in (SOURCE_TYPE_AES_GCM_KEY, SOURCE_TYPE_HKDF_SEED):
            name = f"typed{source_type}"  # of the same length: protobuf has it before the name
            key = secret_key(name)
            self.cluster.etcd.put(key, self.cluster.seal(self.kekd, key, plain.replace(b"format", name.encode()), source_type))
            self.assertEqual(self.cluster.stored(name).source_type, source_type)
        self.kekd.rotate()
        for name in ("typed0", "typed1"):
            self.assertEqual(self.cluster.stored(name).key_id, before)
            self.assert_secret(self.server, name, text=_PLAINTEXT)
        self.assertLessEqual({"typed0", "typed1"}, set(self.server.list_secrets()))
        # A no-op write brings the old type to the new one.
        self.server.rewrite_secret("typed0")
        self.assertEqual(self.cluster.stored("typed0").source_type, SOURCE_TYPE_HKDF_SEED)
