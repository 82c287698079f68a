#!/usr/bin/env python3
"""Programs on a preloaded hakmem: C++, misuse that is reported and not followed, memory that goes back.

python3 test/test_preload.py INSTRUMENTED-BUILD-FOLDER RELEASE-BUILD-FOLDER NATIVE-FOLDER SCRATCH-FOLDER"""

import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from running import LIBRARY, run, run_python

RELEASE, ROOT, SCRATCH = (Path(argument).resolve() for argument in sys.argv[2:5])
SETTINGS: tuple[dict[str, str], ...] = (
    {},
    {"HAKMEM_CLASSIFY": "header"},
    {"HAKMEM_CLASSIFY": "dual"},
    {"HAKMEM_FLAT_MAP": "0"},
    {"HAKMEM_CHECK_FREE": "1"},
)


def reports(errors: str) -> list[str]:
    """What hakmem said, without addresses."""
    return [re.sub(r" 0x[0-9a-f]+$", "", line) for line in errors.splitlines() if line.startswith("[hakmem]")]


class Cplusplus(unittest.TestCase):
    @unittest.skipUnless(shutil.which("g++"), "g++ is not installed")
    def test_new_and_delete(self) -> None:
        SCRATCH.mkdir(parents=True, exist_ok=True)
        program = SCRATCH / "new_delete"
        source = str(ROOT / "test/new_delete.cpp")
        subprocess.run(["g++", "-std=c++17", "-O1", "-fno-builtin", "-pthread", "-o", str(program), source], check=True)
        for library in (RELEASE / "lib/libhakmem.so", LIBRARY):
            for settings in SETTINGS:
                environment = {**os.environ, "LD_PRELOAD": str(library), **settings}
                done = subprocess.run([str(program)], env=environment, capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""), settings)
                self.assertEqual(done.stdout.splitlines()[-1], "libhakmem.so")


class Misuse(unittest.TestCase):
    """Two blocks of the size that was misused must be two blocks afterwards."""

    after = "libc.malloc_trim(0); print(len({libc.malloc(100) for _ in range(500)}))\n"

    def assert_reported(self, code: str, *expected: str, **settings: str) -> None:
        output, _, errors = run_python(code + self.after, **settings)
        self.assertEqual(reports(errors), [f"[hakmem] {text}" for text in expected])
        self.assertEqual(output, "500\n")

    def test_foreign_and_large_frees_are_reported_at_once(self) -> None:
        nowhere = "libc.free(0x10), libc.free(1 << 46)\n"
        mapped = (
            "import mmap\n"
            "text = mmap.mmap(-1, 1 << 20)\n"
            "libc.free(ctypes.addressof(ctypes.c_char.from_buffer(text)) + 640)\n"
        )
        large = "block = libc.malloc(3 << 20); libc.free(block), libc.free(block)\n"
        span = "block = libc.malloc(200000); libc.free(block), libc.free(block)\n"
        inside = "libc.free(libc.malloc(3 << 20) + 640), libc.free(libc.malloc(200000) + 66000)\n"
        unknown, within = "free of a pointer that was not allocated here:", "free inside of a block:"
        ways = ("map", "header", "registry")
        for settings in ({}, {"HAKMEM_FLAT_MAP": "0"}, *({"HAKMEM_CLASSIFY": way} for way in ways)):
            # A mapping of its own is memory that nobody has; a slot keeps its memory and its name.
            expected = (unknown, unknown, unknown, unknown, "double free of", within, within)
            self.assert_reported(nowhere + mapped + large + span + inside, *expected, **settings)
        self.assert_reported(nowhere, unknown, unknown, HAKMEM_CLASSIFY="dual", HAKMEM_MINCORE="always")

    def test_nobodys_pointers_have_no_size_and_cannot_grow(self) -> None:
        code = (
            "libc.realloc.restype, libc.realloc.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t]\n"
            "libc.malloc_usable_size.argtypes = [ctypes.c_void_p]\n"
            "block = libc.malloc(200 << 20); libc.free(block)\n"
            "assert libc.malloc_usable_size(block) == 0\n"
            "assert libc.realloc(block, 400 << 20) is not None\n"
        )
        self.assert_reported(code, "free of a pointer that was not allocated here:")

    def test_a_block_freed_twice_in_a_row_is_reported_and_not_handed_out_twice(self) -> None:
        for size, ways in ((100, ("map", "header", "registry", "dual")), (5000, ("map", "header", "registry"))):
            code = (
                f"block, other = libc.malloc({size}), libc.malloc({size})\n"
                "libc.free(block), libc.free(block), libc.free(other)\n"
                f"blocks = [libc.malloc({size}) for _ in range(99)]\n"
                "assert len(set(blocks)) == 99\n"
            )
            for way in ways:
                self.assert_reported(code, "double free of", HAKMEM_CLASSIFY=way)

    def test_a_block_of_another_thread_freed_twice_in_a_row_is_reported(self) -> None:
        for size in (16, 100, 9000):
            thread = (
                "import threading\n"
                f"blocks = [libc.malloc({size}) for _ in range(3)]\n"
                "frees = lambda: [libc.free(blocks[i]) for i in (0, 0, 1, 2, 2)]\n"
                "other = threading.Thread(target=frees); other.start(), other.join()\n"
            )
            self.assert_reported(thread, "double free of", "double free of")

    def test_other_double_frees_are_found_when_the_list_is_drained(self) -> None:
        few = "block, other = libc.malloc(9000), libc.malloc(9000); libc.free(block), libc.free(other), libc.free(block)\n"
        self.assert_reported(few, "double free of")
        many = (
            "blocks = [libc.malloc(9000) for _ in range(50)]\n"
            "for block in blocks[:40] + blocks[7:8]: libc.free(block)\n"
        )
        self.assert_reported(many, "double free of")
        # Eight are a batch, which is sent at once.
        thread = (
            "import threading\n"
            "blocks = [libc.malloc(9000) for _ in range(7)]\n"
            "frees = lambda: [libc.free(block) for block in blocks + blocks[:1]]\n"
            "other = threading.Thread(target=frees); other.start(), other.join()\n"
        )
        self.assert_reported(thread, "double free of")

    def test_checked_frees_are_reported_at_once(self) -> None:
        settings = {"HAKMEM_CHECK_FREE": "1"}
        twice = "block = libc.malloc(100); libc.free(block), libc.free(block)\n"
        later = "blocks = [libc.malloc(100) for _ in range(9)]\nfor block in blocks: libc.free(block)\nlibc.free(blocks[3])\n"
        inside = "libc.free(libc.malloc(100) + 16)\n"
        thread = (
            "import threading\n"
            "block = libc.malloc(5000)\n"
            "other = threading.Thread(target=lambda: (libc.free(block), libc.free(block), libc.free(block + 64)))\n"
            "other.start(), other.join()\n"
        )
        tiny = (
            "import threading\n"
            "blocks = [libc.malloc(16) for _ in range(3)]\n"
            "other = threading.Thread(target=lambda: [libc.free(blocks[i]) for i in (0, 1, 2, 0)])\n"
            "other.start(), other.join()\n"
        )
        many = (
            "blocks = [libc.malloc(100) for _ in range(200)]\n"
            "for block in blocks[:100]: libc.free(block)\n"
            "libc.free(blocks[0])\n"
        )
        by_two = (
            "import threading\n"
            "blocks = [libc.malloc({size}) for _ in range(3)]\n"
            "def run(*freed):\n"
            "    other = threading.Thread(target=lambda: [libc.free(blocks[i]) for i in freed]); other.start(), other.join()\n"
            "libc.free(blocks[0]); run(0, 1, 2); run(1, 2); libc.free(blocks[2])\n"
        )
        double, within = "double free of", "free inside of a block:"
        self.assert_reported(tiny, double, **settings)
        self.assert_reported(many, double, **settings)
        for size in (16, 100, 9000):
            for way in ("map", "header", "registry"):
                self.assert_reported(by_two.format(size=size), *[double] * 4, HAKMEM_CLASSIFY=way, **settings)
        self.assert_reported(twice, double, **settings)
        self.assert_reported(later, double, **settings)
        self.assert_reported(inside, within, **settings)
        self.assert_reported(thread, double, within, **settings)
        for workload in (("random_mixed", "--ops", "30000"), ("producer_consumer", "--ops", "20000")):
            told, counted, errors = run(workload, **settings)
            self.assertEqual((errors, counted["free_routes"]["foreign"]), ("", 0))
            self.assertEqual(counted["calls"]["malloc"], told["total_malloc_calls"])


