"""A PKCS#11 token of SoftHSM2 in a folder."""

import pathlib
import subprocess

_SETUP = pathlib.Path(__file__).resolve().parents[2] / "hsm" / "tokens" / "softhsm2"
_MODULE = pathlib.Path("/usr/lib/softhsm/libsofthsm2.so")
LABEL = "e2e"
PIN = "e2e-1234"


def missing():
    """Why there can be no token, or None."""
    return None if _MODULE.exists() else f"{_MODULE} is not there (Debian's package softhsm2)"


class Token:
    """Owns the token's files; they can be taken away and given back, as a network HSM goes and comes."""

    def __init__(self, folder, label=LABEL, module=_MODULE):
        self.folder = folder / f"token-{label}"
        self.label = label
        self.module = module
        self.pin_file = folder / f"token-{label}.pin"
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(PIN)
        printed = subprocess.run([str(_SETUP), str(self.folder), label, PIN], check=True, capture_output=True,
                                 text=True).stdout
        self.values = dict(line.split("=", 1) for line in printed.splitlines())
        self.environment = dict([self.values["ENV"].split("=", 1)])
        self.options = {}

    def settings(self):
        """The keyring's field pkcs11."""
        uri = f"pkcs11:token={self.label}?module-path={self.module}&pin-source=file:{self.pin_file}"
        return {"uri": uri, **self.options}

    def files(self):
        """The folder of SoftHSM's objects."""
        return self.folder / "tokens"

    def take_away(self):
        self.files().rename(self.folder / "away")

    def give_back(self):
        (self.folder / "away").rename(self.files())
