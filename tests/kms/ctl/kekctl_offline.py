"""kekctl without a running kekd: exit codes, what goes where, and that a failure leaves nothing behind."""

import json
import os
import re
import shutil
import subprocess
import unittest

from kekctl_harness import BIN, CONFIG, KekctlTestCase


class Offline(KekctlTestCase):

    def files(self):
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def test_help_and_version_need_no_configuration(self):
        for arguments in (["--help"], ["--version"], ["key", "create", "--help"]):
            result = subprocess.run([BIN / "kekctl", *arguments], capture_output=True, text=True, timeout=60, check=True)
            self.assertEqual(result.stderr, "")
            self.assertIn("kekctl", result.stdout)

    def test_help_and_version_are_words_too(self):
        def run(program, *arguments):
            return subprocess.run([BIN / program, *arguments], capture_output=True, text=True, timeout=60, check=True).stdout
        for program in ("kekctl", "kekd"):
            self.assertEqual(run(program, "version"), run(program, "--version"))
            self.assertEqual(run(program, "help"), run(program, "--help"))
        self.assertEqual(run("kekctl", "help", "key", "promote"), run("kekctl", "key", "promote", "--help"))
        self.assertEqual(run("kekctl", "help", "keyring"), run("kekctl", "keyring", "--help"))

    def test_hints_name_the_keyring_where_there_are_several(self):
        head, rest = CONFIG.split("keyring:\n")
        one, tail = rest.split("memory:\n")
        one = "- " + one[2:]
        other = one.replace("name: prod", "name: dev").replace("{folder}", "{folder}/dev")
        self.config.write_text(f"{head}keyrings:\n{one}{other}memory:\n{tail}".format(folder=self.folder))
        (self.folder / "dev").mkdir(0o700)
        text = self.run_kekctl("keyring", "init", "--keyring", "dev").stdout
        self.assertIn("'kekctl keyring backup --keyring dev'", text)
        self.assertIn("--cluster-id", text)
        text = self.kekctl("key", "create", "--keyring", "dev")
        self.assertIn("'kekctl key promote --keyring dev 2'", text)
        self.assertIn("'kekctl keyring init --keyring prod'", self.refused(3, "key", "list", "--keyring", "prod"))

    def test_usage_errors(self):
        for arguments in (["nonsense"], ["key"], ["key", "promote"], ["key", "promote", "x"], ["status", "--what"],
                          ["-o", "yaml", "status"], ["check", "--count", "-1"]):
            self.assertIn("--help", self.refused(2, *arguments))

    def test_configuration_errors(self):
        self.config.write_text(self.config.read_text().replace("keyFile", "keyfile"))
        message = self.refused(2, "config", "check")
        self.assertIn(f"{self.config}:11:5: unknown field \"keyfile\"", message)
        self.assertIn("did you mean \"keyFile\"?", message)
        self.config.unlink()
        self.refused(2, "config", "check")

    def test_configuration_that_others_can_write(self):
        self.config.chmod(0o666)
        self.assertIn("chmod go-w", self.refused(6, "config", "check"))

    def test_config_check(self):
        result = self.run_kekctl("config", "check")
        self.assertIn("is valid", result.stdout)
        for line in result.stderr.splitlines():
            self.assertTrue(line.startswith("kekctl: warning: "), line)
        self.assertIn(f"{self.folder}/ring.key does not exist", result.stderr)
        self.kekctl("keyring", "init")
        self.assertIn("is valid", self.kekctl("config", "check"))
        self.assertTrue(self.kekctl_json("config", "check")["valid"])

    def test_config_schema(self):
        schema = json.loads(self.kekctl("config", "schema"))
        self.assertEqual(schema["title"], "KekdConfiguration")
        self.assertIn("keyFile", schema["definitions"]["unlock"]["properties"])

    def test_nothing_there(self):
        for arguments in (["keyring", "show"], ["keyring", "verify"], ["key", "list"], ["key", "create"], ["key", "promote", "1"],
                          ["keyring", "accept-rollback", "--generation", "1"]):
            self.assertIn("kekctl keyring init", self.refused(3, *arguments))
        self.assertIn("'kekctl keyring restore'", self.refused(3, "key", "list"))
        for verb in ("status", "check"):
            self.assertIn("kekd is not running", self.refused(4, verb))
        self.refused(3, "key", "list", "--keyring", "other")
        self.assertEqual(self.files(), ["kekd.yaml"])

    def test_life_of_a_keyring(self):
        made = self.kekctl_json("keyring", "init", "--cluster-id", "6f1d1c1e-0a52-4b8e-9d5c-0b6f2a7f1d10")
        self.assertEqual(made["clusterId"], "6f1d1c1e-0a52-4b8e-9d5c-0b6f2a7f1d10")
        self.assertEqual(made["generation"], 1)
        self.assertEqual(made["newKeyFiles"], [str(self.folder / "ring.key")])
        before = {name: (self.folder / name).read_bytes() for name in self.files()}
        self.refused(3, "keyring", "init")
        self.assertEqual({name: (self.folder / name).read_bytes() for name in self.files()}, before)

        self.assertEqual(self.states(), {1: "active"})
        self.assertIn("made key version 2", self.kekctl("key", "create"))
        self.assertEqual(self.states(), {1: "active", 2: "pre-activation"})
        self.assertEqual(self.kekctl_json("key", "promote", "2")["state"], "active")
        self.assertEqual(self.states(), {1: "deactivated", 2: "active"})
        self.refused(3, "key", "promote", "1")
        self.refused(3, "key", "promote", "9")
        self.refused(3, "key", "create", "--backend", "abacus")

        listed = self.kekctl_json("key", "list")
        shown = self.kekctl_json("keyring", "show")
        self.assertEqual(shown["versions"], listed["versions"])
        self.assertEqual(listed["generation"], 3)
        for version in listed["versions"]:
            self.assertRegex(version["keyId"], rf"^prod\.{version['version']}\.[0-9a-f]{{32}}$")
            self.assertRegex(version["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            self.assertIs(version["compromised"], False)
        report = self.kekctl_json("keyring", "verify")
        self.assertTrue(report["good"])
        self.assertEqual([copy["generation"] for copy in report["copies"]], [3, 3, 2, 1])
        for verb in (["key", "list"], ["keyring", "show"], ["keyring", "verify"]):
            self.assertIn(listed["versions"][1]["keyId"], self.kekctl(*verb))

    def test_key_file_problems(self):
        self.kekctl("keyring", "init")
        key = self.folder / "ring.key"
        key.chmod(0o644)
        self.assertIn("chmod 0600", self.refused(6, "key", "list"))
        key.chmod(0o600)
        content = key.read_text()
        key.write_text(content.replace(content[20:40], content[20:40][::-1]))
        self.refused(5, "key", "list")
        key.unlink()
        self.refused(3, "key", "create")
        key.write_text(content)
        key.chmod(0o600)
        self.assertEqual(self.states(), {1: "active"})

    def test_damaged_keyring(self):
        self.kekctl("keyring", "init")
        self.kekctl("key", "create")
        record = self.folder / "ring" / "keyring"
        good = record.read_bytes()
        record.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        damaged = record.read_bytes()
        self.assertIn("keyring verify", self.refused(5, "key", "list"))
        self.refused(5, "key", "create")
        result = self.run_kekctl("-o", "json", "keyring", "verify", expect=5)
        report = json.loads(result.stdout)
        self.assertFalse(report["good"])
        self.assertEqual([copy["good"] for copy in report["copies"]], [False, True, True])
        self.assertIn("not good", result.stderr)
        self.assertEqual(record.read_bytes(), damaged, "something was written")
        self.do_what_verify_says()
        self.assertEqual(record.read_bytes(), good)
        self.assertEqual(self.states(), {1: "active", 2: "pre-activation"})
        # One that is gone, and a second copy that is in the way of the next change.
        record.unlink()
        self.do_what_verify_says(3)
        second = self.folder / "ring" / "keyring.2"
        second.write_bytes(good[:100])
        self.refused(3, "key", "create")
        self.do_what_verify_says(0)
        self.kekctl("key", "create")
        # With no copy that is good, it says so.
        for name in ("keyring", "keyring.1", "keyring.2", "keyring.3"):
            (self.folder / "ring" / name).write_bytes(good[1:])
        self.assertIn("kekctl keyring restore", self.run_kekctl("keyring", "verify", expect=5).stderr)

    def do_what_verify_says(self, expect=5):
        """Runs the command that it gives, after which all must be good."""
        told = self.run_kekctl("keyring", "verify", expect=expect).stderr
        subprocess.run(re.search("'((?:mv|cp) [^']*)'", told).group(1), shell=True, check=True)
        self.run_kekctl("keyring", "verify")

    def test_rolled_back_keyring(self):
        self.kekctl("keyring", "init")
        self.kekctl("key", "create")
        shutil.copyfile(self.folder / "ring" / "keyring.1", self.folder / "ring" / "keyring")
        refused = self.refused(5, "key", "list")
        self.assertIn("accept-rollback --generation 1", refused)
        self.assertIn("kekctl keyring restore", refused)
        self.assertIn(f"cp -p {self.folder}/ring/keyring.2 {self.folder}/ring/keyring",
                      self.run_kekctl("keyring", "verify", expect=5).stderr)
        self.refused(3, "keyring", "accept-rollback", "--generation", "2")
        self.assertIn("generation 1", self.kekctl("keyring", "accept-rollback", "--generation", "1"))
        self.assertEqual(self.states(), {1: "active"})
        # What was accepted is good: nothing tells to undo it.
        self.assertNotIn("puts it back", self.run_kekctl("keyring", "verify").stderr)
        self.kekctl("key", "create")
        self.assertEqual(self.kekctl_json("key", "list")["generation"], 3)

    def test_init_that_fails_leaves_no_key_file(self):
        self.config.write_text(self.config.read_text().replace(f"{self.folder}/ring\n", f"{self.folder}/missing/ring\n"))
        self.assertIn("make it first", self.refused(3, "keyring", "init"))
        self.assertEqual(self.files(), ["kekd.yaml"])

    def test_encryption_config(self):
        result = self.run_kekctl("encryption-config", "--resources", "secrets,configmaps")
        both = result.stdout
        self.assertIn("two files", result.stderr)  # one file with both would be read as phase 1 only
        self.assertEqual(both.count("kind: EncryptionConfiguration"), 2)
        self.assertEqual(both.count("\n---\n"), 1)
        self.assertIn(f"endpoint: unix://{self.folder}/kekd.sock\n", both)
        phases = [self.kekctl("encryption-config", "--resources", "secrets,configmaps", "--phase", phase) for phase in "12"]
        self.assertEqual("---\n".join(phases), both)
        config = self.kekctl_json("encryption-config", "--phase", "2")
        self.assertEqual([list(provider) for provider in config["resources"][0]["providers"]], [["kms"], ["identity"]])
        self.assertIn("etcd", self.refused(2, "encryption-config", "--provider-name", "a:b"))

    def test_output_that_cant_be_written_is_a_failure(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([BIN / "kekctl", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("ENOSPC", result.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to work for another user")
    def test_root_makes_a_ring_for_the_user_of_the_folder(self):
        # The state folder, which is missing, is made for that user too.
        (self.folder / "ring").mkdir(mode=0o700)
        os.chown(self.folder / "ring", 12345, 23456)
        self.kekctl("keyring", "init")
        self.kekctl("key", "create")
        for name in ("ring.key", "ring/keyring", "ring/keyring.1", "ring/keyring.lock"):
            info = (self.folder / name).stat()
            self.assertEqual((info.st_uid, info.st_gid, info.st_mode & 0o7777), (12345, 23456, 0o600), name)
        for path in (self.folder / "state", *(self.folder / "state").iterdir()):
            self.assertEqual(path.stat().st_uid, 12345, path)


if __name__ == "__main__":
    unittest.main()
