#!/usr/bin/env python3
"""The benchmarks' contract: arguments, the one JSON line, modes, perf's control fifo, which malloc was called.

python3 test/test_bench.py BUILD-FOLDER"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

BUILD = Path(sys.argv[1]).resolve()
LIBRARY = BUILD / "lib/libhakmem.so"
KEYS = {
    "schema", "benchmark", "params", "mode", "allocator_mode", "threads", "seed", "ops", "ops_unit", "malloc_calls",
    "free_calls", "total_malloc_calls", "total_free_calls", "measured_ns", "ops_per_second", "startup_ns", "warmup_ns",
    "vm_hwm_bytes", "vm_rss_bytes", "minor_faults", "major_faults", "startup_minor_faults", "malloc_object",
    "malloc_symbol", "build",
}  # fmt: skip
BENCHES = (
    "random_mixed",
    "larson",
    "mid_large_mt",
    "producer_consumer",
    "batch",
    "churn",
    "micro_fastpath",
    "thread_churn",
)
OPERATIONS = {"batch": "20", "churn": "1", "micro_fastpath": "2000", "thread_churn": "30"}
DETAILS = {
    "micro_fastpath": {"unit", "malloc_cycles", "free_cycles", "reading_cycles"},
    "thread_churn": {"threads_made"},
}


def execute(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(BUILD / "bin" / name), *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def result(name: str, *arguments: str, **environment: str) -> dict[str, object]:
    done = execute(name, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and done.stdout.endswith("\n"), done.stdout
    return json.loads(done.stdout)


class Benchmarks(unittest.TestCase):
    def test_one_json_line_with_every_key(self) -> None:
        for name in BENCHES:
            for mode in ("real", "empty", "null"):
                told = result(name, "--ops", OPERATIONS.get(name, "20000"), "--allocator-mode", mode)
                self.assertEqual(set(told.pop("details", ())), DETAILS.get(name, set()))
                self.assertEqual(set(told), KEYS)
                self.assertEqual((told["benchmark"], told["allocator_mode"], told["schema"]), (name, mode, 1))
                each = {
                    "batch": 20 * 1000,
                    "churn": 2 * 20000,
                    "producer_consumer": 10000,
                    "micro_fastpath": 2000 * 64,
                    "thread_churn": 30 * 5 * 200,
                }.get(name, 20000)
                self.assertEqual(told["ops"], each * told["threads"])
                self.assertEqual((told["malloc_calls"] > 0, told["free_calls"] > 0), (True, True))
                self.assertGreater(told["measured_ns"], 0)
                self.assertAlmostEqual(told["ops_per_second"] / (told["ops"] * 1e9 / told["measured_ns"]), 1, places=5)

    def test_micro_fastpath_tells_the_modes_apart(self) -> None:
        real, empty, null = (
            result("micro_fastpath", "20000", "128", "--allocator-mode", mode)["details"]
            for mode in ("real", "empty", "null")
        )
        self.assertLess(empty["malloc_cycles"], null["malloc_cycles"])
        self.assertLess(empty["malloc_cycles"] + empty["free_cycles"], real["malloc_cycles"] + real["free_cycles"])

    def test_micro_mincore_counts_its_system_calls(self) -> None:
        calls = {"mapped": 6400, "alignment": 0, "hybrid": 25, "boundary": 6400}
        told = result("micro_mincore", "6400")
        self.assertEqual(set(told) - {"details"}, KEYS)
        self.assertEqual((told["ops"], told["ops_unit"], told["malloc_calls"]), (4 * 6400, "check", 0))
        cycles = {case: told["details"][f"{case}_cycles"] for case in calls}
        self.assertEqual(told["details"]["system_calls"], sum(calls.values()))
        self.assertLess(cycles["alignment"], cycles["hybrid"])
        self.assertLess(cycles["hybrid"], cycles["boundary"] / 4)
        self.assertLess(cycles["alignment"], cycles["mapped"] / 4)
        for case, expected in calls.items():
            alone = result("micro_mincore", "6400", case)
            self.assertEqual((alone["ops"], alone["details"]["system_calls"]), (6400, expected))
        empty = result("micro_mincore", "6400", "--allocator-mode", "empty")
        self.assertEqual(empty["details"]["system_calls"], 0)

    def test_which_malloc_was_called(self) -> None:
        for name in BENCHES:
            plain = result(name, "--ops", "1")
            self.assertIn("libc", plain["malloc_object"])
            preloaded = result(name, "--ops", "1", LD_PRELOAD=str(LIBRARY))
            self.assertEqual(preloaded["malloc_object"], str(LIBRARY))
            direct = result(name + "_hakmem", "--ops", "1")
            self.assertTrue(direct["malloc_object"].endswith(name + "_hakmem"))
            system = result(name + "_system", "--ops", "1", LD_PRELOAD=str(LIBRARY))
            self.assertIn("libc", system["malloc_object"])
            self.assertEqual(system["malloc_symbol"], "__libc_malloc")

    def test_positional_arguments_of_the_documents(self) -> None:
        size = result("random_mixed", "1000", "256", "7")
        self.assertEqual((size["params"]["size_min"], size["params"]["size_max"]), (256, 256))
        self.assertEqual((size["params"]["working_set"], size["seed"], size["ops"]), (4096, 7, 1000))
        working_set = result("random_mixed", "1000", "8192", "7")
        self.assertEqual(working_set["params"]["working_set"], 8192)
        self.assertEqual((working_set["params"]["size_min"], working_set["params"]["size_max"]), (16, 1040))
        larson = result("larson", "1", "8", "128", "1024", "10", "42", "2")
        self.assertEqual((larson["threads"], larson["params"]["rounds"], larson["params"]["seconds"]), (2, 10, 1))
        mid = result("mid_large_mt", "1", "5000", "512", "3")
        self.assertEqual((mid["threads"], mid["ops"], mid["params"]["working_set"]), (1, 5000, 512))

    def test_usage_errors_are_one_sentence_and_status_2(self) -> None:
        cases = {
            ("larson", "1", "5", "1", "1000", "100", "10000", "42"): "largest size (1) is below the smallest (5)",
            ("larson", "1", "8", "128", "1000", "100", "42", "0"): "THREADS must be between",
            ("larson", "x"): "SECONDS must be a whole number, got: 'x'",
            ("larson", "--size", "8:1000000000", "--ws", "100000000"): "above 64 GB",
            ("random_mixed", "--size", "0"): "--size must be between",
            ("random_mixed", "--mode", "fast"): "does not know 'fast'",
            ("random_mixed", "1", "2", "3", "4"): "at most three arguments",
            ("random_mixed", "--rounds", "5"): "random_mixed knows no --rounds",
            ("larson", "--ops", "1000", "--seconds", "1"): "after --ops or after --seconds, not both",
            ("larson", "--seconds", "1", "--ops", "1000"): "after --ops or after --seconds, not both",
            ("larson", "--ops", "1000", "1"): "after --ops or after SECONDS, not both",
            ("mid_large_mt", "-1"): "invalid option",
            ("micro_mincore", "6400", "sometimes"): "CASE does not know 'sometimes'",
            ("micro_mincore", "100"): "must be a multiple of 64",
            ("micro_mincore", "--allocator-mode", "null"): "allocator mode real or empty",
        }
        for command, message in cases.items():
            done = execute(*command)
            self.assertEqual(done.returncode, 2, command)
            self.assertIn(message, done.stderr)
            self.assertEqual((done.stdout, done.stderr.count("\n")), ("", 1), command)

    def test_options_that_do_nothing_are_refused(self) -> None:
        given = {"--seconds": "1", "--size": "64", "--ws": "9", "--seed": "1", "--threads": "2", "--rounds": "3"}
        given |= {"--warmup": "7", "--mode": "replace"}
        refused = {
            "batch": {"--seconds", "--rounds", "--mode"},
            "churn": {"--seconds", "--rounds", "--mode", "--threads"},
            "larson": {"--warmup", "--mode"},
            "micro_fastpath": {"--seconds", "--rounds", "--mode", "--threads"},
            "micro_mincore": set(given) - {"--seed"},
            "mid_large_mt": {"--seconds", "--rounds"},
            "producer_consumer": {"--seconds", "--rounds", "--mode"},
            "random_mixed": {"--seconds", "--rounds"},
            "thread_churn": {"--seconds", "--mode"},
        }
        self.assertEqual(set(refused), {*BENCHES, "micro_mincore"})
        for name, options in refused.items():
            usage = execute(name, "--help").stdout
            self.assertEqual({option for option in given if f"{option} " not in usage}, options, name)
            for option in options:
                done = execute(name, option, given[option])
                self.assertEqual((done.returncode, done.stdout), (2, ""), (name, option))
                self.assertEqual(done.stderr, f"{name}: {name} knows no {option}; see --help\n")

    def test_same_seed_same_calls(self) -> None:
        arguments = ("--ops", "30000", "--mode", "toggle", "--seed", "5")
        first, second = result("random_mixed", *arguments), result("random_mixed", *arguments)
        self.assertEqual(first["malloc_calls"], second["malloc_calls"])
        self.assertEqual(first["malloc_calls"] + first["free_calls"], 30000)
        other = result("random_mixed", *arguments[:-1], "6")
        self.assertNotEqual(first["malloc_calls"], other["malloc_calls"])

    def test_control_fifo_brackets_the_region(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            control, acknowledge = Path(folder, "ctl"), Path(folder, "ack")
            os.mkfifo(control)
            os.mkfifo(acknowledge)
            heard: list[str] = []

            def perf() -> None:
                with control.open() as commands, acknowledge.open("wb", buffering=0) as answers:
                    for line in commands:
                        heard.append(line)
                        answers.write(b"ack\n\0")

            listener = threading.Thread(target=perf, daemon=True)
            listener.start()
            told = result(
                "random_mixed", "--ops", "1000", HAKPROF_CTL_FIFO=str(control), HAKPROF_ACK_FIFO=str(acknowledge)
            )
            listener.join(10)
            self.assertEqual(heard, ["enable\n", "disable\n"])
            self.assertEqual(told["ops"], 1000)

    def test_a_missing_fifo_is_an_error(self) -> None:
        done = execute(
            "random_mixed", "--ops", "10", HAKPROF_CTL_FIFO="/nonexistent/ctl", HAKPROF_ACK_FIFO="/nonexistent/ack"
        )
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("/nonexistent/ctl", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
