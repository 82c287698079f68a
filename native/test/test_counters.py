#!/usr/bin/env python3
"""The instrumented flavour's counters and traces: exact in every workload and setting.

python3 test/test_counters.py INSTRUMENTED-BUILD-FOLDER"""

import json
import os
import shutil
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
        self.assertRegex(errors, r"^(\[MEM_TRACE\] (mmap|munmap|mremap|purge) bytes=\d+ at=0x[0-9a-f]+\n)+$")
        self.assertEqual(errors.count(" munmap "), counted["os"]["munmap"])
        self.assertEqual(
            errors.count(" mmap ") + errors.count(" purge "), counted["os"]["mmap"] + counted["os"]["madvise"]
        )

    def test_mappings_that_grow_or_move_are_counted_and_traced(self) -> None:
        code = (
            "libc.realloc.restype, libc.realloc.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t]\n"
            "block = libc.malloc(2 << 20)\n"
            "for megabytes in range(3, 40): block = libc.realloc(block, megabytes << 20)\n"
        )
        _, counted, errors = run_python(code, HAKMEM_MEM_TRACE="1")
        self.assertGreaterEqual(counted["os"]["mremap"], 37)
        self.assertEqual(errors.count(" mremap "), counted["os"]["mremap"])
        self.assertIn(f" mremap bytes={(39 << 20) + 65536} ", errors)

    def test_traces_do_not_go_to_files_that_the_program_opened_in_their_place(self) -> None:
        """The program closes what it did not open; its own files get the same numbers."""
        code = (
            "import os\n"
            "os.closerange(3, 64)\n"
            "path = os.environ['OWN_FILE']\n"
            "files = [os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(20)]\n"
            "os.dup2(files[0], 2)\n"
            "for _ in range(50): libc.free(libc.malloc(100)), libc.free(libc.malloc(3 << 20))\n"
            "print(os.stat(path).st_size)"
        )
        with tempfile.TemporaryDirectory() as folder:
            own, trace = Path(folder, "own"), Path(folder, "trace")
            settings = {"HAKMEM_FREE_ROUTE_TRACE": "1000000", "HAKMEM_MEM_TRACE": "1", "HAKMEM_SS_ACQUIRE_DEBUG": "1"}
            for place in ({}, {"HAKMEM_FREE_ROUTE_TRACE_FILE": str(trace)}):
                output, _, errors = run_python(code, OWN_FILE=str(own), HAKMEM_RETAIN_MB="0", **settings, **place)
                self.assertEqual((output, own.read_text()), ("0\n", ""))
                self.assertIn("[MEM_TRACE] ", errors)
            self.assertRegex(trace.read_text(), r"^(\[FREE_ROUTE\] \w+ ptr=0x[0-9a-f]+\n)+$")

    def test_a_forked_child_counts_what_it_does_itself(self) -> None:
        code = (
            "import os\n"
            "blocks = [libc.malloc(100) for _ in range(20000)]\n"
            "for block in blocks[5000:]: libc.free(block)\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    for block in blocks[:300]: libc.free(block)\n"
            "    for _ in range(700): libc.malloc(100)\n"
            "    libc.exit(0)\n"
            "os.waitpid(child, 0)\n"
            "print(child)"
        )
        with tempfile.TemporaryDirectory() as folder:
            environment = {
                **os.environ,
                "LD_PRELOAD": str(LIBRARY),
                "HAKMEM_STATS_FILE": f"{folder}/%p",
                "HAKMEM_SIZE_HIST": "1",
            }
            prologue = "import ctypes; libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p\n"
            done = subprocess.run(
                [sys.executable, "-c", prologue + "libc.free.argtypes = [ctypes.c_void_p]\n" + code],
                env=environment, capture_output=True, text=True, check=True,
            )  # fmt: skip
            told = {path.name: json.loads(path.read_text()) for path in Path(folder).iterdir()}
        child = told.pop(done.stdout.strip())
        (parent,) = told.values()
        self.assertGreaterEqual(parent["calls"]["malloc"], 20000)
        self.assertTrue(700 <= child["calls"]["malloc"] < 1000, child["calls"])
        self.assertTrue(300 <= child["calls"]["free"] < 1000, child["calls"])
        self.assertLess(sum(child["size_histogram"].values()), 1500)
        self.assertLess(child["locks"]["shared_pool"]["acquired"], 50)
        self.assertLess(child["superslabs"]["created"], parent["superslabs"]["created"])

    @unittest.skipUnless(os.geteuid() == 0, "only root can make a program of another user's")
    def test_a_setuid_program_writes_no_file_that_its_caller_names(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if os.statvfs(folder).f_flag & os.ST_NOSUID:
                self.skipTest("no setuid programs in the temporary folder")
            program = shutil.copy(LIBRARY.parents[1] / "bin/random_mixed_hakmem", folder)
            Path(folder).chmod(0o777)
            for mode, written in ((0o755, {"stats", "trace"}), (0o4755, set())):
                os.chown(program, 65534, 65534)
                Path(program).chmod(mode)
                environment = {**os.environ, "HAKMEM_FREE_ROUTE_TRACE": "5", "HAKMEM_STATS_FILE": f"{folder}/stats"}
                environment["HAKMEM_FREE_ROUTE_TRACE_FILE"] = f"{folder}/trace"
                subprocess.run([program, "--ops", "100"], env=environment, capture_output=True, check=True)
                self.assertEqual({path.name for path in Path(folder).iterdir()} - {Path(program).name}, written)
                for name in written:
                    Path(folder, name).unlink()

    def test_a_statistics_file_that_cannot_be_opened_is_said_once(self) -> None:
        environment = {**os.environ, "HAKMEM_STATS_FILE": "/nowhere/at/all.%p"}
        done = subprocess.run(
            [str(LIBRARY.parents[1] / "bin/random_mixed_hakmem"), "--ops", "100"],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0)
        said = r"^\[hakmem\] the statistics file cannot be opened \(errno 2\): /nowhere/at/all\.\d+\n$"
        self.assertRegex(done.stderr, said)

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
                done.stderr, r"^\[hakmem\] fatal signal 11 \(SIGSEGV\) build \S+ instrumented\n$"
            )
            (written,) = Path(folder).iterdir()
            self.assertGreater(json.loads(written.read_text())["alloc_routes"]["front_hit"], 0)

    def test_the_message_names_the_address_that_was_not_there(self) -> None:
        code = "import ctypes; ctypes.string_at(0x7531)"
        environment = {**os.environ, "LD_PRELOAD": str(LIBRARY)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, -signal.SIGSEGV)
        self.assertIn("(SIGSEGV) at address 0x7531 build", done.stderr)

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
