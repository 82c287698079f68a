#!/usr/bin/env python3
"""Each environment variable does what README.md says: by counters, system calls, addresses and the kernel's own figures.

python3 test/test_mechanisms.py INSTRUMENTED-BUILD-FOLDER"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from running import BUILD, DRAINS, EMPTYING, LIBRARY, WORKLOADS, run, run_python


def moved(counted: dict, prefix: str = "") -> set[str]:
    """Names of the numbers that are not 0."""
    names: set[str] = set()
    for key, value in counted.items():
        if isinstance(value, dict):
            names |= moved(value, f"{prefix}{key}.")
        elif value != 0 and not isinstance(value, str):
            names.add(prefix + key)
    return names


class Mechanisms(unittest.TestCase):
    def test_values_that_mean_nothing_are_said_and_leave_the_default(self) -> None:
        given = {"HAKMEM_CLASSIFY": "fast", "HAKMEM_RETAIN_MB": "65537", "HAKMEM_THP": "x", "HAKMEM_PREWARM_MB": ""}
        told, counted, errors = run(WORKLOADS["small"], **given)
        self.assertEqual(
            set(errors.splitlines()),
            {
                "[hakmem] HAKMEM_CLASSIFY=fast is none of map|header|registry|dual: the default stays",
                "[hakmem] HAKMEM_RETAIN_MB=65537 is none of 0 to 65536: the default stays",
                "[hakmem] HAKMEM_THP=x is none of 0 to 2: the default stays",
            },
        )
        self.assertEqual(counted["free_routes"]["map_fast"], told["total_free_calls"])

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
        """Not one number of the file, whatever function is called and whatever else is switched on."""
        told, counted, _ = run(WORKLOADS["mixed"], HAKMEM_FORCE_LIBC_ALLOC="1", HAKMEM_SIZE_HIST="1")
        self.assertEqual(told["malloc_object"], str(LIBRARY))
        self.assertEqual(moved(counted), {"schema", "pid"})
        family = (
            "libc.calloc.restype = libc.realloc.restype = libc.aligned_alloc.restype = ctypes.c_void_p\n"
            "size = ctypes.c_size_t\n"
            "one, two = libc.calloc(size(3), size(40000)), libc.aligned_alloc(size(4096), size(5000))\n"
            "one = libc.realloc(ctypes.c_void_p(one), size(3 << 20))\n"
            "three = libc.malloc(1 << 62), libc.free(None), libc.malloc_trim(size(0))\n"
            "print(one is not None, two % 4096, three[0], libc.malloc_usable_size(ctypes.c_void_p(one)) >= 3 << 20)\n"
            "libc.free(one), libc.free(two)"
        )
        output, counted, errors = run_python(family, HAKMEM_FORCE_LIBC_ALLOC="1", HAKMEM_PREWARM_MB="4")
        self.assertEqual((output, errors), ("True 0 None True\n", ""))
        self.assertEqual(moved(counted), {"schema", "pid"})

    def test_two_kinds_of_headers_take_the_historical_steps(self) -> None:
        """Each kind of block has its step; where the header is missing or lies, the next step answers."""
        code = (
            "size = ctypes.c_size_t\n"
            "libc.aligned_alloc.restype = libc.realloc.restype = ctypes.c_void_p\n"
            "free = libc.free\n"
            "foreign = ctypes.addressof(ctypes.create_string_buffer(4096)) + 1024\n"
            "blocks = {\n"
            "    'tiny': libc.malloc(100), 'libc': libc.malloc(1024), 'mapping': libc.malloc(3 << 20),\n"
            "    'aligned': libc.aligned_alloc(size(256), size(200)), 'mid': libc.malloc(9000), 'span': libc.malloc(70000),\n"
            "    'moved': libc.realloc(ctypes.c_void_p(libc.malloc(2 << 20)), size(9 << 20)),\n"
            "    'page': libc.aligned_alloc(size(65536), size(65536)), 'overwritten': libc.malloc(100),\n"
            "}\n"
            "ctypes.memset(blocks['overwritten'] - 1, 0, 1)\n"
            "for name, block in blocks.items(): print(name, hex(block)), free(block)\n"
            "for name in ('mapping', 'libc'): free(blocks[name])\n"
        )
        settings = {"HAKMEM_CLASSIFY": "dual", "HAKMEM_FREE_ROUTE_TRACE": "1000000", "HAKMEM_TINY_FAST_CAP": "1"}
        output, counted, errors = run_python(code, **settings)
        routes: dict[str, list[str]] = {}
        for route, place in re.findall(r"FREE_ROUTE\] (\w+) ptr=(\w+)", errors):
            routes.setdefault(place, []).append(route)
        last = {name: routes[place] for name, place in (line.split() for line in output.splitlines())}
        self.assertEqual(
            [last["mapping"][-2:], last["libc"][-2:]], [["alloc_header", "foreign"], ["alloc_header_libc", "foreign"]]
        )
        step = {name: found[-1] for name, found in last.items() if name not in ("mapping", "libc")}
        self.assertEqual(
            step,
            {"tiny": "header_fast", "aligned": "ss_hit", "mid": "mid", "span": "large", "moved": "alloc_header",
             "page": "alloc_header", "overwritten": "ss_hit"},
        )  # fmt: skip
        self.assertEqual(counted["free_routes"]["foreign"], 2)
        self.assertEqual(errors.count("[hakmem] free of a pointer that was not allocated here"), 2)

    def test_two_kinds_of_headers_serve_whole_workloads(self) -> None:
        for size, alloc, route in ((128, "front_hit", "header_fast"), (1024, "libc", "alloc_header")):
            command = ("random_mixed", "--ops", "20000", "--size", str(size))
            told, counted, _ = run(command, HAKMEM_CLASSIFY="dual", HAKMEM_MINCORE="always")
            calls = told["total_malloc_calls"]
            self.assertEqual(counted["free_routes"][route], calls)
            self.assertGreater(counted["alloc_routes"][alloc], 0.9 * calls)
            self.assertEqual(counted["os"]["mincore"], told["total_free_calls"])
            self.assertEqual(counted["fallback"]["libc_free"], calls if size == 1024 else 0)

    def test_refill_count_is_the_size_of_a_batch(self) -> None:
        _, few, _ = run(WORKLOADS["small"], HAKMEM_TINY_REFILL_COUNT_HOT="4")
        _, many, _ = run(WORKLOADS["small"], HAKMEM_TINY_REFILL_COUNT_HOT="128")
        self.assertAlmostEqual(few["front"]["refill_blocks"] / few["front"]["refills"], 4, delta=0.1)
        self.assertGreater(many["front"]["refill_blocks"] / many["front"]["refills"], 60)

    def test_a_bin_keeps_as_many_blocks_as_its_cap_when_it_is_drained(self) -> None:
        """1,000 blocks of 496 bytes are freed; the next refill of another class drains the bin."""
        command = (
            "blocks = [libc.malloc(490) for _ in range(1000)]\n"
            "for block in blocks: libc.free(block)\n"
            "for size in range(40000, 20000, -2000): libc.malloc(size - 10000)\n"
        )
        kept = {}
        for cap in ("1", "100", "900"):
            _, counted, _ = run_python(command, HAKMEM_TINY_FAST_CAP=cap, HAKMEM_TINY_SLL_DRAIN_INTERVAL="1")
            kept[cap] = counted["front"]["drain_blocks"]
        self.assertGreater(kept["1"] - kept["100"], 95)
        self.assertGreater(kept["100"] - kept["900"], 750)

    def test_bins_are_drained_once_in_as_many_refills_as_told(self) -> None:
        command = ("random_mixed", "--ops", "50000", "--mode", "toggle")
        drains = {}
        for interval in ("0", "1", "10", "100"):
            _, counted, _ = run(command, HAKMEM_TINY_SLL_DRAIN_INTERVAL=interval, HAKMEM_TINY_FAST_CAP="1")
            drains[interval] = counted["front"]["drains"]
        # In one drain of all bins more of them have something to give the longer ago the last one was.
        self.assertGreater(drains["1"], 1.2 * drains["10"])
        self.assertGreater(drains["10"], 2 * drains["100"])
        self.assertGreater(drains["100"], 2 * drains["0"])

    def test_what_a_class_no_longer_asks_for_goes_back_after_the_decay(self) -> None:
        """10 MB of one class are freed; the refills of another that follow are too few to make the heap grow by much."""
        code = (
            "import time\n"
            "blocks = [libc.malloc(1000) for _ in range(10000)]\n"
            "for block in blocks: libc.free(block)\n"
            "time.sleep(0.05)\n"
            "for _ in range(256): libc.malloc(4000)"
        )
        released = {
            decay: run_python(code, HAKMEM_DECAY_MS=decay)[1]["slabs"]["released"] for decay in ("10", "3600000")
        }
        self.assertGreater(released["10"], released["3600000"] + 120)

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

    def test_half_a_million_iterations_and_far_beyond_with_either_node_pool(self) -> None:
        settings = {"HAKMEM_POOL_STAGE1_LOCKFREE": "1", "HAKMEM_RETAIN_MB": "64", **DRAINS}
        for steps, nodes in (("500000", "0"), ("500000", "1"), ("500000", "512"), ("10000000", "0"), ("10000000", "1")):
            command = ("random_mixed", "--ops", steps, "--size", "256:1024", "--mode", "toggle", "--threads", "2")
            told, counted, errors = run(command, HAKMEM_POOL_NODES=nodes, **settings)
            self.assertEqual((counted["calls"]["malloc"], errors), (told["total_malloc_calls"], ""))

    def test_stacks_without_lock_give_memory_back_after_the_decay(self) -> None:
        code = (
            "import time\n"
            "for size in (900, 1000, 700, 900, 1000, 700):\n"
            "    blocks = [libc.malloc(size) for _ in range(4000)]\n"
            "    for block in blocks: libc.free(block)\n"
            "    time.sleep(0.03)"
        )
        settings = {"HAKMEM_POOL_STAGE1_LOCKFREE": "1", "HAKMEM_RETAIN_MB": "256", **DRAINS}
        told = {decay: run_python(code, HAKMEM_DECAY_MS=decay, **settings)[1] for decay in ("5", "3600000")}
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

    def test_huge_pages_are_asked_for_at_creation_or_once_most_is_used(self) -> None:
        """What the kernel gives is seen in test_pool.c."""
        little, much = WORKLOADS["small"], ("batch", "--ops", "2", "--ws", "3000", "--size", "8000")
        for setting, workload, least, most in (
            ("0", much, 0, 0),
            ("1", little, 0, 0),
            ("1", much, 5, 7),
            ("2", little, 1, 1),
            ("2", much, 6, 7),
        ):
            _, counted, _ = run(workload, HAKMEM_THP=setting)
            advised = counted["variants"]["huge_advised"]
            self.assertTrue(least <= advised <= most, (setting, workload, advised))
            if setting == "2":
                self.assertEqual(advised, counted["page_arena"]["reserved"])

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

    def test_a_thread_takes_over_the_slabs_of_one_that_ended(self) -> None:
        slabs = {}
        for retained, threads in (("16", 20), ("16", 200), ("0", 200)):
            command = ("thread_churn", "--ops", str(threads), "--warmup", "0")
            slabs[retained, threads] = run(command, HAKMEM_RETAIN_MB=retained)[1]["slabs"]["acquired"]
        self.assertEqual(slabs["16", 200], slabs["16", 20])
        # 16–1040 bytes are 66 classes, and each thread has blocks of most of them.
        self.assertGreater(slabs["0", 200], 100 * slabs["16", 200] / 2)

    def test_what_ended_threads_leave_goes_back_after_the_decay(self) -> None:
        """Four threads at a time leave a slab for each of 60 classes; refills of another class follow."""
        code = (
            "import threading, time\n"
            "together = threading.Barrier(4)\n"
            "def work():\n"
            "    together.wait()\n"
            "    for block in [libc.malloc(16 * n) for n in range(1, 61)]: libc.free(block)\n"
            "    together.wait()\n"
            "threads = [threading.Thread(target=work) for _ in range(4)]\n"
            "for thread in threads: thread.start()\n"
            "for thread in threads: thread.join()\n"
            "time.sleep(0.1)\n"
            "for _ in range(256): libc.malloc(4000)"
        )
        released = {
            decay: run_python(code, HAKMEM_DECAY_MS=decay)[1]["slabs"]["released"] for decay in ("50", "3600000")
        }
        self.assertGreater(released["50"], released["3600000"] + 120)

    def test_large_mappings_are_reused(self) -> None:
        command = ("random_mixed", "--ops", "1000", "--size", "2000000:2400000", "--ws", "4", "--warmup", "0")
        _, kept, _ = run(command)
        _, dropped, _ = run(command, HAKMEM_RETAIN_MB="0")
        self.assertLess(kept["os"]["mmap"], 100)
        self.assertGreater(dropped["os"]["mmap"], 1000)

    def test_the_page_arena_counts_every_piece(self) -> None:
        command = ("batch", "--ops", "5", "--warmup", "0", "--ws", "40", "--size", "900000")
        _, counted, _ = run(command, HAKMEM_RETAIN_MB="0")
        arena, superslabs = counted["page_arena"], counted["superslabs"]
        self.assertEqual(arena["reserved"] + arena["reused"], superslabs["created"])
        self.assertEqual(arena["kept"] + arena["returned"], superslabs["released"])
        self.assertGreater(min(arena.values()), 0)
        # What it keeps for reuse is at most four pieces.
        self.assertLessEqual(arena["kept"] - arena["reused"], 4)
        _, counted, _ = run(WORKLOADS["small"])
        self.assertEqual(counted["page_arena"], {"reserved": 1, "reused": 0, "kept": 0, "returned": 0})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
