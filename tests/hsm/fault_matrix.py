#!/usr/bin/env python3
"""Every CK_RV at every call that the HSM worker makes, each once; and crashes, hangs and exits there.

Each time the call at hand succeeds or fails with a status that says what to do, nobody hangs, kekd's side lives, the token
works again soon after, and no PIN is sent that may be wrong.

fault_matrix.py [VARIANT] [unittest's arguments]

KEKD_BIN_DIR is the folder of token_driver and kekd-hsm-worker. KEKD_LONG_TESTS=1: with every operation that comes by a call,
before and after the module was reached, and not only with one of them. A build with sanitizers takes a third of the values.
"""

import collections
import itertools
import os
import pathlib
import queue
import re
import sys
import threading
import time
import unittest

import token_world
from token_world import World

LONG = os.environ.get("KEKD_LONG_TESTS") == "1"
WORLDS = 4
# Nothing here asks for what is wrong or is not there: INVALID_ARGUMENT or NOT_FOUND would call a good ciphertext damaged, or a
# key lost, for what the token has done.
SANE = {"OK", "FAILED_PRECONDITION", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
BACK_SECONDS = 10

# Of these the worker makes what it can, and says what it found out then.
NOT_SAID = {("C_Initialize", "CKR_CRYPTOKI_ALREADY_INITIALIZED"), ("C_GetAttributeValue", "CKR_ATTRIBUTE_TYPE_INVALID"),
            ("C_GetAttributeValue", "CKR_ATTRIBUTE_SENSITIVE"), ("C_GetAttributeValue", "CKR_BUFFER_TOO_SMALL")}

# After any other code that C_Login returns the PIN is not sent again until its file is written anew: it may mean that it is wrong.
PIN_IS_NOT_JUDGED = {
    "CKR_GENERAL_ERROR", "CKR_FUNCTION_FAILED", "CKR_DEVICE_ERROR", "CKR_HOST_MEMORY", "CKR_SLOT_ID_INVALID", "CKR_DEVICE_MEMORY",
    "CKR_DEVICE_REMOVED", "CKR_FUNCTION_CANCELED", "CKR_OPERATION_NOT_INITIALIZED", "CKR_SESSION_CLOSED", "CKR_SESSION_COUNT",
    "CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_PARALLEL_NOT_SUPPORTED", "CKR_SESSION_READ_ONLY", "CKR_SESSION_EXISTS",
    "CKR_SESSION_READ_ONLY_EXISTS", "CKR_SESSION_READ_WRITE_SO_EXISTS", "CKR_TOKEN_NOT_PRESENT", "CKR_TOKEN_NOT_RECOGNIZED",
    "CKR_TOKEN_WRITE_PROTECTED", "CKR_USER_ALREADY_LOGGED_IN", "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", "CKR_USER_TOO_MANY_TYPES",
    "CKR_CRYPTOKI_NOT_INITIALIZED", "CKR_CRYPTOKI_ALREADY_INITIALIZED"}
# What is done; before "start" the worker is killed, so that the next one goes through all of its beginning.
OPERATIONS = {"start": "encrypt", "encrypt": "encrypt", "decrypt": "decrypt", "probe": "probe", "probe-key": "probe-key",
              "describe": "describe", "list": "list", "make": "make-and-destroy"}
# Without these calls the matrix would have missed what it is for.
ALWAYS = {"C_Initialize", "C_GetSlotList", "C_GetTokenInfo", "C_OpenSession", "C_Login", "C_FindObjectsInit", "C_FindObjects",
          "C_FindObjectsFinal", "C_GetAttributeValue", "C_GetSessionInfo"}
AES_KEY = {"C_GenerateKey"}
CIPHER = {"C_EncryptInit", "C_Encrypt", "C_DecryptInit", "C_Decrypt"}
MESSAGES = {"C_MessageEncryptInit", "C_EncryptMessage", "C_MessageEncryptFinal", "C_MessageDecryptInit", "C_DecryptMessage",
            "C_MessageDecryptFinal"}
KEY_WRAP = {"C_CreateObject", "C_WrapKey", "C_UnwrapKey", "C_DestroyObject"}
MAC = {"C_SignInit", "C_Sign"}
RSA = {"C_GenerateKeyPair", "C_DecryptInit", "C_Decrypt"}
NO_GCM = "mask-mechanism CKM_AES_GCM"
NO_KEY_WRAP = "mask-mechanism CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD CKM_AES_KEY_WRAP_KWP"
NO_CBC = "mask-mechanism CKM_AES_CBC CKM_AES_CBC_PAD"

# A token of tests/hsm/tokens, what p11fault makes of it, KeyMechanism as a number, and calls that must be among those tried.
# Of all but the first the short run tries a part of the values.
Variant = collections.namedtuple("Variant", "token orders mechanism expected")
VARIANTS = {
    "softhsm2": Variant("softhsm2", (), 1, ALWAYS | AES_KEY | CIPHER),
    "softhsm2-iv": Variant("softhsm2", ("gcm-iv token",), 2, ALWAYS | AES_KEY | CIPHER),
    "softhsm2-appended-iv": Variant("softhsm2", ("gcm-iv token-appended",), 3, ALWAYS | AES_KEY | CIPHER),
    "softhsm2-kw": Variant("softhsm2", (NO_GCM,), 6, ALWAYS | AES_KEY | KEY_WRAP),
    "softhsm2-cbc": Variant("softhsm2", (NO_GCM, NO_KEY_WRAP), 8, ALWAYS | AES_KEY | CIPHER | MAC),
    "softhsm2-oaep": Variant("softhsm2", (NO_GCM, NO_KEY_WRAP, NO_CBC), 10, ALWAYS | RSA),
    "nss": Variant("nss", (), 1, ALWAYS | AES_KEY | CIPHER),
    "nss-messages": Variant("nss", (NO_GCM + " in C_EncryptInit C_DecryptInit",), 4, ALWAYS | AES_KEY | MESSAGES),
    "nss-kwp": Variant("nss", (NO_GCM,), 5, ALWAYS | AES_KEY | KEY_WRAP),
    "tpm2": Variant("tpm2", (), 9, ALWAYS | RSA),
}
PART = 10

# Whoever can't load a module has none: these fail in no device.
OF_LOADING = {"C_GetFunctionList", "C_GetInterface", "C_GetInterfaceList"}

Case = collections.namedtuple("Case", "operation function action")


def return_values():
    text = (pathlib.Path(__file__).parent / "p11fault" / "return_values.inc").read_text()
    return [name for name in re.findall(r"RETURN_VALUE\((CKR_\w+)", text) if name != "CKR_OK"] + ["0x8a000001"]


class Matrix:
    """Runs cases in several worlds at once and keeps what went wrong."""

    def __init__(self, variant):
        self.variant = variant
        self.cases = queue.SimpleQueue()
        self.failures = []
        self.codes = collections.Counter()
        self.lock = threading.Lock()
        self.slowest = (0, None)
        self.names = itertools.count()
        self.workers = 0

    def run(self, cases):
        count = 0
        for case in cases:
            self.cases.put(case)
            count += 1
        threads = [threading.Thread(target=self.work) for _ in range(WORLDS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"{count} cases, {len(self.failures)} failures, {self.workers} workers; answers: {dict(self.codes)}; "
              f"back after {self.slowest[0]:.2f} s at worst ({self.slowest[1]})", file=sys.stderr)

    def work(self):
        world = None
        while True:
            try:
                case = self.cases.get_nowait()
            except queue.Empty:
                break
            try:
                world = world or new_world(self.variant)
                self.try_case(world, case)
            except Exception as error:  # the others go on: one fault is to be seen beside another
                self.failures.append(f"{' '.join(case)}: {error}")
                # Whatever state that was, the next case begins without it.
                if world is not None:
                    world.driver.kill()
                    self.close(world)
                    world = None
        if world is not None:
            self.close(world)

    def close(self, world):
        world.close()
        with self.lock:
            self.workers += world.starts

    def try_case(self, world, case):
        name = f"case{next(self.names)}"
        before = world.calls()
        if case.operation == "start":
            world.ask("kill-worker")
        world.order(f"{case.function} {case.action} as {name} in-all")
        answer = world.ask(command_of(case.operation, name))
        assert world.faults(name) == 1, f"the call was not made: {answer}"
        assert answer["code"] in SANE, f"{answer}"
        value = case.action.split()[-1]
        if answer["code"] != "OK" and case.action.startswith("return") and (case.function, value) not in NOT_SAID:
            # Whoever has tried every mechanism says what was wrong with each, and not at which call.
            said = case.function in answer["message"] or case.operation == "make" and value in answer["message"]
            assert said, f"the reason is not said: {answer}"
        self.codes[answer["code"]] += 1
        if case.function == "C_Login" and case.action.startswith("return") and value not in PIN_IS_NOT_JUDGED:
            check_pin_is_kept_back(world, before, answer)
        begin = time.monotonic()
        self.wait_until_back(world, begin)
        took = time.monotonic() - begin
        if took > self.slowest[0]:
            self.slowest = (took, " ".join(case))
        sent = world.calls()["C_Login"] - before["C_Login"]
        assert sent <= 12, f"{sent} PINs were sent"

    def wait_until_back(self, world, begin):
        while True:
            answers = [world.ask("encrypt"), world.ask("decrypt")]
            codes = {answer["code"] for answer in answers}
            if codes == {"OK"}:
                return
            assert codes <= SANE, f"afterwards: {answers}"
            assert time.monotonic() - begin < BACK_SECONDS, f"not back: {answers}"
            time.sleep(0.02)


def check_pin_is_kept_back(world, before, answer):
    assert answer["code"] == "FAILED_PRECONDITION", f"{answer}"
    again = world.ask("encrypt")
    world.ask("kill-worker")
    time.sleep(0.1)
    anew = world.ask("encrypt")
    for later in (again, anew):
        assert later["code"] == "FAILED_PRECONDITION", f"later: {later}"
    sent = world.calls()["C_Login"] - before["C_Login"]
    assert sent == 1, f"{sent} PINs were sent"
    world.write_pin(token_world.PIN)


def command_of(operation, name):
    command = OPERATIONS[operation]
    return f"{command} {name}" if operation == "make" else command


def new_world(variant):
    world = World(token=variant.token, orders=variant.orders)
    made = world.expect("generate the-key")
    assert made["mechanism"] == variant.mechanism, f"{made}"
    world.expect("encrypt")
    world.expect("decrypt")
    return world


def functions_called(variant):
    """By operation."""
    world = new_world(variant)
    try:
        called = {}
        for operation in OPERATIONS:
            if operation == "start":
                world.ask("kill-worker")
                time.sleep(0.1)
            before = world.calls()
            world.expect(command_of(operation, f"of-{operation}"))
            after = world.calls()
            called[operation] = [name for name in after if after[name] > before[name] and name not in OF_LOADING]
        return called
    finally:
        world.close()


class FaultMatrix(unittest.TestCase):

    variant = VARIANTS["softhsm2"]

    @classmethod
    def setUpClass(cls):
        cls.called = functions_called(cls.variant)
        cls.by_function = collections.defaultdict(list)
        for operation, functions in cls.called.items():
            for function in functions:
                cls.by_function[function].append(operation)

    def run_cases(self, cases):
        matrix = Matrix(self.variant)
        matrix.run(cases)
        self.assertFalse(matrix.failures, f"{len(matrix.failures)} failures:\n" + "\n".join(matrix.failures[:60]))

    def is_first(self):
        return self.variant is VARIANTS["softhsm2"]

    def operations(self, function, turn):
        """All in the long run, one after the other in the short one."""
        operations = self.by_function[function]
        return operations if LONG else [operations[turn % len(operations)]]

    def test_worker_makes_the_calls_that_this_is_about(self):
        self.assertLessEqual(self.variant.expected, set(self.by_function))

    def test_every_return_value_at_every_call(self):
        cases = []
        stride = 1
        if not LONG:  # each value somewhere, all the same
            stride = (3 if token_world.SLOW else 1) * (1 if self.is_first() else PART)
        for number, function in enumerate(self.by_function):
            for turn, value in enumerate(return_values()[number % stride::stride]):
                for operation in self.operations(function, turn):
                    cases.append(Case(operation, function, f"return {value}"))
                    if LONG:
                        cases.append(Case(operation, function, f"return-after {value}"))
        self.run_cases(cases)

    def test_worker_ends_or_hangs_at_every_call(self):
        cases = []
        actions = ("crash", "hang", "exit 0", "exit 3", "abort", "sessions-killed")
        stride = 1 if LONG or self.is_first() else 3
        for number, function in enumerate(self.by_function):
            for turn, action in enumerate(actions[number % stride::stride]):
                cases += [Case(operation, function, action) for operation in self.operations(function, turn)]
        self.run_cases(cases)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in VARIANTS:
        FaultMatrix.variant = VARIANTS[sys.argv.pop(1)]
    if not token_world.is_there(FaultMatrix.variant.token):
        sys.exit(token_world.SKIPPED)
    unittest.main()
