"""The power is cut before each system call of a change of a keyring, on real file systems.

FS_IOC_SHUTDOWN takes ext4 and xfs on a loop device away under kekctl, as a power cut does: what the journal has not on the
disk is lost, with all that was only in memory. Then the file system is mounted again, which replays its journal, and looked at
as after a kill. What must be there is what had been acknowledged, now of the disk's own memory.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from crash_harness import CHANGES, LONG, Ring, arguments_of, skip
from kill_points import Suite, check_after, prepared

MEBIBYTES = {"ext4": 32, "xfs": 320}
# What a cut leaves of the journal (linux/fs.h and each file system's own): nothing that was not on the disk; or all of it,
# with the data of files missing.
NO_LOG_FLUSH, LOG_FLUSH = 2, 1


class Disk:
    """A file system in a file, on a loop device."""

    def __init__(self, kind, folder):
        self.image = pathlib.Path(folder) / f"{kind}.image"
        self.mount_point = pathlib.Path(folder) / kind
        self.kind = kind
        self.mount_point.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(MEBIBYTES[kind] << 20)
        self.tool(f"mkfs.{kind}", "-q", self.image)
        self.device = self.tool("losetup", "--show", "--find", self.image).strip()
        self.mounted = False

    @staticmethod
    def tool(*arguments):
        done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise OSError(f"{arguments}: {done.stderr.strip()}")
        return done.stdout

    def mount(self):
        self.tool("mount", "-t", self.kind, self.device, self.mount_point)
        self.mounted = True

    def unmount(self):
        if self.mounted:
            self.tool("umount", self.mount_point)
            self.mounted = False

    def sync(self):
        self.tool("sync", "-f", self.mount_point)

    def close(self):
        self.unmount()
        self.tool("losetup", "--detach", self.device)


def cut(suite, disk, ring, change, base, keep, flags, stride):
    prepared(ring, base, change, keep)
    at, points, reached = 1 - stride, 0, True
    while reached:
        at += stride
        ring.bring_back(keep)
        disk.sync()
        arguments = arguments_of(change, ring)
        before = None if change.name == "accept-rollback" else ring.view()
        # The runner writes its report elsewhere. Without a cut in its course the change is whole, and the power goes then.
        run = ring.traced(at, f"cut:{disk.mount_point}:{flags}", *arguments)
        reached = run.reached
        if not reached:
            ring.cut_now(disk.mount_point, flags)
        disk.unmount()
        disk.mount()
        where = f"{disk.kind}, flags {flags}, {change.name}, cut at call {at} ({run.calls[-1] if reached else 'end'})"
        points += 1
        check_after(suite, where, ring, change, arguments, before, run)
    suite.report(f"{disk.kind}, flags {flags}, {change.name}", points)


def on_disk(suite, kind, folder):
    try:
        disk = Disk(kind, folder)
    except OSError as error:
        skip(f"no {kind} on a loop device here: {error}")
    ring = None
    try:
        disk.mount()
        ring = Ring(disk.mount_point / "work")
        ring.fill()
        ring.save(f"{folder}/base")
        for number, change in enumerate(CHANGES):
            flags = (NO_LOG_FLUSH, LOG_FLUSH) if LONG else (NO_LOG_FLUSH,)
            if not LONG and number % 2 != (kind == "xfs"):
                continue
            for flag in flags:
                cut(suite, disk, ring, change, f"{folder}/base", f"{folder}/keep", flag, 1 if LONG else 4)
    finally:
        if ring is not None:
            ring.close()
        disk.close()


def main():
    if os.geteuid() != 0:
        skip("only root can mount a file system and cut its power")
    for tool in ("mkfs.ext4", "mkfs.xfs", "losetup", "mount"):
        if shutil.which(tool) is None:
            skip(f"{tool} is not installed (e2fsprogs, xfsprogs, mount)")
    folder = tempfile.mkdtemp(prefix="power-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp")
    suite = Suite("power cuts")
    try:
        for kind in MEBIBYTES:
            on_disk(suite, kind, folder)
    finally:
        shutil.rmtree(folder)
    return suite.verdict()


if __name__ == "__main__":
    sys.exit(main())
