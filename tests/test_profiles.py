"""One recording on its own: the flat table agrees with the layers, and costs no more than it must."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from perf_recordings import compile_program, record, why_not_live

from hakprof.errors import ParseError
from hakprof.profiles import flat_profile, load_recording

pytestmark = [pytest.mark.live, pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))]

VARIANTS = {
    "chains": ("-F", "2999", "-g"),
    "events": ("-F", "2999", "-e", "cpu-clock,page-faults"),
    "stacks": ("-F", "999", "--call-graph", "dwarf,1024"),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(tmp_path_factory.mktemp("profiles"), rounds=500_000)


@pytest.mark.parametrize("walker", ["compiled", "numpy"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_flat_table_is_that_of_the_layers(
    program: Path, variant: str, walker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if walker == "numpy":
        monkeypatch.setenv("HAKPROF_WALKER", walker)
    path = program.parent / f"{variant}.data"
    if not path.exists():
        record(program.parent, *VARIANTS[variant], command=(str(program),), name=path.name)
    flat, layers = flat_profile(path), load_recording(path)
    expected: Counter[tuple[str, str, str, str]] = Counter()
    periods: Counter[tuple[str, str, str, str]] = Counter()
    columns = ("event", "comm", "dso", "symbol", "count", "period")
    for event, comm, dso, symbol, count, period in layers.attribution.samples.select(columns).iter_rows():
        expected[event, comm, dso, symbol] += count
        periods[event, comm, dso, symbol] += period
    assert {row[:4]: row.samples for row in flat.rows} == expected
    assert {row[:4]: row.period for row in flat.rows} == periods
    order = [event.name for event in layers.profile.events]
    assert list(flat.rows) == sorted(flat.rows, key=lambda row: (order.index(row.event), -row.samples, row[1:4]))
    assert {comm for _, comm, *_ in flat.rows} >= {"even", "odd name"}


def test_a_flat_table_needs_no_frames_and_no_dwarf(program: Path) -> None:
    path = record(program.parent, "-F", "999", "-g", command=(str(program),), name="lean.data")
    script = (
        "import sys; from pathlib import Path; from hakprof.profiles import flat_profile\n"
        "assert flat_profile(Path(sys.argv[1])).rows\n"
        "print(sorted({'polars', 'symbolic', 'pydantic'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, str(path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
    assert printed.strip() == "[]"


def test_a_file_that_is_no_recording_is_refused_by_both(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a recording\n" * 20)
    for read in (flat_profile, load_recording):
        with pytest.raises(ParseError, match=r"not a perf\.data file"):
            read(tmp_path / "text")
