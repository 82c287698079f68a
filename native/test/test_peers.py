#!/usr/bin/env python3
"""The table of peers: its arithmetic, its verdicts, what it keeps, one real row, and the instructions of a pair.

python3 test/test_peers.py NATIVE-FOLDER BUILD-FOLDER"""

import csv
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT, BUILD = (Path(argument).resolve() for argument in sys.argv[1:3])
PROGRAM = ROOT / "bench/peers"
sys.path.insert(0, str(PROGRAM))

import instructions  # noqa: E402
import keeping  # noqa: E402
import tables  # noqa: E402
from allocators import contenders  # noqa: E402
from figures import at_least, at_most, fastest_peer, judge, leanest_peer, ratio, speed  # noqa: E402
from measure import Failure, Rounds, Run  # noqa: E402
from workloads import INSTRUCTIONS_LIMIT, WORKLOADS, Workload  # noqa: E402

MEGABYTE = 1 << 20
WORKLOAD = Workload("made", 1.2, ("random_mixed",))
FACTS = {"machine": "one", "build": "this", "peers": "those", "absent": ""}


def runs(*speeds: float, peak: float = 10.0) -> list[Run | Failure]:
    return [Run(value, int(peak * MEGABYTE)) for value in speeds]


def made(**others: list[Run | Failure]) -> Rounds:
    return {"hakmem": runs(120, 126, 132), "system": runs(50, 60, 70), **others}


class Arithmetic(unittest.TestCase):
    def test_a_ratio_is_of_medians_with_the_range_of_the_rounds(self) -> None:
        got = ratio(made(), "hakmem", "system", speed)
        assert got is not None
        self.assertAlmostEqual(got.value, 126 / 60)
        self.assertAlmostEqual(got.least, 132 / 70)
        self.assertAlmostEqual(got.most, 120 / 50)

    def test_no_ratio_where_a_side_failed_or_is_absent(self) -> None:
        rounds = made(mimalloc=[*runs(1, 2), Failure("status 1")])
        self.assertIsNone(ratio(rounds, "hakmem", "mimalloc", speed))
        self.assertIsNone(ratio(rounds, "hakmem", "tcmalloc", speed))

    def test_the_fastest_peer_is_no_ceiling_and_no_failure(self) -> None:
        rounds = made(null=runs(900, 900, 900), mimalloc=runs(80, 90, 100), jemalloc=[Failure("x"), *runs(500, 500)])
        self.assertEqual(fastest_peer(rounds), "mimalloc")
        self.assertEqual(fastest_peer({"hakmem": runs(1), "linked in": runs(2)}), None)

    def test_the_leanest_is_of_mimalloc_and_tcmalloc_alone(self) -> None:
        rounds = made(mimalloc=runs(1, 1, 1, peak=9), tcmalloc=runs(1, 1, 1, peak=7), jemalloc=runs(1, 1, 1, peak=2))
        self.assertEqual(leanest_peer(rounds), "tcmalloc")

    def test_rounding_is_against_hakmem(self) -> None:
        self.assertEqual([at_least(value) for value in (1.1999, 1.2, 1.15, 0.999)], ["1.19", "1.20", "1.15", "0.99"])
        self.assertEqual([at_most(value) for value in (1.1001, 1.1, 0.92)], ["1.11", "1.10", "0.92"])


