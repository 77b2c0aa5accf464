"""kekctl and kekd killed before each system call with which they change a keyring.

After each kill exactly the keyring that was there, or exactly the new one, is there and whole; what was acknowledged is in it; kekd starts
on it and decrypts all that was ever encrypted; the same command succeeds or says that it is done already; and nothing that
was left behind stays after the next change.
"""

import sys

from crash_harness import CHANGES, LONG, Ring, key_ids, stop
from old_or_new import Course
from scratch import scratch


class Suite:

    def __init__(self, what, ring, folder):
        self.what = what
        self.ring = ring
        self.folder = folder
        self.faults = []
        self.points = 0
        self.courses = {}

    def fill(self):
        self.ring.fill()
        self.ring.save(f"{self.folder}/base")

    def course(self, change):
        """Made once: what a change by kekd makes is what one by kekctl makes."""
        name = change.name
        if name not in self.courses:
            self.courses[name] = Course(self.ring, change, f"{self.folder}/base", f"{self.folder}/keep {name}")
        return self.courses[name]

    def at_calls(self, change, what, stride, interrupt):
        """Makes the change once for each n-th of its calls. interrupt(at) tells whether it came to that call, where, and how
        kekctl ended."""
        course = self.course(change)
        at, points, reached = 1 - stride, 0, True
        while reached:
            at += stride
            course.begin()
            reached, where, run = interrupt(at, course)
            points += reached
            check_after(self, f"{what}, {where}", course, run)
        self.report(what, points)

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


def check_after(suite, where, course, run, more_keys=0, after_error=False):
    """The state that a kill left, and the way on from it. `more_keys` have been made since."""
    ring, change = suite.ring, course.change
    try:
        state = ring.state()
        confirmed = course.confirmed(state, more_keys) if after_error else 0
        which = course.which(state, more_keys, confirmed)
        if run.acknowledged() and ("new" not in which or not change.made(ring, state)):
            suite.fault(f"{where}: was acknowledged and is not there")
        course.check_key_files()
        if state is not None and "refused" not in state:
            ring.check_decrypts()
        again = ring.run(*course.arguments)
        then = ring.state()
        # Once it is done, a repetition says so; before, it does it.
        is_done = bool(change.again) and change.again in again.err and "new" in which and change.made(ring, then)
        if again.code != 0 and not is_done:
            suite.fault(f"{where}: again: {again.code}: {again.err.strip()}")
        if not change.again and "new" in which:
            more_keys += 1  # a repetition makes another key
        if "new" not in course.which(then, more_keys, confirmed) or not change.made(ring, then):
            suite.fault(f"{where}: not there after it was repeated")
            return
        ring.must("key", "create")
        left = ring.temporaries()
        if left:
            suite.fault(f"{where}: left behind: {left}")
        ring.check_decrypts()
        course.check_key_files()
        last = ring.state()
        course.which(last, more_keys + 1, confirmed)
        if not key_ids(state) <= key_ids(then) <= key_ids(last):
            suite.fault(f"{where}: lost keys: {key_ids(state)}, then {key_ids(then)}, then {key_ids(last)}")
    except Exception as error:  # whatever it is: the next point has to be tried too
        suite.fault(f"{where}: {type(error).__name__} {error}")


def at_call(at, calls, reached):
    return f"killed at call {at} ({calls[-1] if reached else 'none'})"


def offline(suite, ring, stride):
    """kekctl is killed at each of its calls while it works on the files."""
    def kill(at, course):
        run = ring.traced(at, "kill", *course.arguments)
        where = at_call(at, run.calls, run.reached)
        if run.reached != (run.code == 137):
            suite.fault(f"{course.change.name}, {where}: exit code {run.code}: {run.err}")
        return run.reached, where, run

    for change in CHANGES:
        suite.at_calls(change, change.name, stride, kill)


def kekd_killed(suite, ring, stride):
    """kekd is killed at each of its calls while it carries out what kekctl asks it for."""
    def kill(at, course):
        kekd = ring.start_traced_kekd(at, "kill", "--sockets")
        run = ring.run(*course.arguments)
        ring.stop_traced(kekd)
        calls, reached = ring.read_report()
        where = at_call(at, calls, reached)
        name = course.change.name
        if run.code != 0 and (run.code != 4 or not run.err) and name != "backup":
            suite.fault(f"{name} by kekd, {where}: kekctl's exit code {run.code}: {run.err}")
        return reached, where, run

    for change in CHANGES:
        if change.online:
            suite.at_calls(change, f"{change.name} by kekd", stride, kill)


def kekctl_killed(suite, ring, stride):
    """kekctl is killed at each of its calls while kekd carries out what it has asked for, or not."""
    def kill(at, course):
        kekd = ring.start_kekd()
        run = ring.traced(at, "kill", *course.arguments, options=("--sockets",))
        # It answers the next only when it is done with what it was asked for.
        ring.must("key", "list")
        stop(kekd)
        return run.reached, at_call(at, run.calls, run.reached), run

    for change in CHANGES:
        if change.online:
            suite.at_calls(change, f"{change.name} by kekd, kekctl killed", stride, kill)


def main():
    # The short suite takes every n-th call, another n for each part so that they do not all miss the same.
    strides = (1, 1, 1) if LONG else (5, 11, 7)
    with scratch() as folder:
        ring = Ring(f"{folder}/work", folder)
        suite = Suite("kill points", ring, folder)
        suite.fill()
        for part, stride in zip((offline, kekd_killed, kekctl_killed), strides):
            part(suite, ring, stride)
        return suite.verdict()


if __name__ == "__main__":
    sys.exit(main())
