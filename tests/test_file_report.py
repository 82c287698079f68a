"""`hakprof report --perf-data --strace`: what files say without a run, and plainly what they cannot say."""

import json
import subprocess
from pathlib import Path

import pytest
from golden import assert_golden
from perf_recordings import compile_program, record, why_not_live

from hakprof import file_report
from hakprof.cli.main import main
from hakprof.selection import select_run

live = pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))
ROOT = Path(__file__).resolve().parent
TRACES = ROOT.parent / "traces"
STRACE = "hakmem/raw/strace.larson_2t.hakmem.default.release.00"
TABLE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.090000          90      1000        10 mmap
 10.00    0.010000           5      2000           munmap
------ ----------- ----------- --------- --------- ----------------
100.00    0.100000          33      3000        10 total
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording and traces that hakprof had no hand in."""
    made = tmp_path_factory.mktemp("files")
    program = str(compile_program(made, rounds=400_000))
    record(made, "-F", "4999", "-e", "cpu-clock,page-faults", "-g", command=(program,))
    for name, options in (("log.txt", ("-T", "-ttt")), ("wall.txt", ("-c", "-w")), ("system.txt", ("-c",))):
        command = ["strace", "-f", *options, "-o", str(made / name), program]
        subprocess.run(command, check=True, capture_output=True)
    return made


def run(capfdbinary: pytest.CaptureFixture[bytes], *args: object) -> str:
    status = main(["report", *map(str, args)])
    out, err = capfdbinary.readouterr()
    assert status == 0, err.decode()
    return out.decode()


def refused(capfdbinary: pytest.CaptureFixture[bytes], *args: object, status: int = 2) -> str:
    assert main(["report", *map(str, args)]) == status
    out, err = capfdbinary.readouterr()
    assert out == b""
    return err.decode()


def test_the_report_of_recorded_files(monkeypatch: pytest.MonkeyPatch, update_golden: bool) -> None:
    monkeypatch.chdir(TRACES)
    selection = select_run(Path("hakmem"), workload="larson_2t")
    files = file_report.read_files(
        selection, strace=Path(STRACE, "strace_system.txt"), strace_wall=Path(STRACE, "strace_wall.txt")
    )
    assert_golden(file_report.render_files(files), ROOT / "golden" / "hakmem" / "files.md", update=update_golden)


@live
def test_a_recording_and_a_log_of_calls(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    files = ("--perf-data", folder / "perf.data", "--strace", folder / "log.txt")
    report = json.loads(run(capfdbinary, *files, "-f", "json"))
    (view,) = report["recordings"]
    listing = view["listing"]
    assert sum(layer["share"]["count"] for layer in listing["layers"]) == listing["samples"]
    assert sum(row["share"]["count"] for row in view["objects"]) == listing["samples"]
    assert view["faults"], "page faults were recorded beside the clock"
    identity = {fact["name"]: fact["value"] for fact in view["identity"]["facts"]}
    assert "perf record" in identity["command line"]
    assert identity["call chains"] == "yes"
    assert report["top_layers"][0]["share"]["value"] >= report["top_layers"][-1]["share"]["value"] >= 0.02
    calls = {row["syscall"]: row for row in report["syscalls"]["rows"]}
    assert calls["munmap"]["usec_per_call"] > 0
    assert report["syscalls"]["total"]["wall_share_of_run"] > 0
    text = run(capfdbinary, *files)
    for heading in ("Trust", "Executive Summary", "2. Where the time goes", "3. System calls", "4. Limits"):
        assert f"## {heading}" in text
    assert "throughput, and how other allocators do" in text


@live
def test_both_clocks_stand_side_by_side(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    both = ("--strace", folder / "system.txt", "--strace-wall", folder / "wall.txt")
    report = json.loads(run(capfdbinary, *both, "-f", "json"))
    (row,) = (row for row in report["syscalls"]["rows"] if row["syscall"] == "munmap")
    assert row["wall_share_of_syscalls"] > 0
    assert row["wall_share_of_run"] is None
    assert "does not tell how long the program ran" in run(capfdbinary, *both)


@live
def test_several_recordings_stand_beside_one_another(
    folder: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    other = record(tmp_path, "-F", "999", "-g", command=("sha256sum", *["/bin/bash"] * 20), name="sums.data")
    written = run(capfdbinary, "--perf-data", folder / "perf.data", "--perf-data", other, "-o", tmp_path / "out")
    names = {Path(line).name for line in written.splitlines()}
    assert names == {"report.md", "report.json", "layers-1.svg", "layers-2.svg", "flame-1.svg", "flame-2.svg"}
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| Layer | perf.data | sums.data |" in text
    assert "](flame-2.svg)" in text
    assert "Start-up and exit are among the samples of perf.data and sums.data" in text


def test_a_table_alone(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "calls.txt"
    file.write_text(TABLE)
    text = run(capfdbinary, "--strace", file)
    assert "| `mmap` | 1,000 | 10 | 90.0 | 90.0 % | memory |" in text
    assert "strace's default; the table does not tell, see --strace-wall" in text
    assert "Not available: no perf.data was given." in text
    assert "% of run" not in text
    wall = run(capfdbinary, "--strace-wall", file)
    assert "| times | wall time from entry to return |" in wall


def test_times_that_are_all_zero_are_no_times(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "calls.txt"
    file.write_text(TABLE.replace("0.090000", "0.000000").replace("0.010000", "0.000000"))
    text = run(capfdbinary, "--strace", file)
    assert "none: all are zero in the table" in text
    assert "| `mmap` | 1,000 | 10 | — | memory |" in text


def test_what_cannot_be_is_refused(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    table, other = tmp_path / "calls.txt", tmp_path / "other.txt"
    table.write_text(TABLE.replace("munmap", "nanosleep").replace("0.010000", "99.010000"))
    other.write_text("hello\n")
    assert "neither a table" in refused(capfdbinary, "--strace", other)
    assert "not a perf.data file" in refused(capfdbinary, "--perf-data", other)
    assert "cannot read" in refused(capfdbinary, "--perf-data", tmp_path / "absent")
    assert "has wall times" in refused(capfdbinary, "--strace", table, "--strace-wall", table)
    assert "together with files" in refused(capfdbinary, "latest", "--strace", table)
    assert "--rules for a run" in refused(capfdbinary, TRACES / "hakmem", "--rules", other)
