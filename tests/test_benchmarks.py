"""The benchmark of readers runs, and the recordings that it makes are what it says."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from perf_recordings import why_not_live

from hakprof.profiles import flat_profile

pytestmark = [pytest.mark.live, pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))]

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
ROW = re.compile(r"\| (?P<reader>[^|]+) \| (?P<wall>[\d.]+) \| [\d.]+–[\d.]+ \| [\d.]+ \| [\d.]+ \| (?P<memory>\d+) \|")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reading")


@pytest.fixture(scope="module")
def printed(work: Path) -> str:
    command = [sys.executable, str(BENCHMARKS / "reading.py"), "--quick", "--work", str(work), "--only", "flat"]
    environment = os.environ | {"PYTHONPATH": str(BENCHMARKS.parent)}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def test_a_quick_run_prints_a_row_for_each_reader(printed: str) -> None:
    assert "### 20,000 samples → flat table" in printed
    rows = [ROW.match(line) for line in printed.splitlines() if line.startswith(("| hakprof", "| perf"))]
    assert [row and row["reader"] for row in rows] == [
        "hakprof layers --by comm,dso,symbol",
        "perf report --no-children -g none",
    ] * 2
    assert all(row and float(row["wall"]) > 0 and int(row["memory"]) > 5 for row in rows)


def test_samples_that_are_repeated_are_met_again_and_new_processes_are_new(work: Path, printed: str) -> None:
    assert printed
    command = [sys.executable, str(BENCHMARKS / "reading.py"), "--quick", "--work", str(work), "--only", "scaling"]
    environment = os.environ | {"PYTHONPATH": str(BENCHMARKS.parent)}
    shown = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    chains: dict[str, list[int]] = {}
    for line in shown.partition("### Cost of a sample: hakprof layers\n")[2].splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 9 and cells[3].replace(",", "").isdigit():
            chains.setdefault(cells[1], []).append(int(cells[3].replace(",", "")))
    first = chains["one recording"][0]
    assert chains["the same samples again"] == [first] * 3
    # 20,000, 40,000 and 80,000 samples: once, twice and four times what the first has, but for the command's beginning,
    # which has a larger part of them on a busy machine. Of one recording it would be 1.5 and 2.3 times as many.
    assert chains["all processes anew"] == [pytest.approx(times * first, rel=0.2) for times in (1, 2, 4)]


def test_a_recording_of_any_size_can_be_made_of_another(printed: str, work: Path) -> None:
    assert printed
    script = (
        "import sys; from pathlib import Path; from recordings import counted_by_perf, resize\n"
        "source, output = map(Path, sys.argv[1:]); resize(source, output, 50_000); print(counted_by_perf(output))"
    )
    source, output = work / "quick" / "20000.data", work / "repeated.data"
    environment = os.environ | {"PYTHONPATH": f"{BENCHMARKS.parent}{os.pathsep}{BENCHMARKS}"}
    command = [sys.executable, "-c", script, str(source), str(output)]
    assert subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout == "50000\n"
    once, repeated = flat_profile(source), flat_profile(output)
    # On a busy machine samples are lost, more of them in more of the recording.
    without_numbers = [[re.sub(r"[\d,.]+", "N", each) for each in flat.warnings] for flat in (once, repeated)]
    assert without_numbers[0] == without_numbers[1]
    # Names of threads that begin again are left out: until they are named anew they have the name of the last time.
    once_by_code, repeated_by_code = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for counts, flat in ((once_by_code, once), (repeated_by_code, repeated)):
        for row in flat.rows:
            counts[row.dso, row.symbol] += row.samples
    for code, count in repeated_by_code.items():
        # Two and a half times over: the half is the first of it, and not all alike.
        assert 2 * once_by_code[code] <= count <= 3 * once_by_code[code]
