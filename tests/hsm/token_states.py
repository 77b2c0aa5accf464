#!/usr/bin/env python3
"""A token that goes away and comes back, that is about to lock its PIN, that has few sessions, or that makes its IVs itself.

KEKD_BIN_DIR is the folder of token_driver and kekd-hsm-worker.
"""

import sys
import time
import unittest

import token_world
from token_world import World

BACK_SECONDS = 10


class TokenStates(unittest.TestCase):

    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def make_key(self):
        self.world.expect("generate the-key")
        self.world.expect("encrypt")
        self.world.expect("decrypt")

    def restart_worker(self):
        self.world.ask("kill-worker")
        time.sleep(0.1)

    def assert_back(self):
        begin = time.monotonic()
        while True:
            answers = [self.world.ask("decrypt"), self.world.ask("encrypt")]
            if all(answer["code"] == "OK" for answer in answers):
                return
            self.assertLess(time.monotonic() - begin, BACK_SECONDS, answers)
            time.sleep(0.01)

    def assert_code(self, command, *codes):
        answer = self.world.ask(command)
        self.assertIn(answer["code"], codes, answer)
        return answer

    def logins(self):
        return self.world.calls()["C_Login"]

    def test_token_goes_and_comes_back(self):
        for order in ("token-gone", "token-gone until-reinit"):
            for others in ([], ["renumber"]):
                with self.subTest(order=order, others=others):
                    self.world.order(*others)
                    self.restart_worker()
                    if order == "token-gone" and not others:
                        self.make_key()
                    self.assert_back()
                    self.world.order(order, *others)
                    until = time.monotonic() + 1
                    while time.monotonic() < until:
                        self.assert_code("encrypt", "UNAVAILABLE")
                        self.assert_code("decrypt", "UNAVAILABLE")
                    self.world.order(*others)
                    self.assert_back()

    def test_sessions_die_again_and_again(self):
        self.make_key()
        for at in range(1, 12):
            self.world.order(f"* at {at} sessions-killed # {at}")
            for command in ("encrypt", "decrypt", "probe", "probe-key", "encrypt", "decrypt"):
                self.world.expect(command)

    def test_slots_and_handles_are_other_ones_each_time(self):
        self.world.order("renumber")
        self.make_key()
        for case in range(3):
            self.world.order("renumber", f"C_EncryptInit return CKR_DEVICE_REMOVED # {case}")
            self.assert_back()
            self.restart_worker()
            self.assert_back()

    def test_damaged_ciphertext_is_no_broken_token(self):
        self.make_key()
        before = self.world.calls()
        for _ in range(20):
            self.assert_code("decrypt-damaged", "INVALID_ARGUMENT")
        after = self.world.calls()
        for function in ("C_Initialize", "C_Finalize", "C_Login"):
            self.assertEqual(after[function], before[function], function)
        # With a token that is broken it is not known what the ciphertext is.
        self.world.order("C_Decrypt return CKR_GENERAL_ERROR always")
        self.assert_code("decrypt-damaged", "UNAVAILABLE")
        self.assert_code("decrypt", "UNAVAILABLE")
        self.world.order()
        self.assert_back()

    def test_wrong_pin_is_sent_once(self):
        self.make_key()
        self.world.write_pin("a-wrong-pin")
        before = self.logins()
        for _ in range(4):
            self.restart_worker()
            for command in ("encrypt", "decrypt", "encrypt"):
                self.assert_code(command, "FAILED_PRECONDITION")
        self.assertEqual(self.logins() - before, 1)
        self.world.write_pin(token_world.PIN)
        self.assert_back()

    def test_wrong_pin_is_sent_once_by_all_processes_together(self):
        self.world.write_pin("a-wrong-pin")
        for _ in range(2):
            for answer in self.world.ask_others(6, "list"):
                self.assertEqual(answer["code"], "FAILED_PRECONDITION", answer)
            self.assertEqual(self.logins(), 1)
        self.world.write_pin(token_world.PIN)
        for answer in self.world.ask_others(6, "list"):
            self.assertEqual(answer["code"], "OK", answer)

    def test_worker_that_always_dies_in_login_sends_two_pins(self):
        self.world.order("C_Login crash always")  # and the token does not tell that it counts
        for _ in range(6):
            self.assert_code("list", "FAILED_PRECONDITION", "UNAVAILABLE")
            time.sleep(0.6)
        self.assertEqual(self.logins(), 2)
        self.world.order()
        self.assert_code("list", "FAILED_PRECONDITION")
        self.world.write_pin(token_world.PIN)
        time.sleep(0.2)  # recoveries are spaced
        self.world.expect("list")

    def test_worker_that_dies_in_login_does_not_burn_pins(self):
        self.make_key()
        self.world.write_pin(token_world.PIN)  # not known to work
        before = self.logins()
        # The token counts what it has been told, and says so; what came of it nobody knows.
        self.world.order("C_Login crash always", "pin-count-low")
        self.restart_worker()
        for _ in range(6):
            self.assert_code("encrypt", "FAILED_PRECONDITION", "UNAVAILABLE")
            time.sleep(0.6)
        self.assertEqual(self.logins() - before, 1)
        self.world.order()
        self.world.write_pin(token_world.PIN)
        self.assert_back()

    def test_no_pin_is_sent_to_a_token_that_would_lock(self):
        self.make_key()
        for flag in ("pin-final-try", "pin-locked"):
            with self.subTest(flag):
                self.world.order(flag)
                self.restart_worker()
                before = self.logins()
                for _ in range(3):
                    self.assert_code("encrypt", "FAILED_PRECONDITION")
                self.assertEqual(self.logins(), before)
                self.world.order()
                self.assert_back()

    def test_few_sessions(self):
        for told in ("", " not-told"):
            for most in (3, 4):  # the login's, one to work with, one to write
                with self.subTest(most=most, told=told):
                    self.world.order(f"max-sessions {most}{told}")
                    self.restart_worker()
                    self.world.expect(f"generate key-{most}{told.strip()}")
                    for command in ("encrypt", "decrypt", "probe-key", "list", f"make-and-destroy other-{most}{told.strip()}"):
                        self.world.expect(command)

    def test_token_makes_the_iv(self):
        for order, size in (("gcm-iv token", 12), ("gcm-iv token-appended", 16)):
            with self.subTest(order):
                self.world.order(order)
                self.restart_worker()
                self.world.expect(f"generate key-with-{size}")
                self.world.expect("encrypt")
                self.restart_worker()
                self.world.expect("decrypt")
                self.world.expect("encrypt")
                self.world.expect("decrypt")
                self.assert_code("decrypt-damaged", "INVALID_ARGUMENT")

    def test_token_without_any_cipher(self):
        self.world.order("mask-mechanism CKM_AES_GCM CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD CKM_AES_CBC CKM_RSA_PKCS_OAEP")
        answer = self.assert_code("generate a-key", "FAILED_PRECONDITION")
        self.assertIn("CKR_MECHANISM_INVALID", answer["message"])
        self.assertEqual(self.world.expect("list")["keys"], 0)  # none is left behind
        self.world.order()
        self.make_key()


class SessionCopies(TokenStates):
    """The same with keys copied into the session."""

    def setUp(self):
        self.world = World("session-copy")
        self.addCleanup(self.world.close)


if __name__ == "__main__":
    if not token_world.is_there():
        sys.exit(token_world.SKIPPED)
    unittest.main()
