#!/usr/bin/env python3
"""Keeps docs/upstream-cases.md, our tests and the Kubernetes project's own in step.

The client code is of the API server's version. Each row's tests exist; each of our tests that has an upstream name is in
a row; no name is in two; a row without a test says why. And, where Go has upstream's sources, every test of theirs is in a row, and no row is about a test that they do not have.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "upstream-cases.md"
CLIENT = ROOT / "tests" / "upstream" / "client"
E2E = ROOT / "tests" / "e2e"

_GO_TEST = re.compile(r"^func ((?:Test|Benchmark)\w+)\(\w+ \*testing\.[TB]\)", re.MULTILINE)
# A test after upstream's has the name of that, without its "Test"; ours begin with a small letter.
_PYTHON_TEST = re.compile(r"^    def (test_(?:\d+_)?[A-Z]\w*)\(", re.MULTILINE)
_ROW = re.compile(r"^\| `([^`]+)` \| (.*?) \| (.*?) ?\|$", re.MULTILINE)
_PLACE = re.compile(r"(tests/[\w/]+(?:\.py)?): `(\w+)`")


def read(path):
    return path.read_text(encoding="utf-8")


def our_tests():
    """{(place, name)} of those with an upstream name."""
    found = {("tests/upstream/client", name) for path in CLIENT.glob("*_test.go") for name in _GO_TEST.findall(read(path))}
    for path in E2E.glob("*.py"):
        found |= {(f"tests/e2e/{path.name}", name) for name in _PYTHON_TEST.findall(read(path))}
    return found


def upstream_tests():
    """The names in upstream's sources; None where they cannot be had."""
    result = subprocess.run([str(ROOT / "tests" / "real_parts" / "get"), "kubernetes-source"], stdout=subprocess.PIPE, text=True,
                            stdin=subprocess.DEVNULL, check=False)
    if result.returncode == 77:
        return None
    result.check_returncode()
    kubernetes = pathlib.Path(result.stdout.strip())
    version = kubernetes.name.partition("@v1.")[2]
    apiserver = kubernetes.with_name(f"apiserver@v0.{version}")
    if not apiserver.is_dir():
        return None
    config = apiserver / "pkg/server/options/encryptionconfig"
    files = [*(kubernetes / "test/integration/controlplane/transformation").glob("*_test.go"),
             *(apiserver / "pkg/storage/value/encrypt/envelope/kmsv2").glob("*_test.go"),
             *config.glob("*_test.go"), *(config / "controller").glob("*_test.go")]
    return {name for path in files for name in _GO_TEST.findall(read(path))} - {"TestMain"}


def versions_differ():
    """What is wrong with the versions, if anything: Kubernetes 1.N.P has its client code in k8s.io/apiserver v0.N.P."""
    server = re.search(r"^readonly KUBERNETES_PINNED=1\.(\S+)$", read(ROOT / "tests" / "real_parts" / "get"), re.MULTILINE)
    client = re.search(r"^\tk8s\.io/apiserver v0\.(\S+)$", read(CLIENT.parent / "go.mod"), re.MULTILINE)
    if not server or not client or server[1] != client[1]:
        return f"tests/real_parts/get pins 1.{server and server[1]}, tests/upstream/go.mod 0.{client and client[1]}"
    return None if f"pinned (1.{server[1]})" in read(PAGE) else f"the page is not about 1.{server[1]}"


def problems():
    if versions_differ():
        yield versions_differ()
    rows = _ROW.findall(read(PAGE))
    if not rows:
        yield "there are no rows"
    ours, listed, names = our_tests(), set(), set()
    for name, here, _ in rows:
        if name in names:
            yield f"{name} is in two rows"
        names.add(name)
        if here.startswith("cannot:"):
            if len(here) < 30:
                yield f"{name}: no reason is given"
            continue
        places = set(_PLACE.findall(here))
        if not places:
            yield f"{name}: neither a test nor a reason"
        for place, test in sorted(places - ours):
            yield f"{name}: there is no {test} in {place}"
        listed |= places
    for place, test in sorted(ours - listed):
        yield f"{test} in {place} is in no row"
    theirs = upstream_tests()
    if theirs is None:
        print("NOTE: upstream's sources cannot be had here (reason above): whether all of their tests are in the page is "
              "NOT CHECKED")
        return
    for name in sorted(theirs - names):
        yield f"upstream's {name} is in no row"
    for name in sorted(names - theirs - {"run-e2e.sh"}):
        yield f"upstream has no {name}"


def main():
    found = list(problems())
    for problem in found:
        print(f"{PAGE.relative_to(ROOT)}: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
