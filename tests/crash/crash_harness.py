"""A keyring in a folder, changes of it, and the runner that stops a program at a system call of one."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import Callable

from scratch import die_with_parent

BIN = pathlib.Path(os.environ.get("KEKD_BIN_DIR", "build/release/bin"))
LONG = os.environ.get("KEKD_LONG_TESTS") == "1"
SKIPPED = 77

CONFIG = """\
apiVersion: kekd.dev/v1
kind: KekdConfiguration
stateDirectory: {folder}/state
admin:
  socket:
    path: {folder}/run/admin.sock
keyring:
  name: prod
  directory: {folder}/ring
  unlock:
  - keyFile: {folder}/keys/ring.key
  socket:
    path: {folder}/run/kekd.sock
memory:
  locking: preferred
"""


def skip(why):
    print(f"SKIPPED: {why}", file=sys.stderr)
    sys.exit(SKIPPED)


@dataclasses.dataclass
class Run:
    code: int
    out: str
    err: str
    calls: list  # the counted system calls, "name path"
    reached: bool

    def acknowledged(self):
        """Whether anybody could have seen that it was done."""
        return self.code == 0 or self.out != ""


class Ring:
    """A keyring as an operator has it: two versions, two key files, a backup, and what it has encrypted."""

    FOLDERS = ("ring", "state", "keys", "safe")

    def __init__(self, folder, notes):
        """`notes`: a folder for what is told of it, which survives a power cut."""
        self.folder = pathlib.Path(folder)
        (self.folder / "run").mkdir(0o700, parents=True)
        self.config = self.folder / "kekd.yaml"
        self.report = pathlib.Path(notes) / "calls"
        self.kekd_log = pathlib.Path(notes) / "kekd.log"
        self.armed = pathlib.Path(notes) / "armed"

    # What is in it.

    def empty(self):
        for name in self.FOLDERS:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("keys", "safe"):
            (self.folder / name).mkdir(0o700)
        self.config.write_text(CONFIG.format(folder=self.folder))
        self.config.chmod(0o644)

    def fill(self):
        self.empty()
        self.must("keyring", "init")
        self.must("key", "create")
        self.encrypt("one")
        self.must("key", "promote", "2")
        self.encrypt("two")
        self.must("key", "create")
        for name in ("second", "third"):
            self.must("keyring", "new-key-file", f"{self.folder}/keys/{name}.key")
        self.must("keyring", "wrap", "add", "--key-file", f"{self.folder}/keys/second.key")
        self.must("keyring", "backup", "--out", f"{self.folder}/safe/first.backup", "--shares", "2/2", "--share-dir",
                  f"{self.folder}/safe")
        # Times are shown in seconds: what is made from here on differs from these.
        time.sleep(1.05 - time.time() % 1)

    def save(self, copy):
        shutil.rmtree(copy, ignore_errors=True)
        for name in self.FOLDERS:
            if (self.folder / name).exists():
                shutil.copytree(self.folder / name, pathlib.Path(copy) / name)

    def bring_back(self, copy):
        for name in self.FOLDERS:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            if (pathlib.Path(copy) / name).exists():
                shutil.copytree(pathlib.Path(copy) / name, self.folder / name)

    def shares(self):
        return [str(path) for path in sorted((self.folder / "safe").glob("*.share-*"))]

    def rows_of_shares(self):
        """What opens each of the backups: a kill may have left the shares of one that never came to be."""
        rows = {}
        for share in self.shares():
            rows.setdefault(share.split(".share-")[0], []).extend(["--share", share])
        return rows.values()

    def key_files(self):
        return {path.name: path.read_bytes() for path in (self.folder / "keys").iterdir() if path.suffix != ".tmp"}

    def temporaries(self):
        return sorted(str(path) for name in self.FOLDERS for path in (self.folder / name).rglob("*.tmp"))

    # What is done with it.

    @staticmethod
    def execute(command, timeout=60):
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
                              preexec_fn=die_with_parent)

    def command(self, *arguments):
        return [str(BIN / "kekctl"), "--config", str(self.config), *(str(a).format(folder=self.folder) for a in arguments)]

    def run(self, *arguments):
        done = self.execute(self.command(*arguments))
        return Run(done.returncode, done.stdout, done.stderr, [], False)

    def must(self, *arguments):
        done = self.run(*arguments)
        if done.code != 0:
            raise AssertionError(f"{arguments}: {done.code}: {done.out}{done.err}")
        return done.out

    def runner(self, at, action, *options):
        folders = [option for name in self.FOLDERS for option in ("--folder", str(self.folder / name))]
        do = ["--at", str(at), "--do", action] if at else []
        return [str(BIN / "syscall_runner"), "--report", str(self.report), *folders, *do, *options, "--"]

    def traced(self, at, action, *arguments, options=()):
        done = self.execute(self.runner(at, action, *options) + self.command(*arguments))
        if done.returncode == SKIPPED:
            skip(done.stderr.strip() or "system calls can't be traced here")
        calls, reached = self.read_report()
        return Run(done.returncode, done.stdout, done.stderr, calls, reached)

    def cut_now(self, mount_point, flags):
        """The power of a file system."""
        self.execute([str(BIN / "syscall_runner"), "--report", str(self.report), "--folder", str(mount_point), "--at", "1",
                      "--do", f"cut:{mount_point}:{flags}", "--", "/usr/bin/touch", f"{mount_point}/cut"])
        self.read_report()

    def read_report(self):
        lines = self.report.read_text().splitlines()
        for line in lines:
            if line.startswith("can't"):
                raise AssertionError(line)
        calls = [line.split(" ", 1)[1] for line in lines if line[0].isdigit()]
        return calls, any(line.startswith("done ") for line in lines)

    # kekd.

    def start_kekd(self, *before):
        with open(self.kekd_log, "wb") as output:
            kekd = subprocess.Popen([*before, str(BIN / "kekd"), "--config", str(self.config)],
                                    stdin=subprocess.DEVNULL, stderr=output, stdout=subprocess.DEVNULL,
                                    preexec_fn=die_with_parent)
        deadline = time.monotonic() + 30
        while " ready " not in self.kekd_log.read_text():
            if kekd.poll() is not None or time.monotonic() > deadline:
                kekd.kill()
                kekd.wait()
                raise AssertionError(f"kekd does not start: {self.kekd_log.read_text()}")
            time.sleep(0.005)
        return kekd

    def start_traced_kekd(self, at, action, *options):
        """kekd of which no call counts before `armed` is there."""
        self.armed.unlink(missing_ok=True)
        kekd = self.start_kekd(*self.runner(at, action, "--armed", str(self.armed), *options))
        self.armed.touch()
        return kekd

    def stop_traced(self, kekd):
        """The runner ends as kekd does: 128 and the signal if it was killed, now or before."""
        pid = int(self.report.read_text().split()[1])
        if kekd.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just been killed, and the runner has not ended yet
                os.kill(pid, signal.SIGKILL)
        return kekd.wait(30)

    def probe(self, *arguments):
        done = self.execute([str(BIN / "crash_probe"), f"{self.folder}/run/kekd.sock", *arguments])
        if done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.stderr}")

    def encrypt(self, name):
        kekd = self.start_kekd()
        self.probe("encrypt", f"{self.folder}/safe/{name}.encrypted")
        stop(kekd)

    def check_decrypts(self):
        """kekd starts, and opens all that was ever encrypted."""
        kekd = self.start_kekd()
        encrypted = [str(path) for path in sorted((self.folder / "safe").glob("*.encrypted"))]
        try:
            if encrypted:
                self.probe("decrypt", *encrypted)
            self.probe("encrypt", f"{self.folder}/run/now.encrypted")
        finally:
            stop(kekd)

    def state(self):
        """What the keyring is; None where there is none; {"refused": why} where it was rolled back; else an error."""
        shown = self.run("-o", "json", "keyring", "show")
        if shown.code == 3 and "there is no keyring" in shown.err:
            return None
        if shown.code == 5 and "was rolled back" in shown.err:
            return {"refused": shown.err}
        if shown.code != 0:
            raise AssertionError(f"keyring show: {shown.code}: {shown.err}")
        verified = self.run("keyring", "verify")
        if verified.code != 0:
            raise AssertionError(f"keyring verify: {verified.code}: {verified.out}{verified.err}")
        if "DAMAGED" in verified.out.upper():
            raise AssertionError(f"keyring verify: {verified.out}")
        return json.loads(shown.out)


def stop(kekd):
    kekd.send_signal(signal.SIGKILL)
    kekd.wait()


@dataclasses.dataclass
class Change:
    """One change, what it begins with, and how to tell that it was made."""
    name: str
    arguments: tuple
    made: Callable  # (Ring, view) -> bool
    prepare: Callable = lambda ring: None
    again: str = ""  # how a repetition is refused once it was made; "" if it is not
    online: bool = True


def versions(view):
    return {version["version"]: version["state"] for version in view["versions"]} if view else {}


def key_ids(view):
    return {version["keyId"] for version in view["versions"]} if view and "versions" in view else set()


def wraps(view):
    return [wrap["number"] for wrap in view["ringKeyWraps"]] if view else []


def move_ring_away(ring):
    shutil.rmtree(ring.folder / "ring")
    (ring.folder / "ring").mkdir(0o700)


def lose_all_but_the_backup(ring):
    for name in ("ring", "state", "keys"):
        shutil.rmtree(ring.folder / name)
        (ring.folder / name).mkdir(0o700)


def put_an_old_generation_back(ring):
    shutil.copyfile(ring.folder / "ring/keyring.4", ring.folder / "ring/keyring")


def format_1(ring):
    golden = pathlib.Path(__file__).parents[1] / "keystore/testdata"
    ring.empty()
    for name in ("ring", "state"):
        (ring.folder / name).mkdir(0o700)
    for name, place in (("record", "ring/keyring"), ("key", "keys/ring.key"),
                        ("high-water", "state/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0.high-water")):
        shutil.copyfile(golden / f"keyring_v1.{name}", ring.folder / place)
        (ring.folder / place).chmod(0o600)


def has_new_backup(ring, view):
    """Which its shares open; where it was not written down yet, this does it."""
    if not (ring.folder / "safe/new.backup").exists():
        return False
    with_backup = ("keyring", "verify", "--backup", "{folder}/safe/new.backup")
    return any(ring.run(*with_backup, *shares).code == 0 for shares in ring.rows_of_shares())


RESTORE = ("keyring", "restore", "--backup", "{folder}/safe/first.backup")

CHANGES = [
    Change("init", ("keyring", "init"), lambda ring, view: view is not None, Ring.empty, "there is a keyring", online=False),
    Change("init with backup", ("keyring", "init", "--backup", "{folder}/safe/new.backup", "--shares", "2/2", "--share-dir",
                                "{folder}/safe"), lambda ring, view: view is not None, Ring.empty, "there is a keyring",
           online=False),
    Change("key create", ("key", "create"), lambda ring, view: 4 in versions(view)),
    Change("key promote", ("key", "promote", "3"), lambda ring, view: versions(view)[3] == "active", again="is the primary"),
    Change("wrap add", ("keyring", "wrap", "add", "--key-file", "{folder}/keys/third.key"),
           lambda ring, view: 3 in wraps(view), again="already"),
    Change("wrap remove", ("keyring", "wrap", "remove", "2"), lambda ring, view: 2 not in wraps(view), again="no wrap 2"),
    Change("upgrade", ("keyring", "upgrade", "--without-backup"), lambda ring, view: view["format"] == 4, format_1,
           "has record format 4 already"),
    Change("backup", ("keyring", "backup", "--out", "{folder}/safe/new.backup", "--shares", "2/2", "--share-dir",
                      "{folder}/safe"), has_new_backup, again="exists already"),
    Change("accept-rollback", ("keyring", "accept-rollback", "--generation", "4"), lambda ring, view: "refused" not in view,
           put_an_old_generation_back, "there is no rollback to accept", online=False),
    Change("restore", RESTORE, lambda ring, view: view is not None, move_ring_away, "there is a keyring", online=False),
    Change("restore on a new host", RESTORE, lambda ring, view: view is not None, lose_all_but_the_backup,
           "there is a keyring", online=False),
    Change("new-key-file", ("keyring", "new-key-file", "{folder}/keys/fourth.key"),
           lambda ring, view: (ring.folder / "keys/fourth.key").exists(), again="exists already", online=False),
]
