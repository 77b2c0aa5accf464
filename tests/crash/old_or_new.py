"""What a keyring may be after its change was cut off: exactly the old one, or exactly what a whole run makes of it.

Two runs differ only in the ids and times that they make, so these are compared as "made"; whatever was there before is
compared as it is. Generations are compared too: a change that came to nothing uses none up. Only after an error may there be
one more of the new keyring: a commit of which it is not known whether it is durable is followed by another of the same.
"""

import itertools
import re

KEY_ID = re.compile(r"prod\.(\d+)\.[0-9a-f]{32}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
TIMES = ("created", "activated", "deactivated", "destroyed", "compromisedSince")


def _made(value, was, form):
    if value is None or value == was:
        return value
    return "made" if form.fullmatch(value) else f"bad: {value}"


def _with_times(part, was):
    return {name: _made(value, was.get(name), TIME) if name in TIMES else value for name, value in part.items()}


def _shape_of_version(version, was):
    key_id = _made(version["keyId"], was.get("keyId"), KEY_ID)
    if key_id == "made" and KEY_ID.fullmatch(version["keyId"])[1] != str(version["version"]):
        key_id = f"bad: {version['keyId']}"
    return {**_with_times(version, was), "keyId": key_id}


def shape(state, known):
    """`known`: keyrings that were there before."""
    if state is None or "refused" in state:
        return state
    was = next((ring for ring in known if ring["ringUuid"] == state["ringUuid"]), {})
    versions = {version["version"]: version for version in was.get("versions", ())}
    wraps = {wrap["number"]: wrap for wrap in was.get("ringKeyWraps", ())}
    return {**_with_times(state, was),
            "clusterId": _made(state["clusterId"], was.get("clusterId"), UUID),
            "ringUuid": _made(state["ringUuid"], was.get("ringUuid"), UUID),
            "versions": [_shape_of_version(one, versions.get(one["version"], {})) for one in state["versions"]],
            "ringKeyWraps": [_with_times(one, wraps.get(one["number"], {})) for one in state["ringKeyWraps"]]}


def _differences(found, wanted, at=""):
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in sorted({*found, *wanted}):
            yield from _differences(found.get(name), wanted.get(name), f"{at}.{name}")
    elif isinstance(found, list) and isinstance(wanted, list):
        for number, pair in enumerate(itertools.zip_longest(found, wanted)):
            yield from _differences(*pair, f"{at}[{number}]")
    elif found != wanted:
        yield f"{at or 'all'} is {found}, not {wanted}"


class Course:
    """A change: what it begins with, and the keyrings that are right before it and after it.

    old[n] and new[n] are those with n more keys made afterwards.
    """

    def __init__(self, ring, change, base, keep):
        self.change = change
        self.ring = ring
        self.keep = keep
        ring.bring_back(base)
        self.known = [ring.state()]
        change.prepare(ring)
        ring.save(keep)
        shares = ring.shares() if "restore" in change.arguments else []
        self.arguments = [*change.arguments, *(part for share in shares for part in ("--share", share))]
        self.before = ring.state()
        if self.before is not None and "refused" not in self.before:
            self.known.insert(0, self.before)
        self.key_files = ring.key_files()
        self.old = self._and_more_keys(2)
        self.begin()
        ring.must(*self.arguments)
        self.new_key_files = ring.key_files()
        self.new = self._and_more_keys(4)

    def begin(self):
        self.ring.bring_back(self.keep)

    def _and_more_keys(self, count):
        states = [shape(self.ring.state(), self.known)]
        while len(states) < count and states[-1] is not None and "refused" not in states[-1]:
            self.ring.must("key", "create")
            states.append(shape(self.ring.state(), self.known))
        return states

    def confirmed(self, state, more_keys=0):
        """How many generations the new keyring has more than it needs: 1 if it was committed once more after an error."""
        if state is None or "refused" in state:
            return 0
        return int(state["generation"] == self.new[more_keys]["generation"] + 1)

    def which(self, state, more_keys=0, confirmed=0):
        """{"old"}, {"new"}, or both where the change is not one of the keyring itself."""
        found = shape(state, self.known)
        if confirmed:
            found = {**found, "generation": found["generation"] - confirmed}
            if found == self.new[more_keys]:
                return {"new"}
            raise AssertionError("a generation was used up, and the keyring is not the new one: "
                                 f"{', '.join(_differences(found, self.new[more_keys]))}")
        right = {name: states[more_keys] for name, states in (("old", self.old), ("new", self.new)) if more_keys < len(states)}
        names = {name for name, wanted in right.items() if wanted == found}
        if names:
            return names
        told = "; ".join(f"not the {name} one: {', '.join(_differences(found, wanted))}" for name, wanted in right.items())
        raise AssertionError(f"neither the old keyring nor the new one: {told}")

    def check_key_files(self):
        """Those that were there are as they were; one that the change makes is there whole or not at all."""
        found = self.ring.key_files()
        for name, content in self.key_files.items():
            if found.pop(name, None) != content:
                raise AssertionError(f"key file {name} is not what it was")
        for name, content in found.items():
            if len(content) != len(self.new_key_files.get(name, b"")):
                raise AssertionError(f"key file {name} is not whole, or nobody's: {len(content)} bytes")
