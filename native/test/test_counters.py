#!/usr/bin/env python3
"""The instrumented flavour's counters and traces, and what each environment variable does.

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

BUILD = Path(sys.argv[1]).resolve()
LIBRARY = BUILD / "lib/libhakmem.so"
WORKLOADS = {
    "small": ("random_mixed", "--ops", "50000", "--size", "128"),
    "mixed": ("random_mixed", "--ops", "50000"),
    "toggle": ("random_mixed", "--ops", "50000", "--mode", "toggle"),
    "larson": ("larson", "--ops", "60000", "--threads", "3", "--rounds", "5"),
    "mid": ("mid_large_mt", "--ops", "20000"),
    "remote": ("producer_consumer", "--ops", "30000"),
    "batch": ("batch", "--ops", "30", "--size", "4000"),
    "churn": ("churn", "--ops", "1", "--ws", "5000"),
    "threads": ("thread_churn", "--ops", "50", "--threads", "2"),
    "large": ("random_mixed", "--ops", "2000", "--size", "20000:3000000", "--ws", "50", "--warmup", "0"),
}
SETTINGS = (
    {},
    {"HAKMEM_CLASSIFY": "header"},
    {"HAKMEM_CLASSIFY": "registry"},
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
# Slabs that are emptied and wanted again all the time.
EMPTYING = ("batch", "--ops", "50", "--warmup", "1", "--ws", "20000", "--size", "500:1000")
DRAINS = {"HAKMEM_TINY_SLL_DRAIN_INTERVAL": "5", "HAKMEM_TINY_FAST_CAP": "1"}


def run(command: tuple[str, ...], *, direct: bool = False, **settings: str) -> tuple[dict, dict, str]:
    """Benchmark's line, counters, stderr."""
    with tempfile.TemporaryDirectory() as folder:
        stats = Path(folder, "stats.json")
        environment = {**os.environ, "HAKMEM_STATS_FILE": str(stats), **settings}
        if not direct:
            environment["LD_PRELOAD"] = str(LIBRARY)
        arguments = [str(BUILD / "bin" / (command[0] + ("_hakmem" if direct else ""))), *command[1:]]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), json.loads(stats.read_text()), done.stderr


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

    def test_each_way_to_classify_takes_all_tiny_frees(self) -> None:
        ways = {"map": "map_fast", "header": "header_fast", "registry": "ss_hit"}
        for setting, route in ways.items():
            told, counted, _ = run(WORKLOADS["small"], HAKMEM_CLASSIFY=setting)
            self.assertEqual(counted["free_routes"][route], told["total_free_calls"], setting)
            others = [value for key, value in counted["free_routes"].items() if key != route]
            self.assertEqual(sum(others), 0, counted["free_routes"])

    def test_without_the_flat_map_the_registry_answers(self) -> None:
        told, counted, _ = run(WORKLOADS["small"], HAKMEM_FLAT_MAP="0")
        self.assertEqual(counted["free_routes"]["ss_hit"], told["total_free_calls"])

    def test_strict_overcommit_leaves_the_flat_map_out(self) -> None:
        """A mount namespace of its own shows the process another /proc/sys/vm/overcommit_memory."""
        with tempfile.TemporaryDirectory() as folder:
            mode, stats = Path(folder, "mode"), Path(folder, "stats.json")
            setting = f"LD_PRELOAD={LIBRARY} HAKMEM_STATS_FILE={stats}"
            command = f"{BUILD}/bin/random_mixed --ops 5000 --size 128"
            script = f"mount --bind {mode} /proc/sys/vm/overcommit_memory || exit 77; {setting} {command}"
            for told, route in (("2", "ss_hit"), ("0", "map_fast")):
                mode.write_text(told + "\n")
                done = subprocess.run(
                    ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False
                )
                if done.returncode in (1, 77):
                    self.skipTest("no mount namespace here")
                self.assertEqual(done.returncode, 0, done.stderr)
                routes = json.loads(stats.read_text())["free_routes"]
                self.assertEqual(routes[route], json.loads(done.stdout)["total_free_calls"])

    def test_mincore_once_for_each_free_always_rarely_hybrid_never_none(self) -> None:
        calls = {}
        for word in ("always", "hybrid", "none"):
            told, counted, _ = run(WORKLOADS["small"], HAKMEM_CLASSIFY="header", HAKMEM_MINCORE=word)
            calls[word] = counted["os"]["mincore"] / told["total_free_calls"]
        self.assertEqual((calls["always"], calls["none"]), (1.0, 0.0))
        self.assertLess(calls["hybrid"], 0.1)

    @unittest.skipUnless(shutil.which("strace"), "strace is not installed")
    def test_strace_sees_the_mincore_calls(self) -> None:
        command = [str(BUILD / "bin/random_mixed"), "--ops", "500", "--warmup", "0", "--ws", "100", "--size", "128"]
        setting = ["-E", f"LD_PRELOAD={LIBRARY}", "-E", "HAKMEM_CLASSIFY=header", "-E", "HAKMEM_MINCORE=always"]
        done = subprocess.run(
            ["strace", "-f", "-e", "trace=mincore", *setting, *command], capture_output=True, text=True, check=False
        )
        if "ptrace" in done.stderr and done.returncode != 0:
            self.skipTest("ptrace is not permitted")
        self.assertGreaterEqual(done.stderr.count("mincore("), 600)

    def test_libc_forced_moves_no_counter(self) -> None:
        told, counted, _ = run(WORKLOADS["mixed"], HAKMEM_FORCE_LIBC_ALLOC="1")
        self.assertEqual(told["malloc_object"], str(LIBRARY))
        for group in ("calls", "alloc_routes", "free_routes", "stages", "superslabs", "front", "fallback"):
            self.assertEqual(set(counted[group].values()), {0}, group)

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

    def test_refill_count_and_fast_cap_do_what_they_say(self) -> None:
        _, few, _ = run(WORKLOADS["small"], HAKMEM_TINY_REFILL_COUNT_HOT="4")
        _, many, _ = run(WORKLOADS["small"], HAKMEM_TINY_REFILL_COUNT_HOT="128")
        self.assertAlmostEqual(few["front"]["refill_blocks"] / few["front"]["refills"], 4, delta=0.1)
        self.assertGreater(many["front"]["refill_blocks"] / many["front"]["refills"], 60)
        churn = ("random_mixed", "--ops", "50000", "--mode", "toggle")
        _, quiet, _ = run(churn)
        _, drained, _ = run(churn, HAKMEM_TINY_SLL_DRAIN_INTERVAL="1", HAKMEM_TINY_FAST_CAP="1")
        self.assertGreater(drained["front"]["drain_blocks"], quiet["front"]["drain_blocks"])

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

    def test_stages_can_be_switched_off(self) -> None:
        _, counted, _ = run(EMPTYING, HAKMEM_POOL_STAGE1="0", **DRAINS)
        self.assertEqual(counted["stages"]["stage1"], 0)
        self.assertGreater(counted["stages"]["stage2"], 0)
        command = ("random_mixed", "--ops", "20000", "--ws", "500")
        _, shared, _ = run(command)
        _, alone, _ = run(command, HAKMEM_POOL_STAGE2="0")
        self.assertLessEqual(shared["superslabs"]["created"], 2)
        # 16–1040 bytes are 66 classes, and none shares a SuperSlab with another.
        self.assertGreaterEqual(alone["superslabs"]["created"], 65)

    def test_stage_1_without_the_lock(self) -> None:
        _, locked, _ = run(EMPTYING, **DRAINS)
        _, free, _ = run(EMPTYING, HAKMEM_POOL_STAGE1_LOCKFREE="1", **DRAINS)
        self.assertGreater(free["variants"]["stage1_lockfree"], 0)
        self.assertLessEqual(free["variants"]["stage1_lockfree"], free["stages"]["stage1"])
        self.assertEqual(sum(free["stages"].values()), free["slabs"]["acquired"])
        per_slab = [
            told["locks"]["shared_pool"]["acquired"] / (told["slabs"]["acquired"] + told["slabs"]["released"])
            for told in (locked, free)
        ]
        self.assertLess(per_slab[1], per_slab[0] / 2)
        self.assertEqual(free["variants"]["nodes_exhausted"], 0)

    def test_a_fixed_node_pool_runs_out_without_harm(self) -> None:
        settings = {"HAKMEM_POOL_STAGE1_LOCKFREE": "1", "HAKMEM_RETAIN_MB": "64", **DRAINS}
        _, fixed, _ = run(EMPTYING, HAKMEM_POOL_NODES="3", **settings)
        self.assertEqual(fixed["variants"]["nodes_made"], 3)
        self.assertGreater(fixed["variants"]["nodes_exhausted"], 0)
        _, grown, _ = run(EMPTYING, **settings)
        self.assertGreater(grown["variants"]["nodes_made"], 3)
        self.assertEqual(grown["variants"]["nodes_exhausted"], 0)

    def test_half_a_million_iterations_with_either_node_pool(self) -> None:
        command = ("random_mixed", "--ops", "500000", "--size", "256:1024", "--mode", "toggle", "--threads", "2")
        for nodes in ("0", "1", "512"):
            told, counted, errors = run(
                command, HAKMEM_POOL_STAGE1_LOCKFREE="1", HAKMEM_POOL_NODES=nodes, HAKMEM_RETAIN_MB="64", **DRAINS
            )
            self.assertEqual((counted["calls"]["malloc"], errors), (told["total_malloc_calls"], ""))

    def test_stacks_without_lock_give_memory_back_after_the_decay(self) -> None:
        code = (
            "import ctypes, time\n"
            "libc = ctypes.CDLL(None)\n"
            "libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]\n"
            "for size in (900, 1000, 700, 900, 1000, 700):\n"
            "    blocks = [libc.malloc(size) for _ in range(4000)]\n"
            "    for block in blocks: libc.free(block)\n"
            "    time.sleep(0.03)"
        )
        told = {}
        for decay in ("5", "3600000"):
            with tempfile.TemporaryDirectory() as folder:
                settings = {"HAKMEM_POOL_STAGE1_LOCKFREE": "1", "HAKMEM_RETAIN_MB": "256", "HAKMEM_DECAY_MS": decay}
                stats = {"LD_PRELOAD": str(LIBRARY), "HAKMEM_STATS_FILE": str(Path(folder, "stats.json"))}
                environment = {**os.environ, **stats, **settings, **DRAINS}
                subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
                told[decay] = json.loads(Path(folder, "stats.json").read_text())
        self.assertGreater(told["5"]["variants"]["nodes_made"], 0)
        self.assertEqual(told["3600000"]["os"]["madvise"], 0)
        self.assertGreater(told["5"]["os"]["madvise"], 0)

    def test_prewarm_takes_the_page_faults_before_the_region(self) -> None:
        command = (
            "random_mixed",
            "--ops",
            "20000",
            "--warmup",
            "0",
            "--size",
            "900",
            "--ws",
            "8000",
            "--mode",
            "toggle",
        )
        cold, _, _ = run(command)
        warm, counted, _ = run(command, HAKMEM_PREWARM_MB="16")
        self.assertEqual(counted["variants"]["superslabs_prewarmed"], 4)
        self.assertEqual(counted["superslabs"]["created"], 4 + counted["stages"]["stage3"])
        self.assertEqual(counted["stages"]["stage3"], 0)
        self.assertLess(warm["minor_faults"], cold["minor_faults"] / 10)
        self.assertGreater(warm["vm_hwm_bytes"], cold["vm_hwm_bytes"])

    def test_huge_pages_are_asked_for_only_when_told_so(self) -> None:
        if not Path("/sys/kernel/mm/transparent_hugepage").exists():
            self.skipTest("the kernel has no transparent huge pages")
        code = "print(sum(line.startswith('VmFlags') and ' hg' in line for line in open('/proc/self/smaps')))"
        marked = {}
        for setting in ("0", "1"):
            environment = {**os.environ, "LD_PRELOAD": str(LIBRARY), "HAKMEM_THP": setting}
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            marked[setting] = int(done.stdout)
        self.assertEqual(marked["0"], 0)
        self.assertGreater(marked["1"], 0)

    def test_simple_c23_front_refills_as_many_as_told(self) -> None:
        for size in (128, 256):
            for refill in ("16", "32", "128"):
                command = ("random_mixed", "--ops", "1000", "--warmup", "0", "--ws", "6400", "--size", str(size))
                settings = {"HAKMEM_TINY_FRONT_C23_SIMPLE": "1", "HAKMEM_TINY_FRONT_C23_REFILL": refill}
                _, counted, _ = run(command, **settings)
                front = counted["front"]
                self.assertAlmostEqual(front["refill_blocks"] / front["refills"], int(refill), delta=int(refill) / 5)
                self.assertGreater(counted["variants"]["c23_refills"], 0)
        _, other, _ = run(("random_mixed", "--ops", "1000", "--size", "512"), HAKMEM_TINY_FRONT_C23_SIMPLE="1")
        _, usual, _ = run(("random_mixed", "--ops", "1000", "--size", "512"))
        self.assertEqual(other["front"], usual["front"])
        # Outside 16–128 the default holds.
        _, outside, _ = run(command, HAKMEM_TINY_FRONT_C23_SIMPLE="1", HAKMEM_TINY_FRONT_C23_REFILL="129")
        self.assertAlmostEqual(outside["front"]["refill_blocks"] / outside["front"]["refills"], 64, delta=13)

    def test_small_mid_layer_has_superslabs_and_batches_of_its_own(self) -> None:
        for size, batch in ((256, 16), (512, 8), (1024, 8)):
            command = ("random_mixed", "--ops", "1000", "--warmup", "0", "--ws", "4000", "--size", str(size))
            _, counted, _ = run(command, HAKMEM_SMALLMID_ENABLE="1")
            self.assertGreaterEqual(counted["variants"]["smallmid_superslabs"], 1)
            front = counted["front"]
            self.assertAlmostEqual(front["refill_blocks"] / front["refills"], batch, delta=1)
        _, apart, _ = run(WORKLOADS["mixed"], HAKMEM_SMALLMID_ENABLE="1")
        _, together, _ = run(WORKLOADS["mixed"])
        self.assertGreater(apart["superslabs"]["created"], together["superslabs"]["created"])
        _, tiny, _ = run(WORKLOADS["small"], HAKMEM_SMALLMID_ENABLE="1")
        self.assertEqual(tiny["variants"]["smallmid_superslabs"], 0)

    def test_nothing_is_retained_when_told_so(self) -> None:
        _, kept, _ = run(WORKLOADS["mid"])
        _, dropped, _ = run(WORKLOADS["mid"], HAKMEM_RETAIN_MB="0")
        self.assertGreater(
            dropped["os"]["madvise"] + dropped["os"]["munmap"], kept["os"]["madvise"] + kept["os"]["munmap"]
        )

    def test_large_mappings_are_reused(self) -> None:
        command = ("random_mixed", "--ops", "1000", "--size", "2000000:2400000", "--ws", "4", "--warmup", "0")
        _, kept, _ = run(command)
        _, dropped, _ = run(command, HAKMEM_RETAIN_MB="0")
        self.assertLess(kept["os"]["mmap"], 100)
        self.assertGreater(dropped["os"]["mmap"], 1000)

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
