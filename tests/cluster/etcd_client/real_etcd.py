#!/usr/bin/env python3
"""The client with a real etcd: KEKD_ETCD_VERSION chooses another than the distribution's. Exit code 77: it cannot be had."""

import contextlib
import pathlib
import random
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from certificates import Authority  # noqa: E402  (the path comes first)
from etcd_members import Cluster  # noqa: E402
from dump import dump, dump_while, expected  # noqa: E402
from harness.process import free_port  # noqa: E402

_LOOPBACK = "IP:127.0.0.1"


def _objects(count, size=200, prefix="/registry/configmaps/default/"):
    chance = random.Random(count)
    return {f"{prefix}{i:06}": chance.randbytes(size) for i in range(count)}


class EtcdTestCase(unittest.TestCase):

    def folder(self):
        folder = tempfile.TemporaryDirectory(prefix="kekd-etcd-client-")
        self.addCleanup(folder.cleanup)
        return pathlib.Path(folder.name)

    def cluster(self, **options):
        cluster = Cluster(self.folder(), **options)
        self.addCleanup(cluster.stop)
        return cluster.start()

    def assert_error(self, result, code, *texts):
        self.assertEqual(result.exit_code, 1, result.facts)
        self.assertTrue(result.error.startswith(code + ": "), result.error)
        # One line of ours and none of gRPC's.
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        for text in texts:
            self.assertIn(str(text), result.error)
        self.assertEqual(result.facts, {}, "an error comes with no facts")


class Plain(EtcdTestCase):

    def test_reads_every_object_and_counts_the_others(self):
        etcd = self.cluster()
        objects = _objects(3000)
        objects["/registry/empty"] = b""
        objects.update({f"/registry/large/{i}": bytes([i]) * 1_400_000 for i in range(12)})
        etcd.put({key: value for key, value in objects.items() if len(value) < 1000})
        etcd.put({key: value for key, value in objects.items() if len(value) >= 1000}, batch=1)
        etcd.put({"/elsewhere/1": b"x", "zoo": b"y"})
        etcd.ctl("put", "/registry/empty", "changed")
        etcd.ctl("put", "/registry/empty", "")
        result = dump(etcd.urls)
        self.assertEqual(result.exit_code, 0, result.error)
        self.assertEqual(result.objects, expected(objects))
        self.assertEqual(result.facts["other_keys"], "2")
        self.assertEqual(result.facts["revision"], str(etcd.revision()))
        self.assertEqual(result.gaps, [])
        self.assertEqual(len(dump(etcd.urls, prefixes="").objects), len(objects) + 2)

    def test_nothing_below_a_prefix_is_no_error(self):
        etcd = self.cluster()
        result = dump(etcd.urls)
        self.assertEqual((result.exit_code, result.objects, result.gaps), (0, {}, []))
        self.assertEqual(result.facts["other_keys"], "0")

    def test_one_revision_whatever_is_written_meanwhile(self):
        etcd = self.cluster()
        objects = _objects(5000)
        etcd.put(objects)

        def write():
            etcd.put({key: b"changed" for key in objects})
            etcd.ctl("del", "/registry/configmaps/default/0049", "--prefix")

        result = dump_while(etcd.urls, write)
        self.assertEqual(result.objects, expected(objects), result.error)
        self.assertEqual(result.gaps, [])

    def test_a_compaction_meanwhile_is_aborted(self):
        etcd = self.cluster()
        objects = _objects(20000)
        etcd.put(objects)

        def compact():
            etcd.put({"/registry/later": b"x"})
            etcd.ctl("compact", str(etcd.revision()))

        self.assert_error(dump_while(etcd.urls, compact), "ABORTED", "etcd compacted revision", "run this again")

    def test_killed_half_way_is_unavailable(self):
        etcd = self.cluster()
        etcd.put(_objects(20000))
        result = dump_while(etcd.urls, etcd.members[0].kill)
        self.assert_error(result, "UNAVAILABLE", etcd.urls[0], "nobody listens there")
        self.assertGreater(len(result.objects), 0)
        self.assertLess(len(result.objects), 20000)

    def test_hanging_half_way_is_unavailable(self):
        etcd = self.cluster()
        etcd.put(_objects(20000))
        result = dump_while(etcd.urls, etcd.members[0].pause, command_timeout="1s", dial_timeout="1s")
        self.assert_error(result, "UNAVAILABLE", etcd.urls[0], "did not answer")

    def test_clusters_are_not_mixed(self):
        one, other = self.cluster(), self.cluster()
        self.assert_error(dump([one.urls[0], other.urls[0]]), "FAILED_PRECONDITION", "different clusters", one.urls[0], other.urls[0])