class MemoryGoesBack(unittest.TestCase):
    def test_of_a_program_that_goes_on_with_little(self) -> None:
        """32 MB of small blocks are freed into bins; what follows only now and then needs a slow path."""
        code = (
            "import time\n"
            "def resident(): return int(open('/proc/self/statm').read().split()[1]) * 4\n"
            "blocks = [libc.malloc(500) for _ in range(64000)]\n"
            "for block in blocks: ctypes.memset(block, 1, 500)\n"
            "full = resident()\n"
            "for block in blocks: libc.free(block)\n"
            "for _ in range(12): time.sleep(0.02); libc.free(libc.malloc(100000))\n"
            "print(full - resident())"
        )
        quick, _, _ = run_python(code, HAKMEM_DECAY_MS="30")
        never, _, _ = run_python(code, HAKMEM_DECAY_MS="3600000")
        self.assertGreater(int(quick), 26000)
        self.assertLess(int(never), 4000)

    def test_what_is_kept_is_given_up_before_memory_runs_out(self) -> None:
        """Under `ulimit -v` 100 MB of one size are freed and kept; then 100 MB of another are wanted."""
        code = (
            "import resource\n"
            "used = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + (160 << 20),) * 2)\n"
            "for size in (2 << 20, 600, 200000, 5000, 2 << 20):\n"
            "    blocks = [libc.malloc(size) for _ in range((100 << 20) // size)]\n"
            "    print(None in blocks)\n"
            "    for block in blocks: libc.free(block)\n"
        )
        for settings in ({}, {"HAKMEM_POOL_STAGE1_LOCKFREE": "1"}, {"HAKMEM_FLAT_MAP": "0"}):
            output, counted, errors = run_python(code, HAKMEM_RETAIN_MB="1000", HAKMEM_DECAY_MS="3600000", **settings)
            self.assertEqual((output, errors), ("False\n" * 5, ""))
            self.assertEqual(counted["fallback"]["libc_alloc"], 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
