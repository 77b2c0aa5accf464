"""kekctl and kekd killed before each system call with which they change a keyring.

After each kill the keyring that was there, or the new one, is there and whole; what was acknowledged is in it; kekd starts
on it and decrypts all that was ever encrypted; the same command succeeds or says that it is done already; and nothing that
was left behind stays after the next change.
"""

import shutil
import sys

from crash_harness import CHANGES, LONG, Ring, arguments_of, scratch, stop


class Suite:

    def __init__(self, what):
        self.what = what
        self.faults = []
        self.points = 0

    def report(self, what, points):
        self.points += points
        print(f"{what}: {points} {self.what}")
        sys.stdout.flush()

    def verdict(self):
        print(f"{self.points} {self.what}, {len(self.faults)} faults")
        return 1 if self.faults else 0

    def fault(self, what):
        self.faults.append(what)
        print(f"FAULT: {what}", file=sys.stderr)


def check_after(suite, where, ring, change, arguments, before, run):
    """The state that a kill left, and the way on from it."""
    try:
        view = before if change.name == "accept-rollback" and is_refused(ring) else ring.view()
        if run.acknowledged() and not change.made(ring, view):
            suite.fault(f"{where}: was acknowledged and is not there")
        lost = key_ids(before) - key_ids(view) if view is not None else key_ids(before)
        if lost:
            suite.fault(f"{where}: lost {lost}")
        if view is not None and view is not before:
            ring.check_decrypts()
        again = ring.run(*arguments)
        # Once it is done, a repetition says so; before, it does it.
        if again.code != 0 and not (change.again and change.again in again.err and change.made(ring, ring.view())):
            suite.fault(f"{where}: again: {again.code}: {again.err.strip()}")
        view = ring.view()
        if view is None or not change.made(ring, view):
            suite.fault(f"{where}: not there after it was repeated")
            return
        ring.must("key", "create")
        left = ring.temporaries()
        if left:
            suite.fault(f"{where}: left behind: {left}")
        ring.check_decrypts()
        ring.view()
    except Exception as error:  # whatever it is: the next point has to be tried too
        suite.fault(f"{where}: {type(error).__name__} {error}")


def key_ids(view):
    return {version["keyId"] for version in view["versions"]} if view else set()


def is_refused(ring):
    return "was rolled back" in ring.run("key", "list").err


def prepared(ring, base, change, keep):
    """Makes what a change begins with, once."""
    ring.bring_back(base)
    change.prepare(ring)
    ring.save(keep)


def offline(suite, ring, base, keep, stride):
    """kekctl is killed at each of its calls while it works on the files."""
    for change in CHANGES:
        prepared(ring, base, change, keep)
        at, points, reached = 1 - stride, 0, True
        while reached:
            at += stride
            ring.bring_back(keep)
            arguments = arguments_of(change, ring)
            before = None if change.name == "accept-rollback" else ring.view()
            run = ring.traced(at, "kill", *arguments)
            reached = run.reached
            where = f"{change.name}, killed at call {at} ({run.calls[-1] if reached else 'none'})"
            if reached != (run.code == 137):
                suite.fault(f"{where}: exit code {run.code}: {run.err}")
            points += reached
            check_after(suite, where, ring, change, arguments, before, run)
        suite.report(change.name, points)


def kekd_killed(suite, ring, base, keep, stride):
    """kekd is killed at each of its calls while it carries out what kekctl asks it for."""
    for change in CHANGES:
        if not change.online:
            continue
        prepared(ring, base, change, keep)
        at, points, reached = 1 - stride, 0, True
        while reached:
            at += stride
            ring.bring_back(keep)
            before = ring.view()
            kekd = ring.start_traced_kekd(at, "kill", "--sockets")
            run = ring.run(*change.arguments)
            ring.stop_traced(kekd)
            calls, reached = ring.read_report()
            where = f"{change.name} by kekd, killed at call {at} ({calls[-1] if reached else 'none'})"
            if run.code != 0 and (run.code != 4 or not run.err) and change.name != "backup":
                suite.fault(f"{where}: kekctl's exit code {run.code}: {run.err}")
            points += reached
            check_after(suite, where, ring, change, change.arguments, before, run)
        suite.report(f"{change.name} by kekd", points)


def kekctl_killed(suite, ring, base, keep, stride):
    """kekctl is killed at each of its calls while kekd carries out what it has asked for, or not."""
    for change in CHANGES:
        if not change.online:
            continue
        prepared(ring, base, change, keep)
        at, points, reached = 1 - stride, 0, True
        while reached:
            at += stride
            ring.bring_back(keep)
            before = ring.view()
            kekd = ring.start_kekd()
            run = ring.traced(at, "kill", *change.arguments, options=("--sockets",))
            # It answers the next only when it is done with what it was asked for.
            ring.must("key", "list")
            stop(kekd)
            reached = run.reached
            where = f"{change.name} by kekd, kekctl killed at call {at} ({run.calls[-1] if reached else 'none'})"
            points += reached
            check_after(suite, where, ring, change, change.arguments, before, run)
        suite.report(f"{change.name} by kekd, kekctl killed", points)


def main():
    folder = scratch()
    suite = Suite("kill points")
    ring = Ring(f"{folder}/work")
    # The short suite takes every n-th call, another n for each part so that they do not all miss the same.
    strides = (1, 1, 1) if LONG else (5, 11, 7)
    try:
        ring.fill()
        ring.save(f"{folder}/base")
        for part, stride in zip((offline, kekd_killed, kekctl_killed), strides):
            part(suite, ring, f"{folder}/base", f"{folder}/keep", stride)
    finally:
        ring.close()
        shutil.rmtree(folder)
    return suite.verdict()


if __name__ == "__main__":
    sys.exit(main())