class ThreeMembers(EtcdTestCase):

    def setUp(self):
        self.etcd = self.cluster(members=3)

    def test_goes_on_when_one_is_dead_from_the_beginning(self):
        objects = _objects(1000)
        self.etcd.put(objects)
        self.etcd.members[0].kill()
        result = dump(self.etcd.urls)
        self.assertEqual(result.objects, expected(objects), result.error)
        self.assertEqual(result.gaps, [])

    def test_goes_on_when_one_dies_half_way(self):
        objects = _objects(20000)
        self.etcd.put(objects)
        result = dump_while(self.etcd.urls, self.etcd.members[0].kill)
        self.assertEqual(result.objects, expected(objects), result.error)
        self.assertEqual(result.gaps, [])

    def test_without_a_majority_nothing_is_believed(self):
        self.etcd.put(_objects(10))
        self.etcd.members[0].kill()
        self.etcd.members[1].kill()
        self.assert_error(dump(self.etcd.urls), "UNAVAILABLE", *self.etcd.urls, "nobody listens there")


class MutualTls(EtcdTestCase):

    def setUp(self):
        self.ca = Authority(self.folder() / "ca", "etcd-ca")
        self.other_ca = Authority(self.folder() / "other", "other-ca")
        self.server = self.ca.issue("etcd-0", _LOOPBACK, "DNS:etcd-0.example")
        self.client = self.ca.issue("root")

    def start(self, server=None):
        return self.cluster(ca=self.ca, server=server or self.server, client=self.client)

    def test_reads_with_certificates_and_says_what_is_wrong_with_them(self):
        etcd = self.start()
        objects = _objects(500)
        etcd.put(objects)
        url = etcd.urls[0]
        host_port = url.removeprefix("https://")
        for endpoint in (url, host_port):
            result = dump(endpoint, ca=self.ca.cert, client=self.client)
            self.assertEqual(result.objects, expected(objects), result.error)

        self.assert_error(dump(url, ca=self.other_ca.cert, client=self.client), "UNAUTHENTICATED", url,
                          f"not signed by the CA in {self.other_ca.cert}")
        self.assert_error(dump(url.replace("127.0.0.1", "localhost"), ca=self.ca.cert, client=self.client), "UNAUTHENTICATED",
                          "its certificate is not for localhost but for 127.0.0.1, etcd-0.example")
        self.assert_error(dump(url, ca=self.ca.cert), "UNAUTHENTICATED", url, "asks for a client certificate", "apiserver-etcd-client")
        self.assert_error(dump(url, ca=self.ca.cert, client=self.other_ca.issue("stranger")), "UNAUTHENTICATED", url,
                          "refuses the client certificate")
        result = dump("http://" + host_port)
        # One etcd says what it got, another closes the connection.
        self.assertIn("speaks TLS", result.error)
        self.assertIn("write https://", result.error)

    def test_an_expired_certificate_of_etcd(self):
        expired = self.ca.issue("expired", _LOOPBACK, days=-1)
        port = free_port()
        self.addCleanup(_serve_tls(port, expired).close)
        self.assert_error(dump(f"https://127.0.0.1:{port}", ca=self.ca.cert, client=self.client), "UNAUTHENTICATED",
                          "its certificate expired at", "renew it")

    def test_files_that_are_wrong_are_told_before_any_connection(self):
        url = "https://127.0.0.1:1"
        cert, key = self.client
        self.assert_error(dump(url, ca=self.ca.cert, client=self.ca.issue("old", days=-1)), "FAILED_PRECONDITION", "old.crt expired at")
        self.assert_error(dump(url, client=self.client), "INVALID_ARGUMENT", "cacert")
        self.assert_error(dump(url), "INVALID_ARGUMENT", "cacert")
        self.assert_error(dump(url, ca=self.ca.cert, cert=cert), "INVALID_ARGUMENT", "without its key")
        self.assert_error(dump(url, ca=self.ca.cert, key=key), "INVALID_ARGUMENT", "without its certificate")
        self.assert_error(dump(url, ca=self.ca.cert, client=(cert, self.server[1])), "INVALID_ARGUMENT", "is not the key of")
        self.assert_error(dump(url, ca=key, client=self.client), "INVALID_ARGUMENT", "no PEM certificate")
        self.assert_error(dump(url, ca=self.ca.cert, client=(cert, cert)), "PERMISSION_DENIED", "chmod 0600")
        locked = self.folder() / "locked.key"
        subprocess.run(["openssl", "pkey", "-in", str(key), "-aes256", "-passout", "pass:x", "-out", str(locked)], check=True,
                       capture_output=True, timeout=60)
        self.assert_error(dump(url, ca=self.ca.cert, client=(cert, locked)), "INVALID_ARGUMENT", "encrypted under a passphrase")
        key.chmod(0o640)
        self.assert_error(dump(url, ca=self.ca.cert, client=self.client), "PERMISSION_DENIED", "mode 0640", f"chmod 0600 {key}")

    def test_users_of_etcd(self):
        etcd = self.start()
        objects = _objects(5)
        etcd.put(objects)
        reader, stranger = self.ca.issue("reader"), self.ca.issue("stranger")
        etcd.ctl("user", "add", "root", "--no-password")
        etcd.ctl("user", "add", "reader", "--no-password")
        etcd.ctl("role", "add", "read-registry")
        etcd.ctl("role", "grant-permission", "read-registry", "--prefix=true", "read", "/registry/")
        etcd.ctl("user", "grant-role", "reader", "read-registry")
        etcd.ctl("user", "grant-role", "root", "root")
        etcd.ctl("auth", "enable")
        result = dump(etcd.urls, ca=self.ca.cert, client=self.client)
        self.assertEqual(result.objects, expected(objects), result.error)
        self.assertEqual(result.gaps, [])
        # One who may read what is asked for, and not count what else there is.
        result = dump(etcd.urls, ca=self.ca.cert, client=reader, prefixes="/registry/")
        self.assertEqual(result.objects, expected(objects), result.error)
        self.assertEqual(len(result.gaps), 1, result.gaps)
        self.assertIn("keys outside of the prefixes", result.gaps[0])
        self.assert_error(dump(etcd.urls, ca=self.ca.cert, client=reader), "PERMISSION_DENIED", etcd.urls[0], "grant-permission")
        result = dump(etcd.urls, ca=self.ca.cert, client=stranger)
        self.assertEqual(result.exit_code, 1)
        self.assertIn(etcd.urls[0], result.error)


