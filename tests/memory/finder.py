"""The tools find a secret wherever one was left: tried on a program that leaves it there."""

import secrets
import subprocess

import memory_case
from kekctl_harness import BIN

_LEFT = ("heap", "freed", "realloc", "stack", "dead-stack", "thread-stack", "bss", "hex", "base64")


class Finder(memory_case.MemoryTestCase):

    def careless(self, program, place, before=memory_case.die_with_parent):
        """What is found of a secret that the program has read to that place."""
        secret = secrets.token_bytes(32)
        file = self.folder / "secret"
        file.write_bytes(secret)
        process = subprocess.Popen([BIN / program, place, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=before)
        try:
            self.assertEqual(process.stdout.readline(), b"planted\n")
            dump = self.dump(process)
        finally:
            process.stdin.close()
            process.stdout.close()
            self.assertEqual(process.wait(20), 0)
        return self.find(f"planted {secret.hex()}\n", dump)

    def test_finds_what_was_left(self):
        for place in _LEFT:
            with self.subTest(place=place):
                found = self.careless("careless", place)
                self.assertEqual(len(found.outside), 1, found.outside)
                self.assertGreaterEqual(found.outside_of("planted"), 30)
                self.assertEqual(found.arena, [])
                self.assertEqual(found.outside[0].form, place if place in ("hex", "base64") else "raw")

    def test_finds_what_the_wiping_heap_can_not_know_and_nothing_that_it_can(self):
        for place in _LEFT:
            with self.subTest(place=place):
                found = self.careless("careless_with_wiping_heap", place)
                self.assertEqual(len(found.outside), 0 if place in ("freed", "realloc") else 1, found.outside)

    def test_finds_what_lies_in_locked_memory_and_takes_it_for_that(self):
        found = self.careless("careless", "arena", memory_case.without_memfd_secret)
        self.assertEqual([str(hit) for hit in found.outside], [])
        self.assertEqual([(hit.kind, hit.bytes) for hit in found.arena], [("planted", 32)])

    def test_kernel_shows_nothing_of_hidden_memory(self):
        found = self.careless("careless", "arena")
        if not found.hidden:
            self.skipTest("this kernel has no memfd_secret(2)")
        self.assertEqual(found.outside + found.arena, [])


if __name__ == "__main__":
    memory_case.main()
