"""A PKCS#11 token of SoftHSM2 in a folder."""

import os
import pathlib
import shutil
import subprocess

from .process import wait_for

_TOKENS = pathlib.Path(__file__).resolve().parents[2] / "hsm" / "tokens"
_SETUP = _TOKENS / "softhsm2"
_MODULE = pathlib.Path("/usr/lib/softhsm/libsofthsm2.so")
LABEL = "e2e"
PIN = "e2e-1234"


def missing():
    """Why there can be no token, or None."""
    return None if _MODULE.exists() else f"{_MODULE} is not there (Debian's package softhsm2)"


def _make(*arguments):
    """What the script says of what it has made: its lines by name."""
    printed = subprocess.run([str(_SETUP), *arguments], check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in printed.splitlines())


class Token:
    """Owns the token's files; they can be taken away and given back, as a network HSM goes and comes."""

    init_backend = "pkcs11"

    def __init__(self, folder, label=LABEL, module=_MODULE):
        self.folder = folder / f"token-{label}"
        self.label = label
        self.module = module
        self.pin_file = folder / f"token-{label}.pin"
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(PIN)
        self.values = _make(str(self.folder), label, PIN)
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


class Tpm:
    """A token of tpm2-pkcs11 on a TPM of its own (swtpm), which can be taken away. None can be had where missing() says why."""

    init_backend = "software"

    def __init__(self, folder, label="tpm"):
        self.folder = folder / f"token-{label}"
        # Its servers end with this process.
        printed = subprocess.run([str(_TOKENS / "tpm2"), str(self.folder), label, PIN, str(os.getpid())],
                                 stdout=subprocess.PIPE, text=True, check=False)
        self.missing = "tpm2-pkcs11 is not installed" if printed.returncode == 77 else None
        if self.missing:
            return
        printed.check_returncode()
        lines = [line.split("=", 1) for line in printed.stdout.splitlines()]
        self.values = dict(lines)
        self.environment = dict(value.split("=", 1) for name, value in lines if name == "ENV")

    def settings(self):
        """The keyring's field pkcs11."""
        return {"uri": f"pkcs11:token={self.values['TOKEN']}?module-path={self.values['MODULE']}"
                       f"&pin-source=file:{self.values['PIN_FILE']}", "sessions": 1, "callTimeout": "10s"}

    def take_away(self):
        (self.folder / "tpm" / "away").touch()
        wait_for(lambda: not (self.folder / "tpm" / "tpm").exists(), 10, "the TPM is gone")

    def give_back(self):
        (self.folder / "tpm" / "away").unlink()
        wait_for((self.folder / "tpm" / "tpm").exists, 10, "the TPM is back")

    def destroy(self):
        """Ends its servers."""
        shutil.rmtree(self.folder / "tpm")


class TokenPair:
    """Two tokens, LABEL and LABEL-twin, that hold one imported key, twin-key. A keyring begins in software and adopts it."""

    init_backend = "software"

    def __init__(self, folder, label=LABEL):
        self.folder = folder / f"token-{label}"
        self.values = _make("--twin", str(self.folder), label, PIN)
        self.environment = dict([self.values["ENV"].split("=", 1)])
        self.names = [self.values["TOKEN"], self.values["TWIN"]]
        self.away = {}

    def settings(self):
        """The keyring's field pkcs11."""
        return {"uris": [f"pkcs11:token={name}?module-path={_MODULE}&pin-source=file:{self.values['PIN_FILE']}"
                         for name in self.names]}

    def take_away(self, index):
        serial = self.values[("SERIAL", "TWIN_SERIAL")[index]]
        # SoftHSM's folder of a token ends with its serial.
        (files,) = [path for path in (self.folder / "tokens").iterdir() if path.name.replace("-", "").endswith(serial)]
        self.away[index] = (files, self.folder / f"away-{index}")
        files.rename(self.away[index][1])

    def give_back(self, index):
        files, away = self.away.pop(index)
        away.rename(files)
