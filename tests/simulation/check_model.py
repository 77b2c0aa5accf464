#!/usr/bin/env python3
"""Searches the model of rotations, rotation.pml, with spin.

usage: check_model.py safety|progress|long|wrong MISTAKE

  safety    all states within small bounds: no assertion fails, and no run ends with something left to do
  progress  no run goes on for ever, within smaller bounds: with the former, every run ends as it should
  long      safety within larger bounds
  wrong     the model with a mistake in it (-DWRONG_...), which has to be found

Exit codes: 0 as expected; 1 not; 77 there is no spin.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MODEL = pathlib.Path(__file__).resolve().parent / "rotation.pml"
MEMORY_MIB = 3500

# Bounds: name and value as in the model.
NOTHING = dict(VERSIONS=2, KILLS=0, FAULTS=0, WRITES=0, RESTORES=0, ABORTS=0, LOSSES=0)
SAFETY = [
    dict(NOTHING, KILLS=1, FAULTS=1, WRITES=1),
    dict(NOTHING, FAULTS=1, RESTORES=1),
    dict(NOTHING, ABORTS=1, LOSSES=1, WRITES=1),
    dict(NOTHING, VERSIONS=3, ABORTS=1),
]
PROGRESS = [dict(NOTHING, KILLS=1, FAULTS=1), dict(NOTHING, ABORTS=1, RESTORES=1)]
LONG = [
    dict(NOTHING, KILLS=1, FAULTS=1, ABORTS=1, LOSSES=1),
    dict(NOTHING, VERSIONS=3, KILLS=1, ABORTS=1, WRITES=1),
    dict(NOTHING, FAULTS=2, KILLS=2, WRITES=2),
]
# Each with the assertion that is to find it.
COMMON = dict(NOTHING, KILLS=1, FAULTS=1, ABORTS=1, LOSSES=1)
OBSERVED = r"dek\[i\]==ring\[changes\]\.to|ring\[i\]\.primary==ring\[changes\]\.to"
OPENS = r"gone&\(1<<"
MISTAKES = {
    "SKIP_PROVE": (COMMON, r"ring\[i\]\.top>=ring\[changes\]\.to"),
    "SKIP_OBSERVE": (COMMON, OBSERVED),
    "EARLY_MIGRATE": (COMMON, OBSERVED),
    "TRUST_TIME": (COMMON, OBSERVED),
    "KEEP_WAIT": (dict(NOTHING, VERSIONS=3, FAULTS=1, ABORTS=1), OBSERVED),
    "PROMOTE_TWICE": (COMMON, r"ring\[n\]\.primary>=answered\[n\]"),
    "DESTROY_EARLY": (COMMON, OPENS),
    "FORGET_SNAPSHOT": (COMMON, OPENS),
    "DESTROY_ABORTED": (COMMON, OPENS),
    "NO_RESUME": (COMMON, r"ring\[changes\]\.step==0"),
}


def search(bounds, defines=(), progress=False):
    """Runs spin and what it makes; its output."""
    with tempfile.TemporaryDirectory(prefix="kekd-model-") as folder:
        arguments = [f"-D{name}={value}" for name, value in bounds.items()] + [f"-D{name}" for name in defines]
        shutil.copy(MODEL, folder)
        subprocess.run(["spin", "-a", *arguments, MODEL.name], cwd=folder, check=True, stdout=subprocess.PIPE)
        kind = ["-DNP"] if progress else ["-DSAFETY"]
        subprocess.run(["gcc", "-O2", "-w", *kind, "-DCOLLAPSE", "-DNOFAIR", f"-DMEMLIM={MEMORY_MIB}", "-o", "pan", "pan.c"],
                       cwd=folder, check=True)
        options = ["-m200000"] + (["-l"] if progress else [])
        return subprocess.run(["./pan", *options], cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def told(output):
    """How many states, how long; and whether the search was whole."""
    states = re.search(r"(\d+) states, stored", output)
    seconds = re.search(r"elapsed time ([\d.]+)", output)
    whole = "errors: 0" in output and "Search not completed" not in output and "max search depth too small" not in output
    return f"{states[1] if states else '?'} states in {seconds[1] if seconds else '?'} s", whole


def check(all_bounds, progress=False):
    good = True
    for bounds in all_bounds:
        text, whole = told(output := search(bounds, progress=progress))
        print(" ".join(f"{name}={value}" for name, value in bounds.items()), "->", text, flush=True)
        if not whole:
            print(output)
            good = False
    return good


def check_wrong(mistake):
    bounds, expected = MISTAKES[mistake]
    output = search(bounds, [f"WRONG_{mistake}"])
    found = re.search(r"assertion violated (.*)", output)
    print(found[0] if found else output)
    return found is not None and re.search(expected, found[1].replace(" ", "")) is not None


def main():
    arguments = sys.argv[1:]
    if arguments == ["mistakes"]:
        print("\n".join(MISTAKES))
        return 0
    if shutil.which("spin") is None or shutil.which("gcc") is None:
        print("there is no spin, or no gcc: scripts/packages test installs them")
        return 77
    if arguments == ["safety"]:
        return 0 if check(SAFETY) else 1
    if arguments == ["progress"]:
        return 0 if check(PROGRESS, progress=True) else 1
    if arguments == ["long"]:
        return 0 if check(LONG) and check(SAFETY, progress=True) else 1
    if len(arguments) == 2 and arguments[0] == "wrong" and arguments[1] in MISTAKES:
        return 0 if check_wrong(arguments[1]) else 1
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main())