class Verdicts(unittest.TestCase):
    def test_everything_reached(self) -> None:
        row = judge(WORKLOAD, made(tcmalloc=runs(100, 105, 110, peak=9.5), **{"linked in": runs(130, 130, 130)}))
        self.assertEqual(row.missed(), [])
        self.assertIn("Everything that was asked is reached on all 1 workloads.", tables.missed([row], {"hakmem": 60}))

    def test_each_target_is_missed_by_name(self) -> None:
        rounds = {
            "hakmem": runs(119, 119, 119, peak=11.1),
            "system": runs(100, 100, 100),
            "mimalloc": runs(90, 90, 90, peak=10),
            "linked in": runs(118, 118, 118),
            "instrumented": runs(100, 100, 100),
        }
        self.assertEqual(
            judge(WORKLOAD, rounds).missed(),
            [
                "1.19 to system (≥ 1.2)",
                "0.99 linked in to preloaded (≥ 1.0)",
                "0.84 instrumented to release (≥ 0.85)",
                "memory 1.11 to mimalloc (≤ 1.1)",
            ],
        )

    def test_a_peer_that_is_too_fast_is_named(self) -> None:
        row = judge(WORKLOAD, made(tcmalloc=runs(120, 120, 120)))
        self.assertEqual(row.missed(), ["1.05 to tcmalloc (≥ 1.2)"])

    def test_a_failure_of_hakmem_is_a_miss_and_told(self) -> None:
        row = judge(WORKLOAD, {"hakmem": [Failure("status 1: broken")], "system": runs(1)})
        self.assertEqual(row.missed(), ["hakmem failed"])
        self.assertEqual(tables.failures([row]), ["hakmem failed on made: status 1: broken"])
        self.assertIn("not measured", tables.speed_table([row]))

    def test_too_many_instructions_are_a_miss(self) -> None:
        row = judge(WORKLOAD, made())
        self.assertIn("instructions of a pair: 60.5 (≤ 60)", tables.missed([row], {"hakmem": 60.5}))

    def test_every_workload_of_the_table_runs_a_benchmark_that_exists(self) -> None:
        self.assertEqual(len({workload.name for workload in WORKLOADS}), len(WORKLOADS))
        for workload in WORKLOADS:
            self.assertTrue((ROOT / "bench" / f"{workload.command[0]}.c").exists(), workload)


class Keeping(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.kept, self.csv = Path(folder.name, "kept.json"), Path(folder.name, "kept.csv")

    def program(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PROGRAM), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def test_what_is_kept_comes_back(self) -> None:
        measured = keeping.Measured(
            {"128 B": made(mimalloc=[Failure("no")])}, {"hakmem": 56.0, "null": None}, FACTS, 0.5
        )
        keeping.write(self.kept, measured)
        self.assertEqual(keeping.read(self.kept), measured)

    def test_show_prints_what_is_kept_and_csv_has_every_run(self) -> None:
        keeping.write(self.kept, keeping.Measured({"128 B": made(mimalloc=[Failure("no")])}, {}, FACTS, 0.5))
        done = self.program("--show", "--keep", self.kept, "--csv", self.csv)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("| 2.10 (1.88–2.40) system | 1.20 met |", done.stdout)
        rows = list(csv.DictReader(self.csv.read_text().splitlines()))
        self.assertEqual(len(rows), 7)
        self.assertEqual(rows[-1]["failure"], "no")

    def test_usage_errors(self) -> None:
        self.kept.write_text("{}")
        for arguments, message in (
            ((), "--build FOLDER is needed"),
            (("--show",), "--show needs --keep"),
            (("--build", BUILD, "--only", "nonsense"), "no workload is named like ['nonsense']"),
            (("--build", BUILD, "--allocators", "nonsense"), "no allocator here is named ['nonsense']"),
            (("--build", "/nonexistent"), "holds no lib/libhakmem.so"),
            (("--show", "--keep", self.kept), "does not hold what this program keeps"),
        ):
            done = self.program(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
            self.assertIn(message, done.stderr)

    def test_a_real_row(self) -> None:
        arguments = ("--build", BUILD, "--runs", "1", "--no-instructions", "--keep", self.kept)
        done = self.program(*arguments, "--only", "short cold run")
        self.assertEqual(done.returncode, 0, done.stderr)
        (rounds,) = keeping.read(self.kept).rounds.values()
        for name in ("hakmem", "linked in", "system", "null", "null linked in", "empty"):
            self.assertIsInstance(rounds[name][0], Run, name)
        self.assertRegex(done.stdout, r"\| short cold run \|.*\| 1\.00 (met|\*\*missed\*\*) \|")
        self.assertIn("sources ", done.stdout)
        again = self.program(*arguments, "--only", "128 B, toggle", "--allocators", "system")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(set(keeping.read(self.kept).rounds), {"short cold run", "128 B, toggle"})

    @unittest.skipUnless(instructions.can_count(), "valgrind is not installed")
    def test_a_pair_is_within_its_limit_of_instructions(self) -> None:
        """The same count in each run, on any machine; the empty loop shows that the calls were counted."""
        taking_part = {each.name: each for each in contenders(BUILD, None)}
        executed = {
            name: instructions.per_pair(taking_part[name], BUILD) for name in ("hakmem", "linked in", "empty")
        }
        for name in ("hakmem", "linked in"):
            self.assertLessEqual(executed[name], INSTRUCTIONS_LIMIT, name)
            self.assertGreater(executed[name], executed["empty"] + 10, name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
