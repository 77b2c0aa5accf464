"""Where the programs under test and the real parts around them are."""

import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]

_GET = ROOT / "tests" / "real_parts" / "get"
_UNAVAILABLE = 77


def bin_dir():
    """The folder of kekd and kekctl: KEKD_BIN_DIR, as ctest sets it, else the release build."""
    return pathlib.Path(os.environ.get("KEKD_BIN_DIR") or ROOT / "build" / "release" / "bin")


def program(name):
    path = bin_dir() / name
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path} is not there; build it first, or set KEKD_BIN_DIR to the folder that has it")
    return str(path)


def _get(*arguments):
    # stderr goes through: building a part takes minutes, and whoever watches should see why.
    result = subprocess.run([str(_GET), *arguments], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False)
    if result.returncode == _UNAVAILABLE:
        raise unittest.SkipTest(f"{' '.join(arguments)} cannot be had here (reason above)")
    if result.returncode != 0:
        raise RuntimeError(f"{_GET} {' '.join(arguments)} failed with {result.returncode}")
    return result.stdout.strip()


def kube_apiserver():
    """The API server's binary; KEKD_KUBERNETES_VERSION chooses another version than the pinned one."""
    version = os.environ.get("KEKD_KUBERNETES_VERSION", "")
    return _get("kube-apiserver", *([version] if version else []))


def kubectl():
    """kubectl's binary, always of the pinned version."""
    return _get("kubectl")


def kine():
    """kine's binary, always of the pinned version."""
    return _get("kine")


def upstream_value():
    """The program that makes and opens values as the API server's own code does."""
    return _get("upstream", "value")


def kubernetes_source():
    """The folder of Kubernetes' source, of the version that kube_apiserver() is."""
    version = os.environ.get("KEKD_KUBERNETES_VERSION", "")
    return pathlib.Path(_get("kubernetes-source", *([version] if version else [])))


def etcd():
    """(etcd, etcdctl); KEKD_ETCD_VERSION chooses another than Debian's."""
    path = _get("etcd", os.environ.get("KEKD_ETCD_VERSION") or "debian")
    return path, str(pathlib.Path(path).with_name("etcdctl"))
