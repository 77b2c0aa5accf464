"""Objects in etcd that cannot be read any more, and getting rid of them. Each test is after the Kubernetes project's own of that
name (docs/upstream-cases.md), with values that kekd's keys encrypt where upstream's has keys in the configuration.

What an API server does about such objects is a feature that was alpha up to 1.36 and is on since 1.37: both ways are tested.
"""

import json

from harness import custom_resource
from harness.api_server import secret
from harness.cluster import PROVIDER, ClusterTestCase
from harness.encrypted_object import parse
from harness.process import wait_for

_GATE = "AllowUnsafeMalformedObjectDeletion"
_USER = "croc"
_VERB = "unsafe-delete-ignore-read-errors"
_OPTION = {"apiVersion": "v1", "kind": "DeleteOptions", "ignoreStoreReadErrorWithClusterBreakingPotential": True}


class Kind:
    """A resource: where its objects are, and one of them."""

    def __init__(self, group, resource, path, key, make):
        self.group, self.resource, self.path, self.key, self.make = group, resource, path, key, make

    def named(self):
        return f"{self.resource}.{self.group}" if self.group else self.resource


_SECRETS = Kind("", "secrets", "/api/v1/namespaces/default/secrets", "/registry/secrets/default", secret)
_WIDGETS = Kind(custom_resource.GROUP, "widgets", custom_resource.PATH, custom_resource.KEY, custom_resource.widget)


