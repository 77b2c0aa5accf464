#!/usr/bin/env python3
"""Allowed and other clients that say nothing, half a word, something else, or gRPC with a mistake in it; and a kekd that is out
of descriptors.

KEKD_BIN_DIR is the folder of kekd, kekctl and kms_storm.
"""

import array
import os
import socket
import struct
import time
import unittest

import http2
from http2 import DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, Peer, frame
from measured import MeasuredTestCase

OK, CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 1, 3, 4, 8, 12, 13
NOBODY = 65534


def connect(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    while True:
        try:
            peer.connect(path)
            return peer
        except BlockingIOError:  # the backlog is full for a moment
            time.sleep(0.001)


def is_closed(peer):
    try:
        return peer.recv(1) == b""
    except ConnectionResetError:
        return True


class SilentTest(MeasuredTestCase):

    def test_hundreds_that_say_nothing(self):
        with self.witness("300 silent connections"):
            silent = [connect(self.kekd.socket) for _ in range(300)]
            self.assertTrue(all(is_closed(peer) for peer in silent))  # within each one's own time
            for peer in silent:
                peer.close()
        self.assert_back_to_normal("300 silent connections")

    def test_connections_come_and_go(self):
        with self.witness("connections that come and go"):
            until = time.monotonic() + 2
            count = 0
            while time.monotonic() < until:
                connect(self.kekd.socket).close()
                count += 1
        self.assert_back_to_normal(f"{count} connections that come and go")

    def test_preface_a_byte_at_a_time(self):
        begin = time.monotonic()
        with self.witness("slow prefaces"):
            slow = [connect(self.kekd.socket) for _ in range(30)]
            for at in range(len(http2.PREFACE) - 1):
                for peer in slow:
                    try:
                        peer.send(http2.PREFACE[at:at + 1])
                    except OSError:
                        pass
                time.sleep(0.2)
            self.assertTrue(all(is_closed(peer) for peer in slow))
            for peer in slow:
                peer.close()
        self.assertLess(time.monotonic() - begin, 30)
        self.assert_back_to_normal("slow prefaces")

    def test_other_protocols(self):
        for words in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /v2.KeyManagementService/Status HTTP/1.1\r\n\r\n",
                      b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500), os.urandom(1000), b"\0" * 1000,
                      b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", b"PRI * HTTP/1.1\r\n\r\n"):
            with connect(self.kekd.socket) as peer:
                peer.sendall(words)
                self.assertTrue(is_closed(peer), words[:20])
        self.assert_back_to_normal("other protocols")

    def test_slow_bytes(self):
        """A whole call, a byte at a time: slow is no offence."""
        with self.witness("slow bytes"), Peer(self.kekd.socket) as peer:
            stream = peer.stream()
            for byte in (frame(HEADERS, END_HEADERS, stream, http2.request_headers("Status"))
                         + frame(DATA, END_STREAM, stream, http2.message(b""))):
                peer.send(bytes((byte,)))
                time.sleep(0.002)
            self.assertEqual(peer.wait(stream).grpc_status(), OK)
        self.assert_back_to_normal("slow bytes")

    def test_call_that_stops_in_the_middle(self):
        with self.witness("a call that stops in the middle"), Peer(self.kekd.socket) as peer:
            peer.send(frame(HEADERS, END_HEADERS, peer.stream(), http2.request_headers("Encrypt"))
                      + frame(DATA, 0, 1, http2.message(b"", length=50) + b"abc"))
            self.assertTrue(peer.ends_within(25), "it is cut off")
        self.assert_back_to_normal("a call that stops in the middle")

    def test_room_for_others(self):
        """One process that has all connections does not keep another one out."""
        hoard = [Peer(self.kekd.socket) for _ in range(64)]
        with self.witness("all connections taken"):
            more = [Peer(self.kekd.socket) for _ in range(20)]
            time.sleep(0.5)
        for peer in hoard + more:
            peer.close()
        self.assert_back_to_normal("all connections taken")

    def test_passed_descriptors(self):
        with self.witness("passed descriptors"):
            with open("/dev/null", "rb") as null:
                fds = array.array("i", [null.fileno()] * 100)
                for words in (b"PRI", http2.PREFACE + frame(http2.SETTINGS, 0, 0)):
                    peers = [connect(self.kekd.socket) for _ in range(5)]
                    for peer in peers:
                        peer.sendmsg([words], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
                    time.sleep(0.2)
                    for peer in peers:
                        peer.close()
        self.assert_back_to_normal("passed descriptors")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_wrong_user(self):
        for path in (self.folder, self.kekd.folder):
            path.chmod(0o755)
        os.chmod(self.kekd.socket, 0o666)
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            refused = 0
            for _ in range(200):
                with connect(self.kekd.socket) as peer:
                    try:
                        peer.send(http2.PREFACE + frame(http2.SETTINGS, 0, 0))
                    except OSError:
                        pass
                    refused += is_closed(peer)
            os._exit(0 if refused == 200 else 1)
        with self.witness("200 connections of another user"):
            self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertIn(f"uid {NOBODY}", self.kekd.process.log_text())
        self.assert_back_to_normal("200 connections of another user")


class MistakeTest(MeasuredTestCase):

    def call(self, headers, *data):
        """The status of a call, in another connection each."""
        with Peer(self.kekd.socket) as peer:
            stream = peer.stream()
            peer.send(frame(HEADERS, END_HEADERS, stream, headers)
                      + b"".join(frame(DATA, END_STREAM if part is data[-1] else 0, stream, part) for part in data))
            answer = peer.wait(stream)
            self.assertTrue(answer.over or peer.closed)
            return answer.grpc_status()

    def test_framing(self):
        encrypt = http2.encrypt_request(b"s" * 32)
        headers = http2.request_headers("Encrypt")
        self.assertEqual(self.call(headers, http2.message(encrypt)), OK)
        # gRPC takes a message for what it is if no encoding was named.
        self.assertIn(self.call(headers, http2.message(encrypt, compressed=1)), (OK, INTERNAL))
        for name, body in {
                "a flag that is none": http2.message(encrypt, compressed=7),
                "a length beyond the data": http2.message(encrypt, length=len(encrypt) + 10),
                "a length of 4 GiB": http2.message(encrypt, length=0xffffffff),
                "half a prefix": b"\0\0\0", "nothing": b"", "no protobuf": http2.message(b"\xff" * 40),
                "a varint without end": http2.message(b"\x0a" + b"\xff" * 20),
                "an empty plaintext": http2.message(b""),
                "too long a plaintext": http2.message(http2.encrypt_request(b"s" * 513)),
                "too long a uid": http2.message(http2.encrypt_request(b"s" * 32, uid="u" * 1025))}.items():
            status = self.call(headers, body)
            print(f"  {name}: {status}")
            self.assertNotEqual(status, OK, name)
        big = b"z" * 16000
        self.assertIn(self.call(headers, http2.message(b"", length=4 << 20), *[big] * 263), (RESOURCE_EXHAUSTED, None))
        self.assert_back_to_normal("framing")

    def test_headers(self):
        empty = http2.message(b"")
        for name, headers in {
                "no such method": http2.request_headers("Destroy"), "no such service": http2.request_headers(path="/x/y"),
                "no path": http2.request_headers(path=""), "a path without end": http2.request_headers(path="/" * 6000),
                "a content type that is none": http2.request_headers(content_type="text/html"),
                "no content type": http2.request_headers(content_type=""),
                "a time-out that is none": http2.request_headers(timeout="soon"),
                "headers beyond the limit": http2.request_headers(more=http2.header("x", "y" * 14000)),
                "zero bytes": http2.request_headers(more=http2.header("x\0y", "\0")),
                "capitals": http2.request_headers(more=http2.header("X-Y", "z"))}.items():
            print(f"  {name}: {self.call(headers, empty)}")
        self.assertEqual(self.call(http2.request_headers("Destroy"), empty), UNIMPLEMENTED)
        self.assertEqual(self.call(http2.request_headers("Status"), empty), OK)
        self.assert_back_to_normal("headers")

    def test_deadlines(self):
        empty = http2.message(b"")
        self.assertNotEqual(self.call(http2.request_headers("Status", timeout="0n"), empty), OK)
        self.assertEqual(self.call(http2.request_headers("Status", timeout="99999999H"), empty), OK)
        with Peer(self.kekd.socket) as peer:
            for _ in range(10):
                streams = [peer.begin("Encrypt", http2.encrypt_request(b"s" * 32), timeout="1u") for _ in range(100)]
                self.assertTrue(all(peer.wait(stream).over for stream in streams))
        self.assert_back_to_normal("deadlines")

    def test_calls_cancelled_in_the_middle(self):
        with self.witness("cancelled calls"):
            for at in range(1, 200):
                with Peer(self.kekd.socket) as peer:
                    for _ in range(20):
                        stream = peer.begin("Encrypt", http2.encrypt_request(b"s" * 32))
                        if at % 2:
                            peer.send(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
        self.assert_back_to_normal("cancelled calls")


class FewDescriptorsTest(MeasuredTestCase):
    descriptor_limit = 64

    def test_out_of_descriptors(self):
        with self.witness("out of descriptors"):
            hoard = []
            for path in (self.kekd.socket, str(self.kekd.folder / "admin.sock")):
                for _ in range(64):
                    try:
                        hoard.append(Peer(path, timeout=1))
                    except OSError:
                        pass
            time.sleep(1)
            for peer in hoard:
                peer.close()
        self.assert_back_to_normal("out of descriptors")


class AdminSocketTest(MeasuredTestCase):

    def test_admin_socket(self):
        admin = str(self.kekd.folder / "admin.sock")
        block = http2.request_headers(path="/kekd.admin.v1.Admin/GetStatus")
        with self.witness("the admin socket under attack"):
            peers = [Peer(admin, timeout=1) for _ in range(20)]
            for peer in peers:
                peer.try_send(b"".join(
                    frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, http2.message(b""))
                    + frame(RST_STREAM, 0, stream, b"\0\0\0\x08") for stream in (peer.stream() for _ in range(300))))
            silent = [connect(admin) for _ in range(200)]
            self.kekd.kekctl("status")
            for peer in peers + silent:
                peer.close()
        self.assert_back_to_normal("the admin socket under attack")


if __name__ == "__main__":
    unittest.main(verbosity=2)
