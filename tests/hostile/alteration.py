#!/usr/bin/env python3
"""Every bit of a ciphertext and of its key_id flipped, bytes taken away and added, annotations added: each is refused, with the
code that tells why, and nothing of it opens.

KEKD_BIN_DIR is the folder of kekd and kekctl.
"""

import unittest

import http2
from http2 import Peer
from measured import MeasuredTestCase

OK, INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, INTERNAL = 0, 3, 5, 12, 13
SEED = bytes(range(32))


def flipped(data):
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


class AlterationTest(MeasuredTestCase):

    def setUp(self):
        super().setUp()
        self.peer = Peer(self.kekd.socket)
        self.addCleanup(self.peer.close)
        answer = self.peer.wait(self.peer.begin("Encrypt", http2.encrypt_request(SEED)))
        self.assertEqual(answer.grpc_status(), OK)
        encrypted = answer.grpc_message()
        self.ciphertext, self.key_id = encrypted[1], encrypted[2]
        self.assertEqual(self.decrypt([(self.ciphertext, self.key_id, ())]), [OK])

    def decrypt(self, requests):
        """The codes of calls, many of which are made at once."""
        answers = []
        for at in range(0, len(requests), 20):  # no more than the connection's first window takes
            streams = [self.peer.begin("Decrypt", http2.decrypt_request(*some)) for some in requests[at:at + 20]]
            answers += [self.peer.wait(stream) for stream in streams]
        for request, answer in zip(requests, answers):
            if answer.grpc_status() == OK:
                self.assertEqual(request[:2], (self.ciphertext, self.key_id))
                self.assertEqual(answer.grpc_message(), {1: SEED})
            else:
                self.assertEqual(answer.data, b"")
        return [answer.grpc_status() for answer in answers]

    def assert_back_to_normal(self, what, **options):
        self.peer.close()
        return super().assert_back_to_normal(what, **options)

    def test_every_bit_of_a_ciphertext(self):
        codes = self.decrypt([(changed, self.key_id, ()) for changed in flipped(self.ciphertext)])
        # The first two bytes name format and algorithm, and a newer kekd may have more of them.
        self.assertLessEqual(set(codes[:16]), {INVALID_ARGUMENT, UNIMPLEMENTED})
        self.assertEqual(codes[16:], [INVALID_ARGUMENT] * (8 * len(self.ciphertext) - 16))
        self.assert_back_to_normal(f"{len(codes)} altered ciphertexts")

    def test_every_bit_of_a_key_id(self):
        for changed in flipped(self.key_id):
            (code,) = self.decrypt([(self.ciphertext, changed, ())])
            # What is no UTF-8 is no protobuf string.
            self.assertIn(code, [NOT_FOUND] if changed.isascii() else [INVALID_ARGUMENT, INTERNAL], changed)
        self.assert_back_to_normal("altered key_ids")

    def test_every_length(self):
        shorter = [(self.ciphertext[:size], self.key_id, ()) for size in range(len(self.ciphertext))]
        longer = [(self.ciphertext + b"\0" * size, self.key_id, ()) for size in range(1, 1100)]
        moved = [(self.ciphertext[at:], self.key_id, ()) for at in range(1, len(self.ciphertext))]
        self.assertEqual(set(self.decrypt(shorter + longer)), {INVALID_ARGUMENT})
        self.assertLessEqual(set(self.decrypt(moved)), {INVALID_ARGUMENT, UNIMPLEMENTED})
        ids = [(self.ciphertext, self.key_id[:size], ()) for size in range(1, len(self.key_id))]
        ids += [(self.ciphertext, self.key_id + b"0" * size, ()) for size in range(1, 1024 - len(self.key_id))]
        self.assertEqual(set(self.decrypt(ids)), {NOT_FOUND})
        wrong = [(self.ciphertext, b"", ()), (self.ciphertext, self.key_id + b"0" * 1024, ())]
        self.assertEqual(set(self.decrypt(wrong)), {INVALID_ARGUMENT})
        self.assert_back_to_normal("other lengths")

    def test_any_annotation(self):
        annotations = [[("kekd.dev", b"")], [("a.b", b"x" * 100)], [("", b"")], [("x", b"y")] * 3,
                       [(f"a{number}.example.com", b"v" * 1000) for number in range(32)]]
        codes = self.decrypt([(self.ciphertext, self.key_id, some) for some in annotations])
        self.assertEqual(set(codes), {INVALID_ARGUMENT})
        self.assertEqual(self.decrypt([(self.ciphertext, self.key_id, ())]), [OK])
        self.assert_back_to_normal("annotations")

    def test_another_versions_key_id(self):
        other = self.kekd.rotate().encode()
        self.assertNotEqual(other, self.key_id)
        self.assertEqual(self.decrypt([(self.ciphertext, other, ()), (self.ciphertext, self.key_id, ())]),
                         [INVALID_ARGUMENT, OK])


if __name__ == "__main__":
    unittest.main(verbosity=2)