class _Corrupt(ClusterTestCase):

    enabled = None

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        # No identity: what no provider knows has to be an error of its own.
        config = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [
            {"resources": ["secrets", custom_resource.RESOURCE], "providers": [
                {"kms": {"apiVersion": "v2", "name": PROVIDER, "endpoint": cls.kekd.endpoint, "timeout": "3s"}}]}]}
        cls.server = cls.cluster.api_server(config_text=json.dumps(config),
                                            extra_flags=[f"--feature-gates={_GATE}={str(cls.enabled).lower()}"])
        cls.server.start().wait_until_ready()
        custom_resource.define(cls.server)

    def ask(self, method, kind, name, body=None, user=None):
        return self.server.request(method, f"{kind.path}/{name}" if name else kind.path, body, user)

    def must(self, method, kind, name, body=None, user=None):
        status, answer = self.ask(method, kind, name, body, user)
        self.assertLess(status, 300, answer)
        return answer

    def grant(self, kind, verbs):
        """Lets the user do that to objects of that kind."""
        name = f"{_USER}-{kind.resource}-{verbs[0]}"
        rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
        self.server.post(f"{rbac}/roles", {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name},
            "rules": [{"apiGroups": [kind.group], "resources": [kind.resource], "verbs": verbs}]})
        self.server.post(f"{rbac}/rolebindings", {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
            "subjects": [{"kind": "User", "name": _USER, "apiGroup": "rbac.authorization.k8s.io"}],
            "roleRef": {"kind": "Role", "name": name, "apiGroup": "rbac.authorization.k8s.io"}})

        def allowed():
            review = self.server.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
                    "user": _USER, "resourceAttributes": {"namespace": "default", "verb": verbs[0], "group": kind.group,
                                                          "resource": kind.resource}}})
            return review["status"]["allowed"]

        wait_for(allowed, 20, f"{_USER} may {verbs[0]} {kind.resource}")

    def spoil(self, kind, name, change):
        key = f"{kind.key}/{name}"
        self.cluster.etcd.put(key, change(key, self.cluster.etcd.raw_value(key)))

    def check_deletion(self, kind, name, change, reason):
        """The way of an object from its making to its unsafe deletion; `reason` is in the errors until then."""
        self.grant(kind, ["create", "get", "delete", "update"])
        self.must("POST", kind, "", kind.make(name), _USER)
        self.must("DELETE", kind, name, None, _USER)
        made = self.must("POST", kind, "", kind.make(name), _USER)
        made["metadata"]["finalizers"] = ["example.com/stays"]
        self.must("PUT", kind, name, made, _USER)
        self.spoil(kind, name, change)

        status, answer = self.ask("GET", kind, name, None, _USER)
        self.assertEqual((status, answer["reason"]), (500, "InternalError"), answer)
        self.assertIn(reason, answer["message"])
        self.assertEqual("StorageError: corrupt object" in answer["message"], self.enabled, answer)
        # Others come and go as ever.
        self.must("POST", kind, "", kind.make(f"{name}-sound"), _USER)
        self.must("DELETE", kind, f"{name}-sound", None, _USER)

        self.assertEqual(self.ask("DELETE", kind, name, None, _USER)[1]["reason"], "InternalError")
        status, answer = self.ask("DELETE", kind, name, _OPTION, _USER)
        if self.enabled:
            self.assertEqual((status, answer["reason"]), (403, "Forbidden"), answer)
            self.assertIn(f'not permitted to do "{_VERB}"', answer["message"])
        else:
            self.assertEqual(answer["reason"], "InternalError", answer)
        self.grant(kind, [_VERB])
        status, answer = self.ask("DELETE", kind, name, _OPTION, _USER)
        if self.enabled:
            self.assertEqual(status, 200, answer)
            self.assertEqual(self.ask("GET", kind, name, None, _USER)[0], 404)
            self.assertIsNone(self.cluster.etcd.raw_value(f"{kind.key}/{name}"))
            # The watch cache is whole again, and no more has what is gone.
            self.must("POST", kind, "", kind.make("final"), _USER)

            def cached():
                status, answer = self.server.request("GET", f"{kind.path}?resourceVersion=0")
                names = {item["metadata"]["name"] for item in answer.get("items", [])}
                return status == 200 and "final" in names and name not in names

            wait_for(cached, 90, "the watch cache follows")
        else:
            self.assertEqual(answer["reason"], "InternalError", answer)
            self.assertEqual(self.ask("GET", kind, name, None, _USER)[1]["reason"], "InternalError")
        self.cluster.etcd.delete(f"{kind.key}/{name}")

    def check_list(self, kind):
        names = [f"corrupt-{letter}" for letter in "abc"]
        for name in names:
            self.must("POST", kind, "", kind.make(name))
        self.assertLessEqual(set(names), {item["metadata"]["name"] for item in self.must("GET", kind, "")["items"]})
        # Upstream cuts a byte off. In an envelope that is no ciphertext's: then no envelope is left.
        for name, change in zip(names, (self.flipped, self.flipped, self.cut)):
            self.spoil(kind, name, change)
        status, answer = self.ask("GET", kind, names[0])
        self.assertEqual((status, answer["reason"]), (500, "InternalError"), answer)
        self.assertIn("cipher: message authentication failed", answer["message"])
        status, answer = self.ask("GET", kind, "")
        if self.enabled:
            self.assertEqual(answer["reason"], "StorageReadError", answer)
            self.assertIn(f"failed to read one or more {kind.named()} from the storage", answer["message"])
            causes = answer["details"]["causes"]
            self.assertEqual({cause["reason"] for cause in causes}, {"UnexpectedServerResponse"})
            self.assertEqual(sorted(cause["field"].rpartition("/")[2] for cause in causes), names)
        else:
            self.assertEqual(answer["reason"], "InternalError", answer)
            self.assertIn("unable to transform key", answer["message"])
        for name in names:
            self.cluster.etcd.delete(f"{kind.key}/{name}")
        wait_for(lambda: self.ask("GET", kind, "")[0] == 200, 90, "the list is whole again")

    @staticmethod
    def of_no_provider(_, value):
        """The value as of a provider that is not configured any more."""
        return value.replace(PROVIDER.encode(), b"gone", 1)

    @staticmethod
    def flipped(_, value):
        """The ciphertext with a bit of its tag flipped."""
        data = parse(value).encrypted_data
        return value.replace(data, data[:-1] + bytes([data[-1] ^ 1]))

    @staticmethod
    def cut(_, value):
        return value[:-1]

    def not_decodable(self, key, value):
        """Sound encryption around an object with a bit flipped."""
        plain = bytearray(self.cluster.open(self.kekd, key))
        self.assertTrue(value)
        plain[-1] ^= 0xFF
        return self.cluster.seal(self.kekd, key, bytes(plain))

    def test_1_AllowUnsafeMalformedObjectDeletionFeature(self):
        self.check_deletion(_SECRETS, "unsafe", self.of_no_provider, "no matching prefix found")

    def test_2_CRAllowUnsafeMalformedObjectDeletionFeature(self):
        self.check_deletion(_WIDGETS, "unsafe", self.of_no_provider, "no matching prefix found")

    def test_3_ListCorruptObjects(self):
        self.check_list(_SECRETS)

    def test_4_CRListCorruptObjects(self):
        self.check_list(_WIDGETS)


class FeatureOn(_Corrupt):

    enabled = True

    def test_5_BitFlipCorruptObjectDeletion(self):
        # Upstream has this with the feature on only: without it GET hangs.
        kind = Kind("", "secrets", _SECRETS.path, _SECRETS.key, _SECRETS.make)
        self.server.delete("/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles")
        self.server.delete("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings")
        self.server.delete_secret("final")
        self.check_deletion(kind, "flipped", self.not_decodable, "object not decodable")


class FeatureOff(_Corrupt):

    enabled = False


del _Corrupt
