"""The command line as a user meets it: documents, errors without tracebacks, exit statuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from perf_recordings import compile_program, record, why_not_live

from hakprof.cli.main import main
from hakprof.elf import build_id

ROOT = Path(__file__).resolve().parent.parent
TRACE = ROOT / "traces" / "hakmem"
SORTING = r"""
#include <stdlib.h>
static int less(const void *a, const void *b) {
    volatile unsigned sum = 0;
    for (int i = 0; i < 50; i++) sum += i;
    return *(const int *)a - *(const int *)b + (int)(sum - 1225);
}
int main(void) {
    static int numbers[4000];
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 4000; i++) numbers[i] = (i * 7919 + round) % 4001;
        qsort(numbers, 4000, sizeof(int), less);
    }
    return 0;
}
"""


def run_hakprof(*args: str, cwd: Path | None = None, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"PATH": path} if path is not None else {})
    return subprocess.run(
        [sys.executable, "-m", "hakprof", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )


def assert_clear_error(done: subprocess.CompletedProcess[str], *told: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert "\nhakprof: " in f"\n{done.stderr}"
    assert "remedy: " in done.stderr
    for text in told:
        assert text in done.stderr


def test_report_of_a_recorded_run_needs_no_tool_at_all(tmp_path: Path):
    done = run_hakprof("report", str(TRACE), cwd=tmp_path, path="")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# hakmem")
    assert "## Trust" in done.stdout


def test_report_as_json_says_what_the_markdown_says(tmp_path: Path):
    done = run_hakprof("report", str(TRACE), "--format", "json", cwd=tmp_path)

    report = json.loads(done.stdout)
    assert report["provenance"]["subject"] == "hakmem"
    assert {check["id"] for check in report["trust"]} >= {"T1", "T2", "T3", "T4", "T5", "T7", "T8"}


def test_report_into_a_folder_writes_document_and_charts(tmp_path: Path):
    done = run_hakprof("report", str(TRACE), "-o", "out", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.md", "report.json", "layers.svg", "throughput.svg"} <= written
    assert any(name.startswith("flame-") for name in written)


def test_diff_of_a_run_with_itself_shows_no_difference(tmp_path: Path):
    done = run_hakprof("diff", str(TRACE), str(TRACE), cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "better" not in done.stdout.split("## ")[1]
    assert "worse" not in done.stdout.split("## ")[1]


def test_report_into_a_closed_pipe_is_no_error(tmp_path: Path):
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m hakprof report {TRACE} | head -n 1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.stdout.startswith("# hakmem")
    assert "Traceback" not in done.stderr


def test_unknown_study_names_the_known_ones(tmp_path: Path):
    done = run_hakprof("collect", "nonsense", "--project", str(ROOT / "hakprof.toml"), "--store", str(tmp_path))
    assert_clear_error(done, "nonsense", "bottleneck")


def test_missing_and_malformed_project_file(tmp_path: Path):
    assert_clear_error(run_hakprof("collect", "--project", "absent.toml", cwd=tmp_path), "absent.toml: no such file")

    (tmp_path / "hakprof.toml").write_text("[project]\nname = 3\n")
    assert_clear_error(run_hakprof("collect", cwd=tmp_path), "hakprof.toml", "project.name")


def test_report_without_a_run_and_of_something_else(tmp_path: Path):
    assert_clear_error(run_hakprof("report", cwd=tmp_path), "no finished run in", "hakprof collect")
    assert_clear_error(run_hakprof("report", "absent", cwd=tmp_path), "no run 'absent'")
    assert_clear_error(run_hakprof("report", str(tmp_path), cwd=tmp_path))


def test_report_into_a_file_instead_of_a_folder(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert_clear_error(run_hakprof("report", str(TRACE), "-o", "file", cwd=tmp_path), "file")


def test_a_report_that_cannot_be_written_leaves_the_earlier_one_whole(tmp_path: Path):
    first = run_hakprof("report", str(TRACE), "-o", "out", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    # A file may grow to 20 KiB and no further: what a full disk does, without needing one.
    limited = f"ulimit -f 20; exec {sys.executable} -m hakprof report {TRACE} -o out"
    done = subprocess.run(
        ["bash", "-c", limited],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )

    assert_clear_error(done, "cannot be written")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("glob", "damage", "told"),
    [
        pytest.param("raw/perf_record.random_mixed.*/perf.data", "cut", "cut off", id="truncated-perf.data"),
        pytest.param("raw/strace.random_mixed.hakmem.*/strace_system.txt", "empty", "empty", id="empty-strace"),
        pytest.param("objects/*/libhakmem.so", "strip", "stripped", id="no-symbols"),
    ],
)
def test_damaged_input_is_named_and_the_rest_is_reported(tmp_path: Path, glob: str, damage: str, told: str):
    run = tmp_path / "run"
    shutil.copytree(TRACE, run, ignore=shutil.ignore_patterns("tables"))
    for path in run.glob(glob):
        if damage == "strip":
            subprocess.run(["strip", "-s", path], check=True)
        else:
            os.truncate(path, 40_000 if damage == "cut" else 0)

    done = run_hakprof("report", str(run), cwd=tmp_path)

    assert done.returncode == 2
    assert done.stdout.startswith("# hakmem")
    assert "Traceback" not in done.stderr
    assert told in done.stderr
    assert "remedy: " in done.stderr


def test_options_that_contradict_each_other(tmp_path: Path):
    assert_clear_error(run_hakprof("report", str(TRACE), "-o", "out", "--format", "json", cwd=tmp_path), "-o")
    assert_clear_error(run_hakprof("report", str(TRACE), "--document", "r.md", cwd=tmp_path), "-o")


def test_closed_stdout_is_an_error_and_no_traceback(tmp_path: Path):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m hakprof report {TRACE} >&-"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert_clear_error(done, "stdout")


def test_usage_errors_end_with_two(capsys: pytest.CaptureFixture[str]):
    assert main(["report", "--no-such-option"]) == 2
    assert main(["no-such-command"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_doctor_names_what_is_missing_and_how_to_mend_it(tmp_path: Path):
    done = run_hakprof("doctor", cwd=tmp_path, path="")

    assert done.returncode == 0, done.stderr
    assert "apt-get install linux-perf" in done.stdout
    assert "apt-get install strace" in done.stdout


def test_doctor_as_json(tmp_path: Path):
    found = json.loads(run_hakprof("doctor", "--format", "json", cwd=tmp_path).stdout)
    assert {"perf", "strace", "hardware_counters"} <= {one["name"] for one in found["capabilities"]}


def test_project_example_is_a_valid_project(tmp_path: Path):
    (tmp_path / "hakprof.toml").write_text(run_hakprof("project", "--example", cwd=tmp_path).stdout)
    done = run_hakprof("project", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "study bottleneck" in done.stdout


def test_pack_gives_the_same_report(tmp_path: Path):
    assert run_hakprof("pack", str(TRACE), "packed", cwd=tmp_path).returncode == 0

    before, after = (run_hakprof("report", str(path), cwd=tmp_path).stdout for path in (TRACE, tmp_path / "packed"))

    assert before.replace("`hakmem`", "`packed`") == after
    assert_clear_error(run_hakprof("pack", str(TRACE), "packed", cwd=tmp_path), "exists already")


@pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))
def test_a_packed_run_unwinds_stacks_as_the_run_does(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]):
    run, cell = tmp_path / "run", "raw/perf_record.larson_2t.hakmem.default.release.00"
    for kept in ("manifest.json", f"{cell}/cell.json"):
        (run / kept).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TRACE / kept, run / kept)
    # A call of qsort: the way from `less` back to its caller leads through the C library, which has no frame pointers.
    program = compile_program(tmp_path, "-fomit-frame-pointer", text=SORTING, name="sorting")
    record(run / cell, "-F", "2999", "--call-graph", "dwarf,4096", "--buildid-mmap", command=(str(program),))
    for path in (program, *(Path(line.split()[2]) for line in _libraries(program))):
        identity = build_id(path)
        assert identity is not None
        (run / "objects" / identity).mkdir(parents=True)
        shutil.copyfile(path, run / "objects" / identity / path.name)

    assert main(["pack", str(run), str(tmp_path / "packed")]) == 0
    capfdbinary.readouterr()

    listed = []
    for folder in (run, tmp_path / "packed"):
        assert main(["layers", str(folder), "--functions", "99"]) == 0
        listed.append(capfdbinary.readouterr().out.decode().replace(folder.name, "", 1))
    cut = re.search(r"([\d,]+) of ([\d,]+) user call chains lack their last callers", listed[0])
    assert cut is None or int(cut[1].replace(",", "")) <= 0.05 * int(cut[2].replace(",", "")), cut[0]
    assert listed[1] == listed[0]


def _libraries(program: Path) -> list[str]:
    printed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    return [line for line in printed.splitlines() if "=> /" in line]


def test_help_needs_no_heavy_import():
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hakprof", "--help"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    ).stderr
    for heavy in ("polars", "pandas", "numpy", "scipy", "pydantic"):
        assert f" {heavy}\n" not in loaded
