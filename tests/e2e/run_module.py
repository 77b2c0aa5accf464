#!/usr/bin/env python3
"""Runs one module of end-to-end tests: python3 tests/e2e/run_module.py MODULE [unittest's arguments].

Exit code 0 when all passed, 1 when one failed, 77 when nothing could run because a real part cannot be had here.
KEKD_BIN_DIR is the folder of kekd and kekctl; KEKD_E2E_KEEP=1 keeps the folder with logs and data.
"""

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness.process import tail  # noqa: E402  (the path comes first)

_SKIPPED = 77


class _Result(unittest.TextTestResult):
    """Adds the time of each test, and on a failure the end of every log while the folder is still there."""

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        self.stream.writeln(f"    ({time.monotonic() - self._started:.1f} s)")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._show_logs(test)

    def addError(self, test, err):
        super().addError(test, err)
        self._show_logs(test)

    def _show_logs(self, test):
        cluster = getattr(test, "cluster", None)
        if cluster is None:
            return
        for log in sorted(cluster.folder.rglob("*.log")):
            # The API server logs each probe of its own health at length; that hides everything else.
            lines = [line for line in tail(log, 200).splitlines() if "healthz.go:" not in line and not line.startswith("[-]")]
            self.stream.writeln("\n".join([f"--- the end of {log.name}", *lines[-25:]]))


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    # Lines of different processes should stay in order when ctest collects them.
    sys.stdout.reconfigure(line_buffering=True)
    runner = unittest.TextTestRunner(verbosity=2, resultclass=_Result, failfast=True)
    program = unittest.main(module=sys.argv[1], argv=[sys.argv[0], *sys.argv[2:]], testRunner=runner, exit=False)
    result = program.result
    if not result.wasSuccessful():
        return 1
    if result.skipped and len(result.skipped) >= result.testsRun:
        for _, reason in result.skipped:
            print(f"SKIPPED: {reason}", file=sys.stderr)
        return _SKIPPED
    return 0 if result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
