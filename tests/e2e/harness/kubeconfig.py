"""kubeconfig files for an API server of the tests."""

import json

from .api_server import TOKEN


def certificate_authority(server):
    """The API server's own certificate with the authority that it has made for it."""
    return server.certificates / "apiserver.crt"


def kubeconfig(path, api_server, user=None, **cluster):
    """Writes one: `user` as in a kubeconfig, the administrator's token if none; more of the cluster by name, with '_' for
    '-'. JSON is YAML."""
    entry = {"server": f"https://127.0.0.1:{api_server.port}", "certificate-authority": str(certificate_authority(api_server)),
             **{name.replace("_", "-"): value for name, value in cluster.items()}}
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": entry}],
        "users": [{"name": "tests", "user": {"token": TOKEN} if user is None else user}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
    }))
    path.chmod(0o600)
    return path
