"""Runs dump_etcd_client and understands what it prints."""

import hashlib
import subprocess

from harness import parts


class Dump:
    """What came: objects is {key: (size, sha256)}, facts {name: text}; or error is "CODE: message"."""

    def __init__(self, process, stdout, stderr):
        self.exit_code = process.returncode
        self.objects, self.facts, self.gaps = {}, {}, []
        for line in stdout.splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "object":
                key, _, size, digest = rest.rsplit(" ", 3)
                if key in self.objects:
                    raise AssertionError(f"{key} came twice")
                self.objects[key] = (int(size), digest)
            elif kind == "gap":
                self.gaps.append(rest)
            else:
                self.facts[kind] = rest
        self.stderr = stderr
        self.error = stderr.removeprefix("error: ").strip()


def _argv(endpoints, ca=None, client=None, **flags):
    argv = [parts.program("dump_etcd_client"), "--endpoints=" + ",".join([endpoints] if isinstance(endpoints, str) else endpoints)]
    if ca:
        argv.append(f"--cacert={ca}")
    if client:
        argv += [f"--cert={client[0]}", f"--key={client[1]}"]
    return argv + [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]


def dump(endpoints, **flags):
    process = subprocess.run(_argv(endpoints, **flags), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                             check=False)
    return Dump(process, process.stdout, process.stderr)


def dump_while(endpoints, action, **flags):
    """Calls action() as soon as the first objects have come; the dump waits a little after each page."""
    with subprocess.Popen(_argv(endpoints, slow="30ms", **flags), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        action()
        rest, stderr = process.stdout.read(), process.stderr.read()
    return Dump(process, first + rest, stderr)


def expected(objects):
    return {key: (len(value), hashlib.sha256(value).hexdigest()) for key, value in objects.items()}
