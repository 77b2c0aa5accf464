"""A custom resource of the tests' own: its definition, and where its objects are."""

from .process import wait_for

GROUP = "example.com"
RESOURCE = f"widgets.{GROUP}"
PATH = f"/apis/{GROUP}/v1/namespaces/default/widgets"
KEY = f"/registry/{GROUP}/widgets/default"

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def widget(name, text=""):
    return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": name, "namespace": "default"}, "text": text}


def define(server):
    """Makes the definition and waits until the API server serves the resource."""
    server.post(_DEFINITIONS, {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": RESOURCE},
        "spec": {
            "group": GROUP,
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1", "served": True, "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"text": {"type": "string"}}}},
            }],
        },
    })
    wait_for_definition(server)


def wait_for_definition(server):
    def established():
        conditions = (server.get(f"{_DEFINITIONS}/{RESOURCE}").get("status") or {}).get("conditions") or []
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions) and \
            server.health(PATH)[0] == 200

    wait_for(established, 30, "the custom resource is served")
