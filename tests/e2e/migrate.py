"""kekctl migrate against a real API server: with the rights of manifests/rbac and no more, cut off and gone on with, through
a restart of the API server, past what admission refuses; and what it says when it may not or can't."""

import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

from harness import custom_resource, parts
from harness.api_server import ApiError, secret_key
from harness.cluster import ClusterTestCase, encryption_config
from harness.kubeconfig import kubeconfig
from harness.process import wait_for

_SECRETS = int(os.environ.get("KEKD_MIGRATE_SECRETS", "1500"))
_WIDGETS = 150
_RBAC = parts.ROOT / "manifests" / "rbac"
_RESOURCES = f"secrets,{custom_resource.RESOURCE}"
_POLICIES = "/apis/admissionregistration.k8s.io/v1"


class Migrate(ClusterTestCase):

    @classmethod
    def set_up_cluster(cls):
        cls.kekd = cls.cluster.kekd().init().start()
        cls.config_text = encryption_config(cls.kekd.endpoint, resources=("secrets", custom_resource.RESOURCE))
        cls.server = cls.cluster.api_server(config_text=cls.config_text).start().wait_until_ready()
        custom_resource.define(cls.server)
        cls.admin = kubeconfig(cls.cluster.folder / "admin.kubeconfig", cls.server)
        cls.kubectl("apply", "-f", str(_RBAC / "kekctl-migrate.yaml"))
        token = cls.kubectl("--namespace", "kekd", "create", "token", "kekctl-migrate").strip()
        cls.user = kubeconfig(cls.cluster.folder / "user.kubeconfig", cls.server, {"token": token})
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: cls.server.create_secret(f"s-{number:05}", text=f"value {number}"), range(_SECRETS)))
            list(pool.map(lambda number: cls.server.post(custom_resource.PATH, custom_resource.widget(f"w-{number:05}", "x")),
                          range(_WIDGETS)))

    @classmethod
    def kubectl(cls, *arguments):
        result = subprocess.run([parts.kubectl(), "--kubeconfig", str(cls.admin), *arguments], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=60, check=False)
        if result.returncode != 0:
            raise AssertionError(f"kubectl {arguments}: {result.stderr}")
        return result.stdout

    def command(self, *arguments, config=None):
        return [parts.program("kekctl"), "-o", "json", "--config", str(self.kekd.config), "migrate",
                "--kubeconfig", str(config or self.user), *map(str, arguments)]

    def migrate(self, *arguments, config=None, resources=_RESOURCES, environment=None):
        """(exit code, what it printed, standard error)"""
        more = ["--resources", resources] if resources else []
        result = subprocess.run(self.command(*more, *arguments, config=config), stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, timeout=300, check=False, env={**os.environ, **(environment or {})})
        return result.returncode, json.loads(result.stdout) if result.stdout else None, result.stderr

    def rotate(self):
        """A new primary, which the API server knows."""
        key_id = self.kekd.rotate()

        def known():
            self.server.kms_health()
            self.server.create_secret("probe", text="x")
            stored = self.cluster.stored("probe").key_id
            self.server.delete_secret("probe")
            return stored == key_id

        wait_for(known, 90, "the API server writes under the new key", interval=1)

    def assert_all_fresh(self):
        result = subprocess.run(
            [parts.program("kekctl"), "-o", "json", "--config", str(self.kekd.config), "scan", "--endpoints",
             self.cluster.etcd.url, "--policy", "secrets=primary", "--policy", f"{custom_resource.RESOURCE}=primary"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout[-2000:])

    def test_10_the_rights_suffice(self):
        # There are none on the custom resource yet: it says which, before anything is done.
        code, _, stderr = self.migrate()
        self.assertEqual(code, 6, stderr)
        self.assertIn(f"list and patch on {custom_resource.RESOURCE}", stderr)
        self.kubectl("patch", "clusterrole", "kekctl-migrate", "--type=json", "--patch", json.dumps([{
            "op": "add", "path": "/rules/-",
            "value": {"apiGroups": [custom_resource.GROUP], "resources": ["widgets"], "verbs": ["list", "patch"]}}]))

        self.rotate()
        before = self.server.get_secret("s-00000")["metadata"]
        code, report, stderr = self.migrate()
        self.assertEqual(code, 0, stderr)
        self.assertTrue(report["complete"])
        written = {one["resource"]: one["written"] for one in report["resources"]}
        self.assertEqual(written, {"secrets": _SECRETS, custom_resource.RESOURCE: _WIDGETS})
        self.assert_all_fresh()
        # Written anew, and nothing else: not even who owns which field.
        after = self.server.get_secret("s-00000")["metadata"]
        self.assertNotEqual(before.pop("resourceVersion"), after.pop("resourceVersion"))
        self.assertEqual(before, after)
        self.assert_secret(self.server, "s-00007", text="value 7")

    def test_11_what_is_up_to_date_is_left_alone(self):
        code, report, stderr = self.migrate()
        self.assertEqual(code, 0)
        self.assertEqual(report["total"], {"written": 0, "upToDate": _SECRETS + _WIDGETS, "writtenByOthers": 0, "refused": 0})
        self.assertIn("calls every object up to date", stderr)

    def test_12_everything_else_is_refused(self):
        account = "system:serviceaccount:kekd:kekctl-migrate"
        secret = "/api/v1/namespaces/default/secrets/s-00000"
        refused = [("GET", secret, None), ("DELETE", secret, None), ("PUT", secret, self.server.get_secret("s-00000")),
                   ("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "x"}}),
                   ("GET", "/api/v1/secrets?watch=1&timeoutSeconds=1", None), ("GET", "/api/v1/configmaps", None),
                   ("GET", "/metrics", None),
                   ("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/kekctl-migrate", {})]
        for method, path, body in refused:
            status, _ = self.server.request(method, path, body, user=account)
            self.assertEqual(status, 403, f"{method} {path}")

    def test_20_killed_it_goes_on_where_it_was(self):
        self.rotate()
        checkpoint = self.cluster.folder / "checkpoint.json"
        run = subprocess.Popen(self.command("--resources", _RESOURCES, "--checkpoint", checkpoint, "--qps", "150"),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def under_way():
            self.assertIsNone(run.poll(), "it has ended before it could be killed")
            return checkpoint.exists() and json.loads(checkpoint.read_text())["counts"]["written"] > 250

        wait_for(under_way, 60, "a checkpoint is kept")
        run.send_signal(signal.SIGKILL)
        run.wait()
        done = json.loads(checkpoint.read_text())["counts"]["written"]
        self.assertEqual(checkpoint.stat().st_mode & 0o777, 0o600)
        patches = self.patches()
        code, report, stderr = self.migrate("--checkpoint", checkpoint)
        self.assertEqual(code, 0, stderr)
        self.assertEqual(sum(report["total"].values()), _SECRETS + _WIDGETS)
        self.assertLessEqual(self.patches() - patches, _SECRETS + _WIDGETS - done)
        self.assertFalse(checkpoint.exists())
        self.assert_all_fresh()

    def patches(self):
        """PATCH requests that the API server has answered."""
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in self.server.metric_lines("apiserver_request_total")
                   if 'verb="PATCH"' in line and ('resource="secrets"' in line or 'resource="widgets"' in line))

    def test_21_a_checkpoint_of_another_key_is_not_taken(self):
        checkpoint = self.cluster.folder / "old.json"
        checkpoint.write_text(json.dumps({"format": "kekd/migration-checkpoint/1", "target": "another", "done": []}))
        code, _, stderr = self.migrate("--checkpoint", checkpoint)
        self.assertEqual(code, 3)
        self.assertIn("remove it to begin anew", stderr)

    def test_30_it_waits_for_an_api_server_that_restarts(self):
        self.rotate()
        run = subprocess.Popen(self.command("--resources", _RESOURCES, "--qps", "200"), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(2)
        self.assertIsNone(run.poll())
        self.server.cold_restart(same_port=True)
        stdout, stderr = run.communicate(timeout=200)
        self.assertEqual(run.returncode, 0, stderr)
        total = json.loads(stdout)["total"]
        self.assertEqual(sum(total.values()), _SECRETS + _WIDGETS)
        self.assertEqual(total["refused"], 0)
        self.server.wait_until_ready()
        self.assert_all_fresh()

    def test_40_what_admission_refuses_is_told_by_name(self):
        self.rotate()
        self.server.post(f"{_POLICIES}/validatingadmissionpolicies", {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "frozen"},
            "spec": {"failurePolicy": "Fail",
                     "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
                                                             "resources": ["secrets"]}]},
                     "validations": [{"expression": "!object.metadata.name.endsWith('42')", "message": "it is frozen"}]}})
        self.server.post(f"{_POLICIES}/validatingadmissionpolicybindings", {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "frozen"}, "spec": {"policyName": "frozen", "validationActions": ["Deny"]}})

        def enforced():
            try:
                self.server.rewrite_secret("s-00042")
            except ApiError as error:
                return "frozen" in error.message
            return False

        wait_for(enforced, 30, "the policy is enforced")
        code, report, stderr = self.migrate()
        self.assertEqual(code, 1, stderr)
        self.assertIn("former keys are still needed", stderr)
        frozen = {f"s-{number:05}" for number in range(42, _SECRETS, 100)}
        self.assertEqual({one["name"] for one in report["refused"]}, frozen)
        self.assertIn("it is frozen", report["refused"][0]["reason"])
        self.assertEqual(report["total"]["written"], _SECRETS + _WIDGETS - len(frozen))
        self.server.delete(f"{_POLICIES}/validatingadmissionpolicybindings/frozen")
        self.server.delete(f"{_POLICIES}/validatingadmissionpolicies/frozen")

        def lifted():
            return self.migrate()[0] == 0

        wait_for(lifted, 60, "the policy is lifted", interval=1)
        self.assert_all_fresh()

    def test_50_resources_by_the_encryption_configuration_or_by_etcd(self):
        for arguments in (["--encryption-config", self.server.encryption_config], ["--endpoints", self.cluster.etcd.url]):
            code, report, stderr = self.migrate(*arguments, resources=None)
            self.assertEqual(code, 0, stderr)
            self.assertEqual([one["resource"] for one in report["resources"]], ["secrets", custom_resource.RESOURCE])
        code, _, stderr = self.migrate(resources=None)
        self.assertEqual(code, 2)
        for option in ("--resources", "--encryption-config", "--endpoints"):
            self.assertIn(option, stderr)
        code, _, stderr = self.migrate(resources="widgets")
        self.assertEqual(code, 3)
        self.assertIn(f"is {custom_resource.RESOURCE} meant?", stderr)

    def test_51_every_resource_there_is(self):
        code, report, stderr = self.migrate(config=self.admin, resources="*.*")
        self.assertEqual(code, 0, stderr)
        self.assertIn("configmaps", {one["resource"] for one in report["resources"]})
        self.assertEqual(report["total"]["refused"], 0)

    def write_kubeconfig(self, name, user=None, **cluster):
        return kubeconfig(self.cluster.folder / name, self.server, user, **cluster)

    def test_60_it_says_what_is_wrong_with_who_asks(self):
        code, _, stderr = self.migrate(config=self.write_kubeconfig("wrong-token", {"token": "wrong"}))
        self.assertEqual(code, 6, stderr)
        self.assertIn("expired", stderr)
        self.assertNotIn("wrong-token-content", stderr)
        code, _, stderr = self.migrate(config=self.write_kubeconfig("nobody", {"as": "nobody", **{"token": "e2e-token"}}))
        self.assertEqual(code, 6, stderr)
        self.assertIn("list and patch on secrets", stderr)

    def test_61_it_says_what_is_wrong_with_the_server(self):
        other = self.cluster.folder / "other.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-out", str(other),
                        "-subj", "/CN=other"], check=True, capture_output=True, timeout=60)
        code, _, stderr = self.migrate(config=self.write_kubeconfig("wrong-ca", certificate_authority=str(other)))
        self.assertEqual(code, 3, stderr)
        self.assertIn(str(other), stderr)
        self.assertIn("another cluster", stderr)
        code, _, stderr = self.migrate(config=self.write_kubeconfig("wrong-name", tls_server_name="other.example.com"))
        self.assertEqual(code, 3, stderr)
        self.assertIn("for another name", stderr)
        code, _, _ = self.migrate(config=self.write_kubeconfig("right-name", tls_server_name="kubernetes.default.svc"))
        self.assertEqual(code, 0)
        insecure = self.write_kubeconfig("insecure", certificate_authority="", insecure_skip_tls_verify=True)
        code, _, stderr = self.migrate(config=insecure)
        self.assertEqual(code, 2, stderr)
        self.assertEqual(self.migrate("--insecure-skip-tls-verify", config=insecure)[0], 0)
        code, _, stderr = self.migrate(config=self.write_kubeconfig("away", server="https://127.0.0.1:1"))
        self.assertEqual(code, 4, stderr)
        self.assertIn("can't be reached", stderr)

    def test_62_a_plugin_gives_the_token(self):
        plugin = self.cluster.folder / "plugin"
        asked = self.cluster.folder / "asked"
        plugin.write_text(f"""#!/bin/sh
echo "$KUBERNETES_EXEC_INFO" >>{asked}
echo "to stderr" >&2
cat <<END
{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{{"token":"$TOKEN"}}}}
END
""")
        plugin.chmod(0o755)
        user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", "provideClusterInfo": True,
                         "interactiveMode": "Never", "env": [{"name": "TOKEN", "value": "e2e-token"}]}}
        code, _, stderr = self.migrate(config=self.write_kubeconfig("plugin.kubeconfig", user))
        self.assertEqual(code, 0, stderr)
        self.assertIn("to stderr", stderr)
        information = json.loads(asked.read_text().splitlines()[0])
        self.assertEqual(len(asked.read_text().splitlines()), 1)
        self.assertEqual(information["spec"]["cluster"]["server"], f"https://127.0.0.1:{self.server.port}")

        user["exec"]["env"][0]["value"] = "wrong"
        code, _, _ = self.migrate(config=self.write_kubeconfig("plugin.kubeconfig", user))
        self.assertEqual(code, 6)
        # Refused, it was run once more, and then believed.
        self.assertEqual(len(asked.read_text().splitlines()), 3)

        user["exec"].update(command="no-such-plugin", installHint="get it from there")
        code, _, stderr = self.migrate(config=self.write_kubeconfig("plugin.kubeconfig", user))
        self.assertEqual(code, 3)
        self.assertIn("get it from there", stderr)


if __name__ == "__main__":
    unittest.main()
