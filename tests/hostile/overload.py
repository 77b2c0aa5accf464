#!/usr/bin/env python3
"""More calls at once than kekd can answer in time: each is answered within its deadline or refused, whatever is asked beside
them is answered as ever, and memory is bounded.

KEKD_BIN_DIR is the folder of kekd, kekctl and kms_storm.
"""

import json
import os
import subprocess
import time
import unittest

from measured import LONG, MIB, MeasuredTestCase, Usage, is_sanitized, parts

DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED = "4", "8"


class OverloadTest(MeasuredTestCase):

    def storm(self, connections, calls, seeds, meanwhile=None):
        """What became of the calls."""
        command = [parts.program("kms_storm"), self.kekd.socket, connections, calls, seeds, "wait"]
        with subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            try:
                self.assertEqual(process.stdout.readline(), "ready\n")
                process.stdin.write("\n")
                process.stdin.flush()
                if meanwhile:
                    meanwhile()
                out, err = process.communicate(timeout=120)
            finally:
                process.kill()
        self.assertEqual(process.returncode, 0, err)
        report = json.loads(out)
        report["peak_mib"] = round(Usage(self.pid).peak / MIB, 1)
        report["refused_calls"] = self.kekd.status()["refusedCalls"]
        print(f"{connections} connections, {calls} calls, {seeds} seeds: {json.dumps(report)}", flush=True)
        self.assertEqual(report["wrong"], 0)
        # Answered, out of time before it could be sent, or refused: nothing else, and nobody without a word.
        self.assertLessEqual(set(report["codes"]), {"0", DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED})
        return report

    def assert_witness_served(self, report):
        """Each call beside the storm was answered within its 3 s."""
        self.assertEqual(report["witness_failed"], 0)
        for method in ("status", "encrypt"):
            self.assertGreater(report[method]["n"], 0)

    def assert_mostly_in_time(self, report):
        """How many are late tells more of the machine than of kekd; without admission by deadline nearly all of them are."""
        self.assertLess(report["late"], report["answered"]["n"] / 2)

    def test_cold_start(self):
        """What kekd can do in time it does: ten thousand seeds at once."""
        for connections in (1, 4, 63):
            for seeds in (10000, 1):
                calls = 1000 if is_sanitized() else 10000
                report = self.storm(connections, calls, min(seeds, calls))
                self.assertEqual(report["late"], 0)
                if not is_sanitized():
                    self.assertEqual(report["codes"], {"0": calls})
                self.assert_witness_served(report)
        self.assert_back_to_normal("cold start")

    @unittest.skipIf(is_sanitized(), "slow enough by itself")
    def test_beyond_capacity(self):
        for connections in (4, 63) if LONG else (63,):
            report = self.storm(connections, 100000, 1000)
            # Some time passes between kekd's answer and the client's look at it.
            self.assertLess(report["answered"]["max"], 5000)
            self.assert_mostly_in_time(report)
            self.assertGreater(report["answered"]["n"], 1000)
            self.assert_witness_served(report)
        self.assert_back_to_normal("beyond capacity")

    @unittest.skipIf(is_sanitized(), "slow enough by itself")
    def test_slow_machine(self):
        """kekd has a tenth of a CPU: what it answers is in time, and nobody beside the storm is refused."""
        busy = [subprocess.Popen(["taskset", "-c", "0", "sh", "-c", "while :; do :; done"]) for _ in range(9)]
        try:
            subprocess.run(["taskset", "-a", "-p", "-c", "0", str(self.pid)], check=True, capture_output=True)
            report = self.storm(8, 30000, 1000)
        finally:
            for process in busy:
                process.kill()
                process.wait()
            subprocess.run(["taskset", "-a", "-p", "-c", f"0-{os.cpu_count() - 1}", str(self.pid)], check=True,
                           capture_output=True)
        self.assertLess(report["answered"]["max"], 5000)
        self.assert_mostly_in_time(report)
        self.assertEqual(report["witness_failed"], 0)
        self.assert_back_to_normal("slow machine")

    def test_stopped_in_the_middle(self):
        """What was waiting when the process stood still is not worked off for nobody."""
        def stop_and_go_on():
            time.sleep(0.05)
            self.kekd.process.pause()
            time.sleep(3.5)
            self.kekd.process.resume()

        report = self.storm(8, 10000, 1000, stop_and_go_on)
        self.kekd.process.require_running()
        self.assertLess(report["codes"].get("0", 0), 10000)
        self.assert_back_to_normal("stopped in the middle")


if __name__ == "__main__":
    unittest.main(verbosity=2)
