"""A folder for a run that goes away with it, mounts and all, also after SIGTERM; what a killed run left goes at the next."""

import contextlib
import ctypes
import fcntl
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile

# Kills and made-up errors lose nothing of what was written, so memory will do.
ROOT = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
PREFIX = f"{ROOT}/kekd-crash-{os.getuid()}-"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent():
    """For preexec_fn: a run that is killed can't end its children, and they would hold its mounts."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _mounts_below(folder):
    """The last mounted first."""
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        points = [line.split()[4] for line in mounts]
    return [point for point in reversed(points) if point.startswith(folder + "/")]


def _loop_devices_below(folder):
    if shutil.which("losetup") is None or os.geteuid() != 0:
        return []
    listed = subprocess.run(["losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE"], capture_output=True,
                            text=True, timeout=60, check=False).stdout
    rows = [line.split(" ", 1) for line in listed.splitlines()]
    return [row[0] for row in rows if len(row) == 2 and row[1].startswith(folder + "/")]


def _remove(folder):
    for point in _mounts_below(folder):
        if subprocess.run(["umount", point], capture_output=True, timeout=60, check=False).returncode != 0:
            subprocess.run(["umount", "--lazy", point], timeout=60, check=False)
    for device in _loop_devices_below(folder):
        subprocess.run(["losetup", "--detach", device], capture_output=True, timeout=60, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _lock(folder, flags):
    """Its owner holds it as long as it lives, however it ends."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, flags)
    except OSError:
        os.close(held)
        raise
    return held


def _remove_leftovers():
    for folder in glob.glob(PREFIX + "*"):
        try:
            held = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # of a run that is under way
        print(f"removing what a killed run has left: {folder}", file=sys.stderr)
        _remove(folder)
        os.close(held)


def _end(number, _):
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)  # nothing disturbs the way out
    raise SystemExit(128 + number)


@contextlib.contextmanager
def scratch():
    root = _lock(ROOT, fcntl.LOCK_EX)  # so that nobody sees the new folder before it is held
    try:
        _remove_leftovers()
        for number in SIGNALS:
            signal.signal(number, _end)
        folder = tempfile.mkdtemp(prefix=os.path.basename(PREFIX), dir=ROOT)
        held = _lock(folder, fcntl.LOCK_EX)
    finally:
        os.close(root)
    try:
        yield folder
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        _remove(folder)
        os.close(held)
