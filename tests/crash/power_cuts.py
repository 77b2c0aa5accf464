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

from crash_harness import CHANGES, LONG, Ring, skip
from kill_points import Suite, check_after
from scratch import scratch

MEBIBYTES = {"ext4": 32, "xfs": 320}
# What a cut leaves of the journal (linux/fs.h and each file system's own): nothing that was not on the disk; or all of it,
# with the data of files missing.
NO_LOG_FLUSH, LOG_FLUSH = 2, 1


class Disk:
    """A file system in a file, on a loop device that goes with its mount."""

    def __init__(self, kind, folder):
        self.image = pathlib.Path(folder) / f"{kind}.image"
        self.mount_point = pathlib.Path(folder) / kind
        self.kind = kind
        self.mount_point.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(MEBIBYTES[kind] << 20)
        self.tool(f"mkfs.{kind}", "-q", self.image)

    @staticmethod
    def tool(*arguments):
        done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise OSError(f"{arguments}: {done.stderr.strip()}")
        return done.stdout

    def mount(self):
        self.tool("mount", "-t", self.kind, "-o", "loop", self.image, self.mount_point)

    def unmount(self):
        self.tool("umount", self.mount_point)

    def sync(self):
        self.tool("sync", "-f", self.mount_point)


def cut(suite, disk, ring, change, flags, stride):
    course = suite.course(change)
    at, points, reached = 1 - stride, 0, True
    while reached:
        at += stride
        course.begin()
        disk.sync()
        # The runner writes its report elsewhere. Without a cut in its course the change is whole, and the power goes then.
        run = ring.traced(at, f"cut:{disk.mount_point}:{flags}", *course.arguments)
        reached = run.reached
        if not reached:
            ring.cut_now(disk.mount_point, flags)
        disk.unmount()
        disk.mount()
        where = f"{disk.kind}, flags {flags}, {change.name}, cut at call {at} ({run.calls[-1] if reached else 'end'})"
        points += 1
        check_after(suite, where, course, run)
    suite.report(f"{disk.kind}, flags {flags}, {change.name}", points)


def mounted_disk(kind, folder):
    try:
        disk = Disk(kind, folder)
        disk.mount()
    except OSError as error:
        skip(f"no {kind} on a loop device here: {error}")
    return disk


def on_disk(disk, folder):
    kind = disk.kind
    ring = Ring(disk.mount_point / "work", folder)
    suite = Suite(f"power cuts on {kind}", ring, f"{folder}/{kind}.kept")
    suite.fill()
    for number, change in enumerate(CHANGES):
        flags = (NO_LOG_FLUSH, LOG_FLUSH) if LONG else (NO_LOG_FLUSH,)
        if not LONG and number % 2 != (kind == "xfs"):
            continue
        for flag in flags:
            cut(suite, disk, ring, change, flag, 1 if LONG else 4)
    disk.unmount()
    return suite.verdict()


def main():
    if os.geteuid() != 0:
        skip("only root can mount a file system and cut its power")
    for tool in ("mkfs.ext4", "mkfs.xfs", "losetup", "mount"):
        if shutil.which(tool) is None:
            skip(f"{tool} is not installed (e2fsprogs, xfsprogs, mount)")
    with scratch() as folder:
        # All before any is used: a skip must not hide what one of them has found.
        disks = [mounted_disk(kind, folder) for kind in MEBIBYTES]
        return max([on_disk(disk, folder) for disk in disks])


if __name__ == "__main__":
    sys.exit(main())