class NoEtcd(EtcdTestCase):
    """What else may listen."""

    def test_http_1(self):
        port = self._answering(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n400 Bad Request")
        self.assert_error(dump(f"127.0.0.1:{port}"), "FAILED_PRECONDITION", "HTTP/1 server", "2379")

    def test_tls_without_http_2_and_no_tls_at_all(self):
        ca = Authority(self.folder() / "ca", "ca")
        port = free_port()
        self.addCleanup(_serve_tls(port, ca.issue("server", _LOOPBACK)).close)
        self.assert_error(dump(f"https://127.0.0.1:{port}", ca=ca.cert), "FAILED_PRECONDITION", "no HTTP/2")
        etcd = self.cluster()
        self.assert_error(dump(etcd.urls[0].replace("http:", "https:"), ca=ca.cert), "UNAVAILABLE", "speaks no TLS", "http://")

    def test_silence_is_bounded(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.assert_error(dump(f"127.0.0.1:{silent.getsockname()[1]}", dial_timeout="500ms"), "UNAVAILABLE", "did not answer in time")

    def test_garbage(self):
        port = self._answering(b"\x00\xff\x1b[2J" * 100)
        self.assert_error(dump(f"127.0.0.1:{port}"), "FAILED_PRECONDITION", "no HTTP/2")

    def _answering(self, answer):
        """The port of a server that says this to everybody."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def talk(connection):
            connection.recv(1000)
            connection.sendall(answer)

        _serve(listener, talk)
        return listener.getsockname()[1]

    def test_nobody(self):
        self.assert_error(dump("http://127.0.0.1:1"), "UNAVAILABLE", "etcd at http://127.0.0.1:1: nobody listens there")
        self.assert_error(dump("unix:///nowhere.sock"), "UNAVAILABLE", "nobody listens there")
        self.assert_error(dump("http://no-such-host.invalid:2379"), "UNAVAILABLE", "can't be resolved")
        self.assert_error(dump("ftp://127.0.0.1:1"), "INVALID_ARGUMENT", "scheme")


def _serve_tls(port, certificate):
    """A TLS server that shakes hands, knows no HTTP/2, and closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, certificate))
    listener = socket.create_server(("127.0.0.1", port))

    def shake_hands(connection):
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(1)

    _serve(listener, shake_hands)
    return listener


def _serve(listener, talk):
    """Hands each connection to talk() and closes it, until the listener is closed."""
    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                talk(connection)

    threading.Thread(target=serve, daemon=True).start()


def main():
    result = unittest.main(argv=sys.argv, verbosity=2, exit=False).result
    if not result.wasSuccessful():
        return 1
    if result.skipped and len(result.skipped) >= result.testsRun:
        print(f"SKIPPED: {result.skipped[0][1]}", file=sys.stderr)
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
