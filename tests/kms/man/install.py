"""What 'cmake --install' puts down, and that the manual pages are good troff."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["KEKD_BUILD_DIR"])


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


class Install(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="kekd-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.root)
        result = run("cmake", "--install", BUILD, "--prefix", cls.root)
        assert result.returncode == 0, result.stderr

    def installed(self):
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())

    def pages(self):
        return [path for path in self.root.glob("share/man/man?/*") if path.is_file()]

    def test_files(self):
        wanted = {
            "bin/kekctl",
            "bin/kekd",
            "share/bash-completion/completions/kekctl",
            "share/fish/vendor_completions.d/kekctl.fish",
            "share/kekd/kekd.schema.json",
            "share/man/man1/kekctl.1",
            "share/man/man5/kekd.yaml.5",
            "share/man/man8/kekd.8",
            "share/zsh/site-functions/_kekctl",
        }
        self.assertLessEqual(wanted, set(self.installed()))
        for name in wanted:
            self.assertGreater((self.root / name).stat().st_size, 500, name)

    def test_pages_are_what_the_programs_print(self):
        for page, shell in (("share/man/man1/kekctl.1", None), ("share/bash-completion/completions/kekctl", "bash")):
            printed = run(self.root / "bin/kekctl", *(["completion", shell] if shell else ["man"]))
            self.assertEqual((self.root / page).read_text(), printed.stdout)

    def test_mandoc(self):
        self.assertEqual(len(self.pages()), 3)
        for page in self.pages():
            result = run("mandoc", "-T", "lint", "-W", "warning", page)
            self.assertEqual((result.returncode, result.stdout), (0, ""), page)

    def test_groff(self):
        for page in self.pages():
            result = run("groff", "-ww", "-man", "-T", "utf8", page)
            self.assertEqual((result.returncode, result.stderr), (0, ""), page)
            self.assertIn("NAME", without_overstrikes(result.stdout))

    def test_every_field_of_the_configuration_is_in_its_page(self):
        text = run("mandoc", "-T", "ascii", self.root / "share/man/man5/kekd.yaml.5").stdout
        for field in ("stateDirectory", "keyFile", "allowedUsers", "memory.locking"):
            self.assertIn(field, without_overstrikes(text))


def without_overstrikes(text):
    """mandoc's bold is a letter over itself."""
    return "".join(character for i, character in enumerate(text)
                   if character != "\b" and text[i + 1:i + 2] != "\b")


if __name__ == "__main__":
    unittest.main()
