#!/usr/bin/env python3
"""The instrumented flavour's counters and traces: exact in every workload and setting.

python3 test/test_counters.py INSTRUMENTED-BUILD-FOLDER"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from running import DRAINS, EMPTYING, LIBRARY, WORKLOADS, run, run_python

SETTINGS = (
    {},
    {"HAKMEM_CLASSIFY": "header"},
    {"HAKMEM_CLASSIFY": "registry"},
    {"HAKMEM_CLASSIFY": "dual"},
    {"HAKMEM_FLAT_MAP": "0"},
    {"HAKMEM_SIZE_HIST": "1"},
    {"HAKMEM_TINY_FAST_CAP": "2", "HAKMEM_TINY_SLL_DRAIN_INTERVAL": "3"},
    {"HAKMEM_TINY_REFILL_COUNT_HOT": "1"},
    {"HAKMEM_RETAIN_MB": "0"},
    {"HAKMEM_TINY_FRONT_C23_SIMPLE": "1", "HAKMEM_SMALLMID_ENABLE": "1"},
    {"HAKMEM_POOL_STAGE1": "0", "HAKMEM_POOL_STAGE2": "0"},
    {"HAKMEM_POOL_STAGE1_LOCKFREE": "1", "HAKMEM_POOL_NODES": "2"},
    {"HAKMEM_PREWARM_MB": "8", "HAKMEM_THP": "1"},
)


class Counters(unittest.TestCase):
    def test_calls_are_exact_in_every_workload_and_setting(self) -> None:
        for name, command in WORKLOADS.items():
            for settings in SETTINGS:
                with self.subTest(workload=name, settings=settings):
                    told, counted, errors = run(command, **settings)
                    self.assertEqual(counted["calls"]["malloc"], told["total_malloc_calls"])
                    # What libc frees of its own: tables of thread stacks, which it got by calloc, and NULLs.
                    by_libc = counted["calls"]["free"] - counted["free_routes"]["null"] - told["total_free_calls"]
                    self.assertGreaterEqual(by_libc, 0)
                    self.assertLessEqual(by_libc, counted["calls"]["calloc"])
                    self.assertEqual(errors, "")
                    self.assertEqual((counted["schema"], counted["flavour"]), (1, "instrumented"))

    def test_every_block_is_freed_and_none_invented(self) -> None:
        for command in WORKLOADS.values():
            _, counted, _ = run(command, direct=True)
            allocated = sum(counted["alloc_routes"].values())
            freed = sum(counted["free_routes"].values()) - counted["free_routes"]["null"]
            self.assertLessEqual(freed, allocated)
            self.assertGreaterEqual(freed, allocated - counted["calls"]["calloc"])

    def test_histogram_counts_each_request_in_its_group(self) -> None:
        for size, group in (
            (8, "C0"),
            (9, "C1"),
            (16, "C1"),
            (128, "C4"),
            (1024, "C7"),
            (1025, "mid"),
            (40000, "large"),
        ):
            told, counted, _ = run(
                ("random_mixed", "--ops", "1000", "--ws", "64", "--size", str(size)), direct=True, HAKMEM_SIZE_HIST="1"
            )
            self.assertEqual(
                counted["size_histogram"][group], told["total_malloc_calls"], (size, counted["size_histogram"])
            )
        _, counted, _ = run(WORKLOADS["small"])
        self.assertNotIn("size_histogram", counted)

    def test_route_trace_prints_as_many_lines_as_asked(self) -> None:
        for wanted, lines in (("1", 1000), ("25", 25)):
            _, _, errors = run(WORKLOADS["small"], HAKMEM_FREE_ROUTE_TRACE=wanted)
            self.assertEqual(errors.count("\n"), lines)
            self.assertRegex(errors, r"^(\[FREE_ROUTE\] map_fast ptr=0x[0-9a-f]+\n)+$")
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder, "trace")
            _, _, errors = run(
                WORKLOADS["small"], HAKMEM_FREE_ROUTE_TRACE="10", HAKMEM_FREE_ROUTE_TRACE_FILE=str(trace)
            )
            self.assertEqual((errors, trace.read_text().count("\n")), ("", 10))

    def test_acquire_and_memory_traces_tell_every_event(self) -> None:
        _, counted, errors = run(EMPTYING, HAKMEM_SS_ACQUIRE_DEBUG="1", **DRAINS)
        self.assertRegex(errors, r"^(\[SS_ACQUIRE\] stage[123] bytes=\d+ at=0x[0-9a-f]+\n)+$")
        for stage in ("stage1", "stage2", "stage3"):
            self.assertEqual(errors.count(f" {stage} "), counted["stages"][stage])
        _, counted, errors = run(WORKLOADS["large"], HAKMEM_MEM_TRACE="1", HAKMEM_RETAIN_MB="0")
        self.assertRegex(errors, r"^(\[MEM_TRACE\] (mmap|munmap|purge) bytes=\d+ at=0x[0-9a-f]+\n)+$")
        self.assertEqual(errors.count(" munmap "), counted["os"]["munmap"])
        self.assertEqual(
            errors.count(" mmap ") + errors.count(" purge "), counted["os"]["mmap"] + counted["os"]["madvise"]
        )

    def test_pool_stages_add_up(self) -> None:
        for name in ("mixed", "larson", "mid"):
            _, counted, _ = run(WORKLOADS[name])
            slabs = counted["slabs"]
            self.assertEqual(sum(counted["stages"].values()), slabs["acquired"])
            self.assertGreaterEqual(slabs["acquired"], slabs["released"])
            self.assertEqual(counted["stages"]["stage3"], counted["superslabs"]["created"])
            live = counted["superslabs"]["created"] - counted["superslabs"]["released"]
            self.assertEqual(live, counted["superslabs"]["live"])
        _, counted, _ = run(EMPTYING, **DRAINS)
        self.assertGreater(counted["stages"]["stage1"], 0)
        self.assertEqual(set(counted["variants"].values()), {0})

    def test_a_program_may_overwrite_its_environment(self) -> None:
        code = (
            "fields = open('/proc/self/stat').read().rsplit(')', 1)[1].split()\n"
            "start, end = int(fields[47]), int(fields[48])  # env_start and env_end of proc(5)\n"
            "ctypes.memset(start, ord('x'), end - start - 1)\n"
        )
        _, counted, _ = run_python(code)
        self.assertGreater(counted["calls"]["malloc"], 1000)

    def test_statistics_are_written_on_a_fatal_signal(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            environment = {
                **os.environ,
                "LD_PRELOAD": str(LIBRARY),
                "HAKMEM_STATS_FILE": str(Path(folder, "stats.%p.json")),
            }
            code = "import os, signal; x = [str(i) for i in range(10000)]; os.kill(os.getpid(), signal.SIGSEGV)"
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
            )
            self.assertEqual(done.returncode, -signal.SIGSEGV)
            self.assertRegex(
                done.stderr, r"\[hakmem\] fatal signal 11 \(SIGSEGV\) at address 0x[0-9a-f]+ build \S+ instrumented"
            )
            (written,) = Path(folder).iterdir()
            self.assertGreater(json.loads(written.read_text())["alloc_routes"]["front_hit"], 0)

    def test_programs_keep_their_own_signal_handlers(self) -> None:
        code = "import faulthandler, os, signal; faulthandler.enable(); os.kill(os.getpid(), signal.SIGABRT)"
        for setting in ({}, {"HAKMEM_SIGNAL_HANDLER": "0"}):
            environment = {**os.environ, "LD_PRELOAD": str(LIBRARY), **setting}
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
            )
            self.assertIn("Fatal Python error", done.stderr)
            self.assertEqual(done.returncode, -signal.SIGABRT)
        environment = {**os.environ, "LD_PRELOAD": str(LIBRARY), "HAKMEM_SIGNAL_HANDLER": "0"}
        done = subprocess.run(
            ["sh", "-c", "kill -SEGV $$"], env=environment, capture_output=True, text=True, check=False
        )
        self.assertNotIn("[hakmem]", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
