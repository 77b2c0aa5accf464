#!/usr/bin/env python3
"""Allowed clients that ask too much of HTTP/2, a kind a test: whoever behaves is served meanwhile, nothing grows without
bound, and all of it is given back.

KEKD_BIN_DIR is the folder of kekd, kekctl and kms_storm.
"""

import struct
import threading
import time
import unittest

import http2
from http2 import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, \
    WINDOW_UPDATE, Peer, frame
from measured import LONG, MeasuredTestCase, is_sanitized

SECONDS = 10 if LONG else 1.5
UNTIL_CUT = 60  # seconds; only a machine without a moment for kekd needs them
HEADER_BLOCK = http2.request_headers("Decrypt")
BODY = http2.message(http2.decrypt_request(b"x" * 78, "e2e.1.00112233445566778899aabbccddeeff"))
CANCEL = struct.pack(">I", 8)


def swallow(peer):
    """Reads what comes, so that kekd need not wait for us."""
    try:
        while peer.socket.recv(1 << 16):
            pass
    except OSError:
        pass


class FloodTest(MeasuredTestCase):

    def flood(self, make, connections=1, read=True, cut=False):
        """Each connection sends what make(peer) makes, again and again, for SECONDS, or until it is cut off."""
        what = self.id().rpartition(".")[2]
        with self.witness(what):
            time.sleep(0.1)
            peers = [Peer(self.kekd.socket, timeout=UNTIL_CUT if cut else 1) for _ in range(connections)]
            until = time.monotonic() + (UNTIL_CUT if cut else SECONDS)

            def attack(peer):
                try:
                    while time.monotonic() < until and peer.send(make(peer)):
                        pass
                except OSError:
                    pass

            threads = [threading.Thread(target=attack, args=(peer,)) for peer in peers]
            if read:
                threads += [threading.Thread(target=swallow, args=(peer,), daemon=True) for peer in peers]
            for thread in threads:
                thread.start()
            for thread in threads[:connections]:
                thread.join()
            if cut:
                self.assertTrue(all(peer.closed for peer in peers))
            for peer in peers:
                peer.close()
        self.assert_back_to_normal(what)

    def test_rapid_reset(self):
        self.flood(lambda peer: b"".join(
            frame(HEADERS, END_HEADERS, stream, HEADER_BLOCK) + frame(RST_STREAM, 0, stream, CANCEL)
            for stream in (peer.stream() for _ in range(500))))

    def test_rapid_reset_of_whole_calls_by_many(self):
        self.flood(lambda peer: b"".join(
            frame(HEADERS, END_HEADERS, stream, HEADER_BLOCK) + frame(DATA, END_STREAM, stream, BODY)
            + frame(RST_STREAM, 0, stream, CANCEL) for stream in (peer.stream() for _ in range(200))), connections=30)

    def test_settings(self):
        self.flood(lambda _: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 1000, cut=True)

    def test_settings_whose_acknowledgements_are_not_read(self):
        self.flood(lambda _: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 1000, read=False, cut=True)

    def test_pings(self):
        self.flood(lambda _: frame(PING, 0, 0, b"12345678") * 1000, cut=True)

    def test_priorities(self):
        self.flood(lambda _: frame(PRIORITY, 0, 1, b"\0\0\0\0\1") * 1000, cut=True)

    def test_window_updates(self):
        self.flood(lambda _: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 1000, cut=True)

    def test_unknown_frames(self):
        self.flood(lambda _: frame(0xfa, 0, 0, b"x" * 10) * 1000, cut=True)

    def begin_stream(self, peer, flags):
        """The beginning of a stream the first time, nothing after."""
        return frame(HEADERS, flags, peer.stream(), HEADER_BLOCK) if peer._next_stream == 1 else b""

    def test_empty_data(self):
        self.flood(lambda peer: self.begin_stream(peer, END_HEADERS) + frame(DATA, 0, 1) * 1000, cut=True)

    def test_empty_continuations(self):
        self.flood(lambda peer: self.begin_stream(peer, 0) + frame(CONTINUATION, 0, 1) * 1000, cut=True)

    def test_continuations_by_many(self):
        self.flood(lambda peer: self.begin_stream(peer, 0)
                   + frame(CONTINUATION, 0, 1, http2.header("x-more", "y" * 100)) * 100, connections=30, cut=True)

    def test_giant_headers(self):
        block = HEADER_BLOCK + http2.header("x-giant", "y" * 12000)
        self.flood(lambda peer: frame(HEADERS, END_HEADERS | END_STREAM, peer.stream(), block))

    def test_header_list_bomb(self):
        # One header of 3900 bytes in the table, then sixteen thousand references to it, one byte each.
        bomb = HEADER_BLOCK + http2.indexed_header("x-bomb", "y" * 3900) + http2.reference(62) * 12000
        self.flood(lambda peer: frame(HEADERS, END_HEADERS | END_STREAM, peer.stream(), bomb))

    def test_messages_that_do_not_end(self):
        def parts(peer):
            begin = b""
            if peer._next_stream == 1:
                begin = b"".join(frame(HEADERS, END_HEADERS, peer.stream(), HEADER_BLOCK)
                                 + frame(DATA, 0, 2 * i + 1, http2.message(b"", length=20 << 20)) for i in range(100))
            return begin + b"".join(frame(DATA, 0, 2 * i + 1, b"z" * 8000) for i in range(100))

        self.flood(parts, connections=4)

    def streams_without_data(self, what, streams):
        """Many clients begin calls, end none of them, and make a whole one now and then."""
        with self.witness(what):
            peers = [Peer(self.kekd.socket, timeout=0.2) for _ in range(20 if is_sanitized() else 60)]
            begun = time.monotonic()
            for peer in peers:
                peer.send(b"".join(frame(HEADERS, END_HEADERS, peer.stream(), HEADER_BLOCK) for _ in range(streams)))
            while not all(peer.closed for peer in peers) and time.monotonic() < begun + UNTIL_CUT:
                time.sleep(1)
                for peer in peers:
                    peer.send(frame(HEADERS, END_HEADERS, (stream := peer.stream()), HEADER_BLOCK)
                              + frame(DATA, END_STREAM, stream, BODY))
            print(f"{what}: all are cut off after {time.monotonic() - begun:.1f} s", flush=True)
            self.assertTrue(all(peer.closed for peer in peers))
            for peer in peers:
                peer.close()
        self.assert_back_to_normal(what)

    def test_more_streams_without_data_than_there_may_be(self):
        self.streams_without_data("too many streams without data", 3000)

    def test_many_streams_without_data(self):
        self.streams_without_data("many streams without data", 240)

    def test_some_streams_without_data(self):
        self.streams_without_data("some streams without data", 100)

    def test_answers_that_can_not_be_sent(self):
        # No window for any stream: kekd can't answer what it has done.
        what = "no window"
        settings = http2.NO_TABLE + struct.pack(">HI", http2.INITIAL_WINDOW_SIZE, 0)
        with self.witness(what):
            peers = [Peer(self.kekd.socket, settings=settings) for _ in range(10)]
            for peer in peers:
                for _ in range(120):
                    peer.begin("Encrypt", http2.encrypt_request(b"s" * 32))
            time.sleep(SECONDS)
            with Peer(self.kekd.socket) as good:
                self.assertEqual(good.wait(good.begin("Encrypt", http2.encrypt_request(b"s" * 32))).grpc_status(), 0)
            for peer in peers:
                peer.close()
        self.assert_back_to_normal(what)

    def test_answers_that_are_not_read(self):
        what = "answers not read"
        with self.witness(what):
            peers = [Peer(self.kekd.socket, timeout=0.5) for _ in range(10)]
            for peer in peers:
                stream_end = time.monotonic() + SECONDS / 5
                while time.monotonic() < stream_end and peer.send(
                        b"".join(frame(HEADERS, END_HEADERS, stream, HEADER_BLOCK) + frame(DATA, END_STREAM, stream, BODY)
                                 for stream in (peer.stream() for _ in range(100)))):
                    pass
            for peer in peers:
                peer.close()
        self.assert_back_to_normal(what)

    def test_window_errors(self):
        for bad in (frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0)),
                    frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fffffff)) * 2,
                    frame(SETTINGS, 0, 0, struct.pack(">HI", http2.INITIAL_WINDOW_SIZE, 0xffffffff)),
                    frame(DATA, 0, 0, b"x"), frame(HEADERS, END_HEADERS, 0, HEADER_BLOCK),
                    frame(SETTINGS, 0, 0, b"12345"), frame(PING, 0, 0, b"1"), frame(RST_STREAM, 0, 7, CANCEL),
                    frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), frame(HEADERS, END_HEADERS, 2, b""),
                    b"\xff" * 64):
            with Peer(self.kekd.socket) as peer:
                peer.send(bad)
                peer.drain(0.2)
        self.assert_back_to_normal("errors of windows and frames")


if __name__ == "__main__":
    unittest.main(verbosity=2)
