"""The completion scripts in the shells they are for: what each offers at a prompt."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ.get("KEKD_BIN_DIR", "build/release/bin"))
SECONDS = 30


def run(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=True, **options)


class Completion:
    """What is the same in every shell. `complete(line)` gives the set of what is offered at the line's end."""

    shell = ""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kekctl-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "kekd.yaml").touch()
        (self.folder / "sub folder").mkdir()
        self.script = self.folder / "completion"
        self.script.write_text(run([BIN / "kekctl", "completion", self.shell]).stdout)

    def test_syntax(self):
        run([self.shell, "-n", self.script])

    def test_verbs(self):
        self.assertLessEqual({"keyring", "key", "status", "check", "config", "encryption-config", "completion"}, self.complete("kekctl "))
        self.assertEqual(self.complete("kekctl stat"), {"status"})
        self.assertLessEqual({"list", "create", "promote"}, self.complete("kekctl key "))
        self.assertEqual(self.complete("kekctl keyring acc"), {"accept-rollback"})

    def test_verbs_after_options(self):
        self.assertEqual(self.complete("kekctl -o json --keyring key stat"), {"status"})
        self.assertLessEqual({"list", "create"}, self.complete("kekctl key --keyring list "))

    def test_options(self):
        self.assertEqual(self.complete("kekctl check --cou"), {"--count"})
        self.assertEqual(self.complete("kekctl check --keyr"), {"--keyring"})
        self.assertEqual(self.complete("kekctl status --keyr"), set())
        self.assertEqual(self.complete("kekctl status --cou"), set())

    def test_values(self):
        self.assertEqual(self.complete("kekctl -o "), {"table", "json"})
        self.assertEqual(self.complete("kekctl status --output j"), {"json"})
        self.assertEqual(self.complete("kekctl encryption-config --phase "), {"1", "2"})
        self.assertEqual(self.complete("kekctl completion "), {"bash", "zsh", "fish"})
        self.assertEqual(self.complete("kekctl -o json completion z"), {"zsh"})

    def test_files(self):
        self.assertEqual(self.complete("kekctl --config ke"), {"kekd.yaml"})
        self.assertEqual(self.complete("kekctl key list --config ke"), {"kekd.yaml"})

    def test_nothing_where_nothing_can_be_said(self):
        self.assertEqual(self.complete("kekctl key promote "), set())
        self.assertEqual(self.complete("kekctl --keyring "), set())


class Bash(Completion, unittest.TestCase):
    shell = "bash"

    def complete(self, line, words=None):
        words = words or line.split(" ")
        script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kekctl; printf "%s\\n" "${COMPREPLY[@]}"'
        result = run(["bash", "--norc", "-c", script, "bash", self.script, *words], cwd=self.folder)
        self.assertEqual(result.stderr, "")
        return set(result.stdout.split("\n")) - {""}

    def test_values_after_an_equals_sign(self):
        # Bash makes a word of the sign.
        self.assertEqual(self.complete("", ["kekctl", "status", "--output", "="]), {"table", "json"})
        self.assertEqual(self.complete("", ["kekctl", "status", "--output", "=", "t"]), {"table"})
        self.assertEqual(self.complete("", ["kekctl", "--output", "=", "json", "stat"]), {"status"})

    def test_after_what_is_no_verb(self):
        self.assertEqual(self.complete("kekctl nonsense "), set())

    def test_shellcheck(self):
        run(["shellcheck", "--shell=bash", self.script])


class Fish(Completion, unittest.TestCase):
    shell = "fish"

    def complete(self, line):
        command = f"source {self.script}; complete -C {self.quoted(line)}"
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}
        result = run(["fish", "--no-config", "-c", command], cwd=self.folder, env=environment)
        self.assertEqual(result.stderr, "")
        # "word<tab>what it is"; an option's long and short name are offered as one each.
        return {offered.split("\t")[0] for offered in result.stdout.splitlines()}

    @staticmethod
    def quoted(text):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Zsh(Completion, unittest.TestCase):
    """Completion of zsh runs in its line editor only, so a zsh on a terminal of its own is asked."""

    shell = "zsh"

    def setUp(self):
        super().setUp()
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "TERM": "dumb", "LANG": "C.UTF-8"}
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execvpe("zsh", ["zsh", "-f", "-i"], environment)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.close, self.terminal)
        # Instead of filling the line in or showing a list, every word that would be offered is printed.
        self.send("PS1= PS2= RPS1= ; unsetopt zle_bracketed_paste prompt_cr prompt_sp beep 2>/dev/null\n"
                  "autoload -Uz compinit && compinit -u -D\n"
                  f"source {self.script}\n"
                  "zmodload zsh/zutil\n"
                  "compadd() { local -a offered; builtin compadd -O offered \"$@\";"
                  " (( $#offered )) && print -r -- \"<offered>${(j:|:)offered}</offered>\" >>offered; builtin compadd \"$@\" }\n"
                  "bindkey '^I' complete-word; zstyle ':completion:*' insert-unambiguous false\n"
                  "finish() { print done >>offered; zle kill-buffer }; zle -N finish; bindkey '^O' finish\n"
                  ": >offered\n")
        self.wait_for(lambda: (self.folder / "offered").exists())

    def send(self, text):
        os.write(self.terminal, text.encode())

    def wait_for(self, condition):
        deadline = time.monotonic() + SECONDS
        shown = b""
        while not condition():
            self.assertLess(time.monotonic(), deadline, shown)
            if select.select([self.terminal], [], [], 0.05)[0]:
                shown += os.read(self.terminal, 4096)

    def complete(self, line):
        offered = self.folder / "offered"
        offered.write_text("")
        self.send(line + "\t\x0f")
        self.wait_for(lambda: offered.read_text().endswith("done\n"))
        lists = re.findall("<offered>(.*?)</offered>", offered.read_text())
        return {word for words in lists for word in words.split("|")}


if __name__ == "__main__":
    unittest.main()
