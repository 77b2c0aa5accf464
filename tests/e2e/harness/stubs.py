"""The Kubernetes project's own list of one object for each kind there is, read from its source where Go has it."""

import re

from . import parts

# gvr("apps", "v1", "deployments"): {
#     Stub: `{...}` + namespace + `...`,
_ENTRY = re.compile(r'gvr\("([^"]*)", "([^"]*)", "([^"]*)"\): \{\s*Stub:\s*(.*?)\n\s*(?:\w+:|\},)', re.DOTALL)
_PIECE = re.compile(r"`([^`]*)`|\"((?:[^\"\\]|\\.)*)\"|(namespace|image)")


def stubs(namespace):
    """{(group, version, resource): JSON text}, of the version of the API server under test."""
    text = (parts.kubernetes_source() / "test" / "integration" / "etcd" / "data.go").read_text(encoding="utf-8")
    names = {"namespace": namespace, "image": "busybox"}
    found = {}
    for group, version, resource, expression in _ENTRY.findall(text):
        pieces = _PIECE.findall(expression)
        found[group, version, resource] = "".join(raw or quoted or names.get(name, "") for raw, quoted, name in pieces)
    if len(found) < 50:
        raise ValueError(f"only {len(found)} stubs found: the source has another shape")
    return found
