"""A token behind p11fault, and the program that does with it what kekd does."""

import json
import os
import pathlib
import select
import shutil
import struct
import subprocess
import tempfile
import time

SCRIPTS = pathlib.Path(__file__).parent / "tokens"
PIN = "a-test-pin-1"
SKIPPED = 77
# A call that takes longer than this hangs. Nothing here should take a tenth of it.
HUNG_SECONDS = 40
SLOW = os.environ.get("KEKD_SANITIZED") == "1"
CALL_TIMEOUT_MS = 5000 if SLOW else 2000


def make_token(script, folder):
    """What the script of tests/hsm/tokens prints, and the environment that the module needs; None if it is not installed."""
    made = subprocess.run([SCRIPTS / script, folder, "world", PIN, str(os.getpid())], stdout=subprocess.PIPE, text=True)
    if made.returncode == SKIPPED:
        return None
    made.check_returncode()
    pairs = [line.split("=", 1) for line in made.stdout.splitlines()]
    return dict(pairs), dict(value.split("=", 1) for name, value in pairs if name == "ENV" and value)


def is_there(script="softhsm2"):
    with tempfile.TemporaryDirectory(prefix="kekd_token.") as folder:
        return make_token(script, folder) is not None


class World:
    """One token, one worker, one driver; several can live side by side.

    `orders` stand all the time: what p11fault makes of the token.
    """

    def __init__(self, *driver_options, token="softhsm2", orders=()):
        build = pathlib.Path(os.environ["KEKD_BIN_DIR"]).parent
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kekd_token."))
        self.token, environment = make_token(token, self.folder)
        self.environment = dict(os.environ, P11FAULT_CONTROL=str(self.folder / "control"), **environment)
        self.standing = orders
        self.starts = 0
        self.write_pin(PIN)
        self.order()
        self.stderr = open(self.folder / "stderr", "wb")
        self.arguments = [build / "bin" / "token_driver", build / "bin" / "kekd-hsm-worker", build / "lib" / "libp11fault.so",
                          self.token["TOKEN"], self.folder / "pin", self.folder / "pin-log", str(CALL_TIMEOUT_MS),
                          *driver_options]
        if self.token["INIT_ARGUMENTS"]:
            self.arguments.append("init-arguments=" + self.token["INIT_ARGUMENTS"])
        self.driver = self.new_driver()
        self.unread = b""

    def new_driver(self):
        return subprocess.Popen(self.arguments, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=self.stderr)

    def ask_others(self, count, command):
        """The answers of as many new drivers, each with its worker, that are all asked at the same time."""
        drivers = [self.new_driver() for _ in range(count)]
        try:
            answers = {}
            # SoftHSM reads its files while another process writes them, and then has no token for a moment.
            until = time.monotonic() + HUNG_SECONDS
            while len(answers) < count and time.monotonic() < until:
                asked = [driver for driver in drivers if driver not in answers]
                for driver in asked:
                    driver.stdin.write(command.encode() + b"\n")
                    driver.stdin.flush()
                for driver in asked:
                    answer = json.loads(driver.stdout.readline())
                    if answer["code"] != "UNAVAILABLE":
                        answers[driver] = answer
            return [answers[driver] for driver in drivers]
        finally:
            for driver in drivers:
                driver.stdin.close()
                driver.wait(HUNG_SECONDS)
                driver.stdout.close()

    def close(self):
        try:
            self.driver.stdin.close()
            self.driver.wait(HUNG_SECONDS)
        except BrokenPipeError:
            pass  # it was killed
        finally:
            self.driver.kill()
            self.driver.wait()
            self.driver.stdout.close()
            self.stderr.close()
            shutil.rmtree(self.folder)

    def write_pin(self, pin):
        """Anew, as an operator does it."""
        new = self.folder / "pin.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(pin + "\n")
        new.rename(self.folder / "pin")

    def order(self, *orders):
        new = self.folder / "control.new"
        new.write_text("\n".join([f"module {self.token['MODULE']}", *self.standing, *orders, ""]))
        new.rename(self.folder / "control")

    def calls(self):
        """How often each function was called so far, by name."""
        entries = struct.iter_unpack("<32s3Q", (self.folder / "control.counters" / "calls").read_bytes())
        return {name.rstrip(b"\0").decode(): calls for name, calls, _, _ in entries}

    def faults(self, order):
        """How often the order of this name has made its fault."""
        path = self.folder / "control.counters" / f"order-{order}"
        return struct.unpack("<2Q", path.read_bytes())[1] if path.exists() else 0

    def ask(self, command):
        """The driver's answer; an AssertionError if there is none in time or the driver has ended."""
        self.driver.stdin.write(command.encode() + b"\n")
        self.driver.stdin.flush()
        until = time.monotonic() + HUNG_SECONDS
        while b"\n" not in self.unread:
            ready, _, _ = select.select([self.driver.stdout], [], [], max(0, until - time.monotonic()))
            assert ready, f"'{command}' hangs"
            some = os.read(self.driver.stdout.fileno(), 65536)
            assert some, f"the driver has ended in '{command}': {self.last_words()}"
            self.unread += some
        line, self.unread = self.unread.split(b"\n", 1)
        answer = json.loads(line)
        self.starts = answer["starts"]
        return answer

    def last_words(self):
        return f"status {self.driver.wait(5)}, {(self.folder / 'stderr').read_text(errors='replace')[-2000:]}"

    def expect(self, command):
        answer = self.ask(command)
        assert answer["code"] == "OK", f"'{command}': {answer}"
        return answer
