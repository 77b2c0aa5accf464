"""The static pod's manifests, as Kubernetes itself reads them."""

import json
import os
import subprocess

from harness import parts
from harness.api_server import ApiError
from harness.cluster import ClusterTestCase

_MANIFESTS = parts.ROOT / "manifests" / "static-pod"

_KUBE_APISERVER = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kube-apiserver", "namespace": "kube-system"},
    "spec": {
        "containers": [{
            "name": "kube-apiserver", "image": "registry.invalid/kube-apiserver:1", "command": ["kube-apiserver", "--x"],
            "volumeMounts": [{"name": "k8s-certs", "mountPath": "/etc/kubernetes/pki"}],
        }],
        "volumes": [{"name": "k8s-certs", "hostPath": {"path": "/etc/kubernetes/pki"}}],
    },
}


class Manifests(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kubectl = parts.kubectl()
        cls.server = cls.cluster.api_server().start().wait_until_ready()

    def patched(self, file, *patch):
        """The object in the file, as JSON, after a patch that kubectl applies to the real types."""
        result = subprocess.run(
            [self.kubectl, "patch", "--local", "-o", "json", "-f", str(file), *patch], stdin=subprocess.DEVNULL,
            env=dict(os.environ, HOME=str(self.cluster.folder)), capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def created(self, pod):
        """What the API server would store, had it not been asked only whether it would."""
        return self.server.post("/api/v1/namespaces/kube-system/pods?dryRun=All&fieldValidation=Strict", pod)

    def test_static_pod(self):
        pod = self.patched(_MANIFESTS / "kekd.yaml", "--type=merge", "--patch={}")
        spec = self.created(pod)["spec"]
        self.assertFalse(spec["automountServiceAccountToken"])
        self.assertEqual(spec["priorityClassName"], "system-node-critical")
        self.assertEqual(spec["priority"], 2000001000)
        self.assertTrue(spec["securityContext"]["runAsNonRoot"])
        (container,) = spec["containers"]
        self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"])
        self.assertFalse(container["securityContext"]["allowPrivilegeEscalation"])
        self.assertEqual({mount["mountPath"] for mount in container["volumeMounts"]},
                         {"/etc/kekd", "/var/lib/kekd", "/run/kekd"})
        with self.assertRaises(ApiError):  # a typo would have been refused
            self.created({**pod, "spec": {**pod["spec"], "automountServiceAccountTokn": False}})

    def test_patch_of_kube_apiserver(self):
        before = self.cluster.folder / "kube-apiserver.json"
        before.write_text(json.dumps(_KUBE_APISERVER))
        pod = self.patched(before, "--type=strategic", f"--patch-file={_MANIFESTS / 'kube-apiserver.patch.yaml'}")
        spec = self.created(pod)["spec"]
        (container,) = spec["containers"]
        self.assertEqual(container["command"], ["kube-apiserver", "--x"])
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        self.assertEqual(mounts, {"k8s-certs": "/etc/kubernetes/pki", "encryption-config": "/etc/kubernetes/encryption",
                                  "kekd": "/run/kekd"})
        self.assertEqual({volume["name"] for volume in spec["volumes"]}, set(mounts))
