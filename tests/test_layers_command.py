"""`hakprof layers`: on a run, on a perf.data file from elsewhere, narrowed, as JSON, CSV and as a flat table."""

import contextlib
import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from perf_programs import program
from perf_recordings import compile_program, perf_table, record, why_not_live

from hakprof.cli.main import main

live = pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))
TRACE = str(Path(__file__).parent.parent / "traces" / "hakmem")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording that hakprof had no hand in."""
    folder = tmp_path_factory.mktemp("foreign")
    program = compile_program(folder)
    return record(folder, "-F", "4999", "-e", "cpu-clock,page-faults", "-g", command=(str(program),))


def run(capfdbinary: pytest.CaptureFixture[bytes], *args: str) -> str:
    status = main(["layers", *args])
    out, err = capfdbinary.readouterr()
    assert status == 0, err.decode()
    return out.decode()


def refused(capfdbinary: pytest.CaptureFixture[bytes], *args: str, status: int = 2) -> str:
    assert main(["layers", *args]) == status
    return capfdbinary.readouterr().err.decode()


def test_a_run_is_listed_workload_by_workload(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    report = json.loads(run(capfdbinary, TRACE, "-f", "json"))
    assert {one["title"] for one in report["listings"]} == {"random_mixed", "larson_2t", "mid_large_mt"}
    for listing in report["listings"]:
        assert sum(layer["share"]["count"] for layer in listing["layers"]) == listing["samples"]
        assert listing["layers"][-1]["layer"] == "unattributed"


@live
def test_a_directory_that_perf_record_made_is_read_like_a_file(
    capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    command = (str(compile_program(tmp_path, rounds=500_000)),)
    folder = str(record(tmp_path, "-F", "1999", "-g", "--threads", command=command))
    listing = json.loads(run(capfdbinary, folder, "-f", "json"))["listings"][0]
    assert sum(layer["share"]["count"] for layer in listing["layers"]) == listing["samples"] > 0
    assert main(["annotate", listing["layers"][0]["layer"], folder]) == 0
    assert main(["report", "--perf-data", folder]) == 0
    assert f"# Report of {Path(folder).name}" in capfdbinary.readouterr().out.decode()


def test_functions_of_a_layer_and_the_rest_of_it_add_up(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    report = json.loads(run(capfdbinary, TRACE, "--workload", "larson_2t", "--functions", "2", "-f", "json"))
    listing = report["listings"][0]
    assert len(report["listings"]) == 1
    for layer in listing["layers"]:
        if not layer["functions"]:
            assert layer["share"]["count"] < 5
            continue
        named = sum(function["of_all"]["count"] for function in layer["functions"])
        assert named + layer["others_of_all"]["count"] == layer["share"]["count"]
        assert len(layer["functions"]) <= 2


def test_inlined_functions_are_named_with_the_symbol_that_holds_them(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    text = run(capfdbinary, TRACE, "--workload", "larson_2t")
    assert "| `tiny_free_fast` | `hak_bin_push` in `free` | `libhakmem.so` |" in text


@live
def test_what_no_rule_names_is_said_in_words_that_need_no_escapes(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    recording = record(tmp_path, "-F", "999", "-g", command=program("libraries", tmp_path))
    (note,) = (line for line in run(capfdbinary, str(recording)).splitlines() if "have no layer" in line)
    assert re.fullmatch(r"- ⚠️ [\d.]+ % of the samples have no layer: add rules \(--rules FILE\) .*", note)
    assert "\\" not in note


@live
def test_a_foreign_recording_is_listed_with_causes(foreign: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (listing,) = json.loads(run(capfdbinary, str(foreign), "-f", "json"))["listings"]
    assert listing["event"].startswith("cpu-clock")
    rows = {layer["layer"]: layer for layer in listing["layers"]}
    assert {"benchmark", "glibc_front", "page_fault"} <= rows.keys()
    causes = rows["page_fault"]["causes"]
    assert sum(cause["share"]["count"] for cause in causes) == rows["page_fault"]["share"]["count"]
    assert rows["page_fault"]["kernel_samples"] == rows["page_fault"]["share"]["count"]


@live
def test_another_event_is_shown_when_asked_for(foreign: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    text = run(capfdbinary, str(foreign), "--event", "page-faults")
    assert "an event that is no measure of time" in text
    assert "page-faults" in refused(capfdbinary, str(foreign), "--event", "cache-misses")


@live
def test_narrowing_says_of_how_many_samples(foreign: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (whole,) = json.loads(run(capfdbinary, str(foreign), "-f", "json"))["listings"]
    (part,) = json.loads(run(capfdbinary, str(foreign), "--dso", "libc.so.6", "-f", "json"))["listings"]
    assert 0 < part["samples"] < whole["samples"] == part["event_samples"]
    assert part["narrowed_to"] == "dso libc.so.6"
    error = refused(capfdbinary, str(foreign), "--comm", "nobody")
    assert "no samples of comm 'nobody'" in error
    assert "odd name" in error


@live
def test_own_rules_come_first(foreign: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[layers]]\nlayer = "xorshift"\ntitle = "random numbers"\nfunctions = ["mix*"]\n')
    rows = list(csv.DictReader(io.StringIO(run(capfdbinary, str(foreign), "--rules", str(rules), "-f", "csv"))))
    assert {"xorshift"} == {row["layer"] for row in rows if row["meaning"] == "random numbers"}
    assert sum(int(row["samples"]) for row in rows if row["layer"] == "xorshift") > 0
    rules.write_text("[[layers]]\nlayer = 3\n")
    assert "layers.0.layer" in refused(capfdbinary, str(foreign), "--rules", str(rules))
    assert "no such file" in refused(capfdbinary, str(foreign), "--rules", "absent.toml")


@live
def test_a_recording_without_chains_says_so(foreign: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    plain = record(foreign.parent, "-F", "499", command=("sha256sum", "/bin/bash", "/bin/bash"))
    text = run(capfdbinary, str(plain))
    assert "recorded without call chains" in text
    assert "shares are known within ±" in text
    chainless = record(foreign.parent, "-F", "4999", command=(str(foreign.parent / "churn"),), name="chainless.data")
    text = run(capfdbinary, str(chainless))
    assert "| unknown: no call chains |" in text
    assert "user frame" not in text


@live
def test_the_flat_table_counts_as_perf_report_does(foreign: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    rows = json.loads(run(capfdbinary, str(foreign), "--by", "event,comm,dso,symbol", "-f", "json"))
    ours = Counter({(r["event"], r["comm"], r["dso"], r["symbol"]): r["samples"] for r in rows})
    theirs = perf_table(foreign)
    assert ours.total() == theirs.total()
    assert (ours - theirs).total() <= 0.001 * theirs.total()
    by_dso = run(capfdbinary, str(foreign), "--by", "dso").splitlines()
    assert "samples of cpu-clock" in by_dso[0]  # perf adds :ppp to its default event
    shares = [float(line.split()[0]) for line in by_dso[2:]]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert shares == sorted(shares, reverse=True)
    assert "there is no key 'nonsense'" in refused(capfdbinary, str(foreign), "--by", "nonsense")


@live
@pytest.mark.parametrize("option", ["--event", "--comm", "--dso"])
def test_unknown_names_are_refused_alike_with_and_without_keys(
    foreign: Path, option: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    said = refused(capfdbinary, str(foreign), option, "nonsense")
    assert "'nonsense'" in said
    assert refused(capfdbinary, str(foreign), option, "nonsense", "--by", "symbol") == said


@live
def test_samples_that_stand_for_unequal_numbers_of_events_are_no_share_of_events(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    program = str(compile_program(tmp_path, rounds=800_000, name="faulting"))
    adapted = str(record(tmp_path, "-F", "997", "-e", "page-faults", command=(program,)))
    fixed = str(record(tmp_path, "-c", "1", "-e", "page-faults", command=(program,), name="fixed.data"))
    (note, *_) = json.loads(run(capfdbinary, adapted, "-f", "json"))["listings"][0]["notes"]
    assert note in run(capfdbinary, adapted)  # nothing in it that Markdown has to escape
    # perf script prints the period of each sample.
    command = ["perf", "script", "-F", "period", "-i", adapted]
    scripted = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    periods = [int(line) for line in scripted.split()]
    assert note.startswith(
        f"the {len(periods):,} samples of page-faults stand for {sum(periods):,} events,"
        f" each for {min(periods):,} to {max(periods):,} of them:"
    )
    assert main(["layers", adapted, "--by", "dso", "-f", "csv"]) == 0
    out, err = capfdbinary.readouterr()
    assert note in err.decode()
    # perf's Overhead is the share of the periods.
    ours = {row["dso"]: int(row["period"]) for row in csv.DictReader(io.StringIO(out.decode()))}
    command = [
        "perf",
        "report",
        "-i",
        adapted,
        "--stdio",
        "--no-children",
        "-g",
        "none",
        "-s",
        "dso",
        "-F",
        "period,dso",
    ]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    theirs = [line.split() for line in printed.splitlines() if line and not line.startswith("#")]
    assert ours == {dso: int(period) for period, dso in theirs}
    assert "stand for" not in run(capfdbinary, fixed)


def test_what_only_runs_have_is_refused_for_a_file(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "perf.data"
    file.write_bytes(b"no recording")
    assert "--workload" in refused(capfdbinary, str(file), "--workload", "larson_2t")
    assert str(file) in refused(capfdbinary, str(file))
    assert "use one of: larson_2t" in refused(capfdbinary, TRACE, "--workload", "nonsense")


@pytest.mark.parametrize(
    "command",
    [
        ["layers", TRACE, "--functions"],
        *(["annotate", "libc", TRACE, option] for option in ("--functions", "--lines", "--context")),
    ],
)
def test_numbers_beyond_all_sense_are_refused(command: list[str], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main([*command, "9" * 20]) == 2
    assert "Invalid value" in capfdbinary.readouterr().err.decode()


ODDLY_NAMED = r"""
#include <sys/prctl.h>
int main(void) {
    prctl(PR_SET_NAME, "\x1b[31mred\nline");
    for (volatile long i = 0; i < 60000000; i++) {}
}
"""


@live
def test_names_of_threads_do_not_steer_the_terminal(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    program = str(compile_program(tmp_path, text=ODDLY_NAMED, name="odd"))
    recording = str(record(tmp_path, "-F", "997", command=(program,)))
    said = refused(capfdbinary, recording, "--comm", "nonsense")
    assert "$'\\x1b[31mred\\nline'" in said
    assert "\x1b" not in said
    assert "\x1b" not in run(capfdbinary, recording, "--comm", "\x1b[31mred\nline")
    assert main(["layers", recording, "--by", "comm"]) == 0
    assert b"\x1b" not in capfdbinary.readouterr().out


@live
def test_that_a_recording_is_cut_off_is_said_once(
    foreign: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    cut = tmp_path / "cut.data"
    cut.write_bytes(foreign.read_bytes()[: foreign.stat().st_size // 2])
    notes = json.loads(run(capfdbinary, str(cut), "-f", "json"))["listings"][0]["notes"]
    assert len([note for note in notes if "cut off" in note]) == 1


def in_terminal(columns: int) -> str:
    """What a terminal of some width is shown of the run."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns)}
    child = subprocess.Popen([sys.executable, "-m", "hakprof", "layers", TRACE], stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux reports the end of a terminal
        while part := os.read(ours, 1 << 16):
            shown += part
    os.close(ours)
    assert child.wait() == 0
    return shown.decode()


def test_a_terminal_gets_laid_out_tables_and_a_pipe_gets_markdown(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert "|---|" in run(capfdbinary, TRACE)
    shown = in_terminal(100)
    assert "tiny_free_fast" in shown
    assert "|---|" not in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_names_to_their_end(columns: int, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    listing = json.loads(run(capfdbinary, TRACE, "-f", "json"))["listings"][0]
    assert max(len(row["function"]) for layer in listing["layers"] for row in layer["functions"]) > 20
    assert re.search(r"\w…", in_terminal(columns)) is None
