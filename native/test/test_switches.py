#!/usr/bin/env python3
"""Each build switch does what README.md says, by counters where there are any, else by the instructions of malloc and free.

python3 test/test_switches.py INSTRUMENTED-BUILD-FOLDER RELEASE-BUILD-FOLDER NATIVE-FOLDER SCRATCH-FOLDER"""

import re
import shutil
import subprocess
import sys
import unittest
from functools import cache
from pathlib import Path

from running import LIBRARY, WORKLOADS, run, run_python

RELEASE, ROOT, SCRATCH = (Path(argument).resolve() for argument in sys.argv[2:5])
DEFAULT = RELEASE / "lib/libhakmem.so"
# Effects that do not meet share a build.
COUNTED = (
    "HAK_COLOUR=0",
    "HAK_REUSE_SLABS=0",
    "HAK_REMOTE_BATCH_TINY=4",
    "HAK_REMOTE_BATCH_MID=2",
    "HAK_WRAPPER_GUARDS=1",
    "HAK_CHECK_HEAD=0",
)
SEEN = ("HAK_CLASSIFY=1", "HAK_PREFETCH=1", "HAK_WRAPPER_GUARDS=1")


@cache
def library(flavour: str, *switches: str) -> Path:
    """A libhakmem.so with these switches, built once."""
    out = SCRATCH / "-".join((flavour, *switches))
    built = out / "lib/libhakmem.so"
    facts = ["COMMIT=x", "DIRTY=0", "SOURCES=x", f"FLAVOUR={flavour}", f"OUT={out}"]
    define = "SWITCHES=" + " ".join(f"-D{switch}" for switch in switches)
    done = subprocess.run(
        ["make", "-s", "-j2", "-f", str(ROOT / "Makefile"), *facts, define, str(built)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return built


def symbols(built: Path) -> dict[str, tuple[int, int]]:
    """Name of a sized symbol → its first address and the one behind it."""
    listing = subprocess.run(["nm", "-S", str(built)], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listing.splitlines() if len(line.split()) == 4]
    return {name: (int(start, 16), int(start, 16) + int(size, 16)) for start, size, _, name in rows}


def settings_read(built: Path, function: str) -> set[str]:
    """Global data of settings, counters and guards that the exported half of a function reads or writes."""
    watched = {name: place for name, place in symbols(built).items() if re.match(r"hak_(config|guard|stat|size_)", name)}
    touched = [int(address, 16) for address in re.findall(r"# ([0-9a-f]+) <", instructions(built, function))]
    return {name for name, (first, end) in watched.items() for address in touched if first <= address < end}


def instructions(built: Path, function: str) -> str:
    command = ["objdump", "-d", "--no-show-raw-insn", f"--disassemble={function}", str(built)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Switches(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        shutil.rmtree(SCRATCH, ignore_errors=True)

    def test_classification_of_the_inlined_free(self) -> None:
        for switch, route in (("HAK_CLASSIFY=1", "header_fast"), ("HAK_CLASSIFY=2", "ss_hit")):
            told, counted, errors = run(WORKLOADS["small"], library=library("instrumented", switch))
            self.assertEqual(counted["free_routes"][route], told["total_free_calls"])
            self.assertEqual(sum(counted["free_routes"].values()), told["total_free_calls"])
            self.assertEqual(errors, "")
        byte_before = r"movzbl\s+-0x1\(%r\w+\)"
        self.assertRegex(instructions(library("release", *SEEN), "free"), byte_before)
        self.assertNotRegex(instructions(DEFAULT, "free"), byte_before)

    def test_slabs_start_at_different_cache_sets(self) -> None:
        """2,000 blocks of 1 KB lie in more than 30 slabs; each slab's place of its first block is its blocks' remainder."""
        code = "print({libc.malloc(1024) % 65536 % 1024 for _ in range(2000)})"
        colours = {
            built: eval(run_python(code, library=built)[0])  # noqa: S307 - a set of numbers that the line above printed
            for built in (LIBRARY, library("instrumented", *COUNTED))
        }
        self.assertGreaterEqual(len(colours[LIBRARY]), 8)
        self.assertTrue(all(colour % 64 == 0 for colour in colours[LIBRARY]))
        self.assertEqual(colours[library("instrumented", *COUNTED)], {0})

    def test_prefetch_is_one_instruction_of_malloc(self) -> None:
        for built, times in ((library("release", *SEEN), 1), (DEFAULT, 0)):
            self.assertEqual(instructions(built, "malloc").count("prefetch"), times)
            self.assertNotIn("prefetch", instructions(built, "free"))

    def test_wrapper_guards_are_a_depth_and_four_flags(self) -> None:
        for function in ("malloc", "free", "calloc", "realloc", "memalign", "aligned_alloc"):
            guarded = instructions(library("release", *SEEN), function)
            self.assertGreaterEqual(len(re.findall(r"<hak_guard_flags(?:\+0x[0-9a-f]+)?>", guarded)), 4)
            self.assertRegex(guarded, r"addl\s+\$0x1,%fs:")
            self.assertNotIn("hak_guard", instructions(DEFAULT, function))
        told, counted, errors = run(WORKLOADS["mixed"], library=library("instrumented", *COUNTED))
        self.assertEqual((counted["calls"]["malloc"], errors), (told["total_malloc_calls"], ""))

    def test_what_is_off_costs_nothing_on_the_hot_path(self) -> None:
        """The exported malloc and free read no setting, call nothing, and leave for the slow halves by a jump alone."""
        self.assertIn("hak_config", symbols(DEFAULT))
        for function in ("malloc", "free"):
            code = instructions(DEFAULT, function)
            self.assertEqual(settings_read(DEFAULT, function), set())
            self.assertNotRegex(code, r"\t(call|push|lock|prefetch)")
            out = {name for name in re.findall(r"\bj\w+ +[0-9a-f]+ <(\w+)", code) if name != function}
            self.assertTrue(out)
            self.assertEqual({name for name in out if not name.startswith(("hak_alloc_", "hak_free_"))}, set())
            self.assertEqual(settings_read(library("release", *SEEN), function), {"hak_guard_flags"})

    def test_remote_batches_are_as_long_as_told(self) -> None:
        tiny, mid = WORKLOADS["remote"], ("producer_consumer", "--ops", "20000", "--size", "2000")
        short = library("instrumented", *COUNTED)
        for built, workload, batch in ((LIBRARY, tiny, 64), (LIBRARY, mid, 8), (short, tiny, 4), (short, mid, 2)):
            _, counted, _ = run(workload, library=built)
            self.assertGreater(counted["remote"]["sent_blocks"], 5000)
            length = counted["remote"]["sent_blocks"] / counted["remote"]["sent_chains"]
            self.assertTrue(batch / 2 < length <= batch, (built, workload, length))

    def test_the_block_freed_last_is_compared_or_not(self) -> None:
        code = (
            "block, other = libc.malloc(9000), libc.malloc(9000)\n"
            "libc.free(block), libc.free(block), libc.free(other)\n"
            "print(len({libc.malloc(9000) for _ in range(9)}))"
        )
        output, _, errors = run_python(code)
        self.assertRegex(errors, r"^\[hakmem\] double free of 0x[0-9a-f]+\n$")
        self.assertEqual(output, "9\n")
        output, _, errors = run_python(code, library=library("instrumented", *COUNTED))
        self.assertEqual((output, errors), ("2\n", ""))

    def test_emptied_slabs_return_to_the_pool_or_stay(self) -> None:
        command = ("batch", "--ops", "5", "--warmup", "1", "--ws", "20000", "--size", "500:1000")
        settings = {"HAKMEM_TINY_SLL_DRAIN_INTERVAL": "5", "HAKMEM_TINY_FAST_CAP": "1"}
        _, reused, _ = run(command, **settings)
        _, kept, _ = run(command, library=library("instrumented", *COUNTED), **settings)
        self.assertGreater(reused["slabs"]["released"], 100)
        self.assertEqual(kept["slabs"]["released"], 0)
        self.assertEqual((kept["stages"]["stage1"], kept["superslabs"]["released"]), (0, 0))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
